"""Converter of CascadeClassifier."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktricks.ensemble import CascadeClassifier

from ._agreement import assert_agrees

X, y = load_digits(n_class=4, return_X_y=True)


@pytest.fixture(scope="module")
def cascade():
    members = [
        ("stump", DecisionTreeClassifier(max_depth=3, random_state=0)),
        ("tree", DecisionTreeClassifier(max_depth=6, random_state=0)),
        ("line", make_pipeline(StandardScaler(), LogisticRegression())),
    ]
    return CascadeClassifier(members, tolerance=0.05, cv=2).fit(X[:400], np.array(list("abcd"))[y[:400]])


@pytest.mark.parametrize("thresholds", [None, (0.7, 0.9), (np.inf, 0.9), (0.7, np.inf), (0, 0), (np.inf, np.inf)])
def test_rows_go_as_far_as_they_need(cascade, thresholds):
    if thresholds is not None:
        cascade.thresholds_ = np.array(thresholds)
    assert_agrees(cascade, X[:, :], 1e-9)


def test_a_member_that_predicts_nothing_for_some_rows(cascade):
    cascade.thresholds_ = np.array([0.7, 0.9])
    values = cascade.estimators_[1].tree_.value
    values[-1] = np.nan
    assert np.isnan(cascade.estimators_[1].predict_proba(X)).any()
    assert_agrees(cascade, X, 1e-9)
