"""Converters of naive Bayes, quadratic discriminant analysis, and dummy estimators."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB

from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model

from ._agreement import assert_agrees

CLASSIFIERS = [
    BernoulliNB(binarize=0.3),
    ComplementNB(),
    GaussianNB(),
    GaussianNB(var_smoothing=0.1),
    MultinomialNB(),
    QuadraticDiscriminantAnalysis(),
    QuadraticDiscriminantAnalysis(reg_param=0.1, priors=[0.5, 0.3, 0.2]),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("model", CLASSIFIERS)
def test_classifiers(model, dtype):
    X, y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
    X = np.abs(X * 4).astype(dtype)
    atol = 1e-5 if dtype == np.float32 else 1e-9
    assert_agrees(clone(model).fit(X, np.array(["a", "b", "c"])[y]), X, atol, X[::-1] * 3)
    if getattr(model, "priors", None) is None:
        assert_agrees(clone(model).fit(X, y > 0), X, atol)


@pytest.mark.parametrize("labels", [np.array(["a", "b", "c"]), np.array([4, 5, 9])])
@pytest.mark.parametrize("strategy", ["prior", "most_frequent", "constant"])
def test_dummy_classifiers(strategy, labels):
    X = np.zeros((9, 2))
    y = labels[[0, 1, 1, 1, 2, 2, 2, 0, 1]]
    constant = labels[2] if strategy == "constant" else None
    assert_agrees(DummyClassifier(strategy=strategy, constant=constant).fit(X, y), X, 0)


def test_dummies_of_a_table_of_strings():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"a": list("xyz"), "b": [1, 2, 3]})
    assert_agrees(DummyClassifier().fit(X, [0, 1, 1]), X, 0)
    assert_agrees(DummyRegressor(strategy="quantile", quantile=0.3).fit(X, [0.5, 1, 2]), X, 0)


def test_dummy_regressors():
    X, y = np.zeros((5, 2)), np.arange(5.0)
    assert_agrees(DummyRegressor().fit(X, y), X, 0)
    assert_agrees(DummyRegressor(strategy="median").fit(X, np.c_[y, y * 2]), X, 0)


@pytest.mark.parametrize("strategy", ["stratified", "uniform"])
def test_random_predictions_are_refused(strategy):
    X, y = np.zeros((5, 2)), np.arange(5) % 2
    with pytest.raises(UnsupportedForOnnxError, match=f"strategy='{strategy}'"):
        build_model(DummyClassifier(strategy=strategy).fit(X, y), X)
    with pytest.raises(UnsupportedForOnnxError, match="several outputs"):
        build_model(DummyClassifier().fit(X, np.c_[y, y]), X)
