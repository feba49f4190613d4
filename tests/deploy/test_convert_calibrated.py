"""Converter of CalibratedClassifierCV."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils._param_validation import InvalidParameterError

from ._agreement import assert_agrees

X, y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[y]
METHODS = ["sigmoid", "isotonic", "temperature"]


def fit(model, X, y):
    """Fit, or skip the test if this scikit-learn lacks temperature scaling."""
    try:
        return model.fit(X, y)
    except InvalidParameterError:
        pytest.skip("this version of scikit-learn has no temperatures")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("labels", [NAMES, y == 1], ids=["names", "two"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("estimator", [LinearSVC(C=0.1), DecisionTreeClassifier(max_depth=2), GaussianNB()])
def test_calibrated(method, labels, together, estimator):
    model = fit(CalibratedClassifierCV(estimator, method=method, cv=3, ensemble=together), X, labels)
    far = np.vstack([X * 3, -X])
    assert_agrees(model, X, 1e-5 if isinstance(estimator, GaussianNB) else 1e-9, far)


@pytest.mark.parametrize("method", METHODS)
def test_float32_and_a_fitted_classifier(method):
    line = LogisticRegression(max_iter=500).fit(X, NAMES)
    assert_agrees(fit(CalibratedClassifierCV(FrozenEstimator(line), method=method), X, NAMES), X.astype(np.float32))
    single = X.astype(np.float32)
    assert_agrees(fit(CalibratedClassifierCV(line, method=method, cv=2), single, NAMES), single)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_folds_without_a_class(method):
    folds = [(np.flatnonzero(y != out), np.flatnonzero(y == out)) for out in (0, 1)]
    folds += [(np.arange(0, 150, 2), np.arange(1, 150, 2))]
    model = CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2), method=method, cv=folds)
    assert_agrees(model.fit(X, NAMES), X, 1e-9)


def test_values_on_nodes_and_beside_them():
    rows = np.random.default_rng(0).normal(size=(300, 1))
    labels = rows[:, 0] + np.random.default_rng(1).normal(size=300) > 0
    line = LinearSVC().fit(rows, labels)
    model = CalibratedClassifierCV(FrozenEstimator(line), method="isotonic").fit(rows, labels)
    (calibrator,) = model.calibrated_classifiers_[0].calibrators
    nodes = calibrator.X_thresholds_
    values = np.concatenate([nodes, np.nextafter(nodes, np.inf), np.nextafter(nodes, -np.inf), [-99, 99]])
    line.coef_[:], line.intercept_[:] = 1.0, 0.0  # so that the calibrator receives the values
    assert len(nodes) > 10
    assert_agrees(model, values[:, None], 1e-12)


def test_many_nodes():
    rows, labels = load_digits(return_X_y=True)
    model = CalibratedClassifierCV(LinearSVC(C=0.01), method="isotonic", cv=2).fit(rows, labels)
    assert_agrees(model, rows, 1e-9, rows[::-1] / 2)


def test_classes_share_what_little_they_have():
    """Far outside, every class has a tiny one-vs-rest probability, but the ratios must be accurate."""
    model = CalibratedClassifierCV(LinearSVC(C=100, random_state=0), cv=2).fit(X, NAMES)
    assert_agrees(model, X, 1e-12, *(X * size for size in (3, 10, 30)))
