"""Converters of tuned thresholds and of one-vs-rest."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model

from ._agreement import assert_agrees


def make_rows(n_classes=2, dtype=np.float64):
    X, y = make_classification(120, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0)
    return X.astype(dtype), np.array(["no", "yes", "maybe"])[y]


@pytest.mark.parametrize("positive", ["no", "yes"])
@pytest.mark.parametrize("settings", [{}, {"threshold": 0.2}, {"response_method": "decision_function"}])
def test_fixed_thresholds(settings, positive):
    X, y = make_rows()
    assert_agrees(FixedThresholdClassifier(LogisticRegression(), pos_label=positive, **settings).fit(X, y), X, 1e-9)


@pytest.mark.parametrize("positive", ["no", "yes"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tuned_thresholds(positive, dtype):
    X, y = make_rows(dtype=dtype)
    scorer, method = make_scorer(recall_score, pos_label=positive), "decision_function" if positive == "no" else "auto"
    model = TunedThresholdClassifierCV(
        LogisticRegression(), scoring=scorer, response_method=method, cv=2, thresholds=10
    )
    assert_agrees(model.fit(X, y), X)


def test_a_threshold_on_the_scores_of_a_classifier_without_probabilities():
    X, y = make_rows()
    assert_agrees(FixedThresholdClassifier(RidgeClassifier(), threshold=0.1, pos_label="yes").fit(X, y), X)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("member", [LogisticRegression(), GaussianNB(), LinearSVC()])
def test_one_against_the_rest(member, n_classes):
    X, y = make_rows(n_classes)
    assert_agrees(OneVsRestClassifier(member).fit(X, y), X, 1e-9)


def test_several_labels_are_refused():
    X, y = make_rows(3)
    several = np.c_[y == "no", y == "yes"].astype(int)
    with pytest.raises(UnsupportedForOnnxError, match="several labels per row"):
        build_model(OneVsRestClassifier(LogisticRegression()).fit(X, several), X)
