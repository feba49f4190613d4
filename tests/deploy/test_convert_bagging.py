"""Converters of bagging and AdaBoost, of trees and of other members."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sktricks.deploy._export import build_model
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError

from ._agreement import assert_agrees


def make_data(classes=3, n=120):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, (n, 5)) / 3
    return X, np.array(["c", "a", "b"])[(X.sum(1) * 2 + rng.integers(0, 2, n)).astype(int) % classes]


SUBSETS = {"max_features": 0.6, "bootstrap_features": True, "random_state": 0}


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("depth", [2, None])
def test_bagging_of_trees(classes, depth):
    X, y = make_data(classes)
    model = BaggingClassifier(DecisionTreeClassifier(max_depth=depth), 7, **SUBSETS).fit(X, y)
    assert_agrees(model, X, 0)
    assert sum(node.op_type == "TreeEnsembleRegressor" for node in build_model(model, X)[1].graph.node) == 1


def test_bagging_of_members_that_know_some_of_the_classes():
    """A pipeline takes no weights, so that each member is fitted on the rows drawn for it."""
    X, y = make_data()
    member = make_pipeline(StandardScaler(), LogisticRegression())
    model = BaggingClassifier(member, 6, max_samples=4, random_state=1).fit(X, y)
    assert min(len(one.classes_) for one in model.estimators_) < 3
    assert_agrees(model, X, 1e-12)


def test_bagging_of_members_without_probabilities():
    X, y = make_data()
    assert_agrees(BaggingClassifier(RidgeClassifier(), 5, **SUBSETS).fit(X, y), X, 1e-15)


@pytest.mark.parametrize("member", [None, Ridge()])
@pytest.mark.parametrize("outputs", [1, 2])
def test_bagging_of_regressors(member, outputs):
    X, _ = make_data()
    y = X[:, 0] + X[:, 1] / 7 if outputs == 1 else X[:, :2] ** 2
    assert_agrees(BaggingRegressor(member, 5, **SUBSETS).fit(X, y), X, 0 if member is None else 1e-13)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("member", [None, DecisionTreeClassifier(max_depth=2), LogisticRegression()])
def test_ada_boost_of_classifiers(classes, member):
    X, y = make_data(classes)
    assert_agrees(AdaBoostClassifier(member, n_estimators=10, random_state=0).fit(X, y), X, 1e-14)


@pytest.mark.parametrize("member", [None, DecisionTreeRegressor(max_depth=1), Ridge()])
def test_ada_boost_of_regressors(member):
    X, _ = make_data()
    model = AdaBoostRegressor(member, n_estimators=10, random_state=0).fit(X, X[:, 0] ** 2 + X[:, 1] / 7)
    assert_agrees(model, X, 1e-13)


def test_what_cannot_be_converted_is_refused():
    X, y = make_data()
    frame = pd.DataFrame({"number": X[:, 0], "text": np.where(X[:, 1] > 1, "1", "2")})
    with pytest.raises(UnsupportedForOnnxError, match="columns of strings"):
        build_model(BaggingClassifier(random_state=0).fit(frame.astype(float), y), frame)
    with pytest.raises(UnsupportedForOnnxError, match="single class"):
        build_model(AdaBoostClassifier().fit(X, ["a"] * len(X)), X)
