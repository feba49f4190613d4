"""Converters of linear models."""

import numpy as np
import pytest
import sklearn.linear_model as linear_model
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    Lasso,
    LassoCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    MultiTaskLasso,
    OrthogonalMatchingPursuit,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from sktricks.deploy._graph import Graph
from sktricks.deploy.converters._registry import predict

from ._agreement import assert_agrees, run

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

REGRESSORS = [
    ARDRegression(),
    BayesianRidge(),
    ElasticNet(),
    ElasticNetCV(cv=2),
    HuberRegressor(),
    Lars(),
    Lasso(),
    LassoCV(cv=2),
    LassoLarsIC(),
    LinearRegression(),
    LinearRegression(fit_intercept=False),
    LinearSVR(),
    OrthogonalMatchingPursuit(),
    QuantileRegressor(alpha=0.01),
    RANSACRegressor(random_state=0),
    Ridge(),
    RidgeCV(),
    SGDRegressor(random_state=0),
    TheilSenRegressor(max_subpopulation=50, random_state=0),
]
CLASSIFIERS = [
    LinearDiscriminantAnalysis(),
    LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3),
    LinearSVC(),
    LogisticRegression(),
    LogisticRegression(fit_intercept=False, class_weight="balanced"),
    LogisticRegressionCV(Cs=2, cv=2),
    Perceptron(),
    RidgeClassifier(),
    RidgeClassifierCV(),
    SGDClassifier(random_state=0),
    SGDClassifier(loss="log_loss", random_state=0),
    SGDClassifier(loss="modified_huber", random_state=0),
]
DTYPES = [np.float32, np.float64, np.int64]


def accuracy_of(dtype):
    return 1e-5 if dtype == np.float32 else 1e-9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", REGRESSORS)
def test_regressors(model, dtype):
    X, y = make_regression(60, 5, noise=3, random_state=0)
    X = (X * 10).astype(dtype)
    other = X[::-1] * 2
    assert_agrees(clone(model).fit(X, y), X, accuracy_of(dtype), other)
    if dtype == np.float32:
        assert_agrees(clone(model).fit(X.astype(np.float64), y), X, accuracy_of(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), RidgeCV(), Lasso(), MultiTaskLasso()])
def test_regressors_of_several_outputs(model, dtype):
    X, y = make_regression(60, 5, n_targets=3, noise=3, random_state=0)
    assert_agrees(clone(model).fit(X.astype(dtype), y), X.astype(dtype), accuracy_of(dtype))
    one = y[:, :1]
    assert_agrees(LinearRegression().fit(X, one), X, 1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "model",
    [
        PoissonRegressor(),
        GammaRegressor(),
        TweedieRegressor(power=1.5),
        TweedieRegressor(power=0),
        TweedieRegressor(power=0, link="log"),
    ],
)
def test_generalized_linear_models(model, dtype):
    X, y = make_regression(60, 5, random_state=0)
    y = np.exp(y / np.abs(y).max())
    assert_agrees(clone(model).fit(X.astype(dtype), y), X.astype(dtype), accuracy_of(dtype))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", CLASSIFIERS)
def test_classifiers(model, dtype, n_classes):
    X, y = make_classification(90, 6, n_informative=4, n_classes=n_classes, random_state=0)
    X = (X * 3).astype(dtype)
    model = clone(model).fit(X, np.array(["ash", "beech", "cedar", "date"])[y])
    assert_agrees(model, X, accuracy_of(dtype), X[::-1] * 5)
    assert_scores_agree(model, X, accuracy_of(dtype))
    if dtype == np.float32:
        assert_agrees(clone(model).fit(X.astype(np.float64), y), X, accuracy_of(dtype))


def assert_scores_agree(model, X, atol):
    graph = Graph()
    scores = predict(graph, model, graph.add_input("X", X.dtype, X.shape[1:])).scores
    expected = model.decision_function(X)
    found = run(graph.build({"scores": scores}), X)["scores"]
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=atol * np.abs(expected).max())


def test_far_from_the_boundary():
    X = np.linspace(-3000, 3000, 100)[:, None]
    y = np.digitize(X[:, 0], [-1000, 1000])
    for model in (LogisticRegression(), SGDClassifier(loss="modified_huber", random_state=0)):
        assert_agrees(model.fit(X, y), X * 100, 1e-9)
        assert_agrees(model.fit(X, y > 0), X * 100, 1e-9)


def test_several_labels_per_row():
    X = np.random.default_rng(0).normal(size=(60, 4))
    assert_agrees(RidgeClassifier().fit(X, (X[:, :3] > 0).astype(int)), X)


def test_sparse_coefficients():
    X, y = make_classification(random_state=0)
    assert_agrees(LogisticRegression().fit(X, y).sparsify(), X, 1e-9)


@pytest.mark.skipif("multi_class" not in LogisticRegression().get_params(), reason="scikit-learn removed multi_class")
def test_multi_class():
    X, y = make_classification(90, 6, n_informative=4, n_classes=3, random_state=0)
    for how in ("ovr", "multinomial"):
        assert_agrees(LogisticRegression(multi_class=how).fit(X, y), X, 1e-9)
        assert_agrees(LogisticRegression(multi_class=how).fit(X, y > 1), X, 1e-9)
    assert_agrees(LogisticRegression(solver="liblinear").fit(X, y), X, 1e-9)


@pytest.mark.skipif(not hasattr(linear_model, "PassiveAggressiveClassifier"), reason="scikit-learn removed it")
def test_passive_aggressive():
    X, y = make_classification(90, 6, random_state=0)
    assert_agrees(linear_model.PassiveAggressiveClassifier(random_state=0).fit(X, y), X)
    assert_agrees(linear_model.PassiveAggressiveRegressor(random_state=0).fit(X, y), X)


@pytest.mark.parametrize("solver", ["svd", "eigen"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_discriminants_as_a_transformer(solver, dtype):
    X, y = make_classification(90, 4, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
    X = (X * 3).astype(dtype)
    model = make_pipeline(LinearDiscriminantAnalysis(solver=solver, n_components=1), StandardScaler())
    assert_agrees(model.fit(X, y), X, accuracy_of(dtype) * 10)


def test_a_table():
    pandas = pytest.importorskip("pandas")
    X, y = make_classification(40, 4, random_state=0)
    X = pandas.DataFrame(X, columns=list("abcd")).astype({"a": np.float32})
    X["c"] = X["c"] > 0
    assert_agrees(LogisticRegression().fit(X, y), X, 1e-9)
