"""Converters of scikit-learn's votes."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks.deploy._onnx_errors import UnsupportedForOnnxError

from ._agreement import assert_agrees
from .test_convert_votes import make_members

X, y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.mark.parametrize("voting", ["hard", "soft"])
@pytest.mark.parametrize("weights", [None, [1, 2, 1, 0], [0.3, 0.3, 0.3, 0.6]])
def test_votes(voting, weights):
    vote = VotingClassifier(make_members(), voting=voting, weights=weights).fit(X, NAMES)
    assert_agrees(vote, X, 1e-9)
    assert_agrees(make_pipeline(vote, StandardScaler()).fit(X, y), X, 1e-6)


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_a_dropped_member_and_float32(voting):
    members = [("gone", "drop"), *make_members()]
    for weights in (None, [5, 1, 1, 1, 1]):
        vote = VotingClassifier(members, voting=voting, weights=weights).fit(X, y)
        assert_agrees(vote, X, 1e-9)
        assert_agrees(vote, X.astype(np.float32), 1e-5)


@pytest.mark.parametrize("weights", [None, [1, 2, 0]])
def test_votes_of_regressors(weights):
    rows, values = load_diabetes(return_X_y=True)
    members = [("line", LinearRegression()), ("gone", "drop"), ("ridge", Ridge(alpha=10))]
    vote = VotingRegressor(members, weights=weights).fit(rows, values)
    assert_agrees(vote, rows, 1e-9)
    assert_agrees(vote, rows.astype(np.float32), 1e-5)
    assert_agrees(make_pipeline(vote, StandardScaler()).fit(rows, values), rows, 1e-9)


def test_members_of_other_classes_are_refused():
    frozen = FrozenEstimator(LogisticRegression(max_iter=500).fit(X[y > 0], y[y > 0]))
    vote = VotingClassifier([("some", frozen), *make_members()]).fit(X, y)
    with pytest.raises(UnsupportedForOnnxError, match="'some' .* must be 0..2"):
        assert_agrees(vote, X)
