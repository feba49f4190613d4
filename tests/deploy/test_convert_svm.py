"""Converters of support vector machines with a kernel."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.svm import SVC, SVR, NuSVC, NuSVR

from sktricks.deploy import UnsupportedForOnnxError
from sktricks.deploy._export import build_model
from sktricks.deploy._graph import Graph
from sktricks.deploy.converters._registry import predict

from ._agreement import assert_agrees, run

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # SVC(probability=True)
KERNELS = ["linear", "rbf", "sigmoid", "poly"]


def make_rows(dtype=np.float64, n_classes=4):
    X, y = make_classification(80, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0)
    return (X * 2).astype(dtype), y


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("kernel", KERNELS)
def test_classifiers(kernel, dtype, n_classes):
    X, y = make_rows(dtype, n_classes)
    how = {"kernel": kernel, "gamma": 0.05, "coef0": 0.1, "degree": 2}
    for model in (SVC(**how), SVC(decision_function_shape="ovo", **how), NuSVC(nu=0.2, break_ties=True, **how)):
        model.fit(X, np.array(["a", "b", "c", "d"])[y])
        assert_agrees(model, X, 0, X[::-1] * 2)
        graph = Graph()
        scores = predict(graph, model, graph.add_input("X", X.dtype, X.shape[1:])).scores
        expected = model.decision_function(X)
        np.testing.assert_allclose(run(graph.build({"scores": scores}), X)["scores"], expected, atol=1e-7)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("model", [SVC(probability=True, random_state=0), NuSVC(nu=0.2, probability=True)])
def test_probabilities(model, n_classes):
    X, y = make_rows(n_classes=n_classes)
    assert_agrees(clone(model).fit(X, y), X, 1e-6, X[::-1] * 2)


def test_nothing_deprecated_is_read():
    X, y = make_rows()
    model = SVC(probability=True).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_model(model, X)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_regressors(kernel, dtype):
    X, y = make_rows(dtype)
    for model in (SVR(kernel=kernel, gamma=0.05), NuSVR(kernel=kernel, gamma=0.05)):
        assert_agrees(model.fit(X, y), X, 1e-9)


def test_large_numbers():
    X, y = make_rows()
    assert_agrees(SVC().fit(X + 1e5, y), X + 1e5, 1e-9)
    assert_agrees(SVR().fit(X + 1e5, y), X + 1e5, 1e-9)


def test_fits_to_sparse_rows():
    X, y = make_rows()
    assert_agrees(SVC().fit(csr_matrix(X), y), X, 1e-9)
    assert_agrees(SVR().fit(csr_matrix(X), y), X, 1e-9)


@pytest.mark.parametrize("kernel", ["precomputed", lambda X, Y: X @ Y.T])
def test_other_kernels_are_refused(kernel):
    X, y = make_rows()
    X = X @ X.T
    with pytest.raises(UnsupportedForOnnxError, match='kernel=.*use "linear", "poly", "rbf" or "sigmoid"'):
        build_model(SVC(kernel=kernel).fit(X, y), X)
