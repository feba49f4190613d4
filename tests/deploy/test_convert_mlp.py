"""Converters of scikit-learn's multilayer perceptrons."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model

from ._agreement import assert_agrees

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_activations(activation, dtype):
    X, y = make_classification(80, 6, n_informative=4, n_classes=3, random_state=0)
    X = (X * 3).astype(dtype)
    atol = 1e-5 if dtype == np.float32 else 1e-9
    how = {"hidden_layer_sizes": (8, 5), "activation": activation, "max_iter": 20, "random_state": 0}
    classifier, regressor = MLPClassifier(**how), MLPRegressor(**how)
    assert_agrees(classifier.fit(X, np.array(["a", "b", "c"])[y]), X, atol, X * 9)
    assert_agrees(classifier.fit(X, y > 0), X, atol)
    assert_agrees(classifier.fit(X, np.c_[y > 0, y > 1]), X, atol)
    assert_agrees(regressor.fit(X, y), X, atol)
    assert_agrees(regressor.fit(X, np.c_[y, -y]), X, atol)


@pytest.mark.skipif("loss" not in MLPRegressor().get_params(), reason="scikit-learn from 1.7 on")
def test_poisson_loss():
    X, y = make_classification(80, 5, random_state=0)
    assert_agrees(MLPRegressor("poisson", (4,), max_iter=20, random_state=0).fit(X, y), X, 1e-9)


def test_a_single_class_is_refused():
    X, y = make_classification(80, 5, random_state=0)
    with pytest.raises(UnsupportedForOnnxError, match="MLPClassifier with a single class"):
        build_model(MLPClassifier((4,), max_iter=20, random_state=0).fit(X, 0 * y), X)
