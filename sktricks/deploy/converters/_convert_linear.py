"""Converters of linear models, which compute in numpy's dtype of the product of X and the coefficients."""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse

from .._graph import Graph, Prediction, Table, Value
from ._operators import add, as_floats, clip, compare, complement, dot, row_sum, sigmoid, softmax, where
from ._registry import convert, converts, transforms

# -- regressors --------------------------------------------------------------------------------------------------------


@converts(
    "sklearn.linear_model.ARDRegression",
    "sklearn.linear_model.BayesianRidge",
    "sklearn.linear_model.ElasticNet",
    "sklearn.linear_model.ElasticNetCV",
    "sklearn.linear_model.HuberRegressor",
    "sklearn.linear_model.Lars",
    "sklearn.linear_model.LarsCV",
    "sklearn.linear_model.Lasso",
    "sklearn.linear_model.LassoCV",
    "sklearn.linear_model.LassoLars",
    "sklearn.linear_model.LassoLarsCV",
    "sklearn.linear_model.LassoLarsIC",
    "sklearn.linear_model.LinearRegression",
    "sklearn.linear_model.MultiTaskElasticNet",
    "sklearn.linear_model.MultiTaskElasticNetCV",
    "sklearn.linear_model.MultiTaskLasso",
    "sklearn.linear_model.MultiTaskLassoCV",
    "sklearn.linear_model.OrthogonalMatchingPursuit",
    "sklearn.linear_model.OrthogonalMatchingPursuitCV",
    "sklearn.linear_model.PassiveAggressiveRegressor",
    "sklearn.linear_model.QuantileRegressor",
    "sklearn.linear_model.Ridge",
    "sklearn.linear_model.RidgeCV",
    "sklearn.linear_model.SGDRegressor",
    "sklearn.linear_model.TheilSenRegressor",
    "sklearn.svm.LinearSVR",
)
def convert_linear_regressor(graph: Graph, model, X: Table) -> Prediction:
    """Return ``X @ coef_.T + intercept_``."""
    return Prediction(values=linear(graph, graph.matrix(X), coefficients(model).T, model.intercept_))


@converts(
    "sklearn.linear_model.GammaRegressor",
    "sklearn.linear_model.PoissonRegressor",
    "sklearn.linear_model.TweedieRegressor",
)
def convert_generalized_linear(graph: Graph, model, X: Table) -> Prediction:
    """Return the linear predictor, or its exponential for a log link."""
    values = linear(graph, as_floats(graph, X), model.coef_, model.intercept_)
    link = getattr(model, "link", "log")
    if link == "log" or (link == "auto" and model.power > 0):
        values = graph.op("Exp", values, dtype=values.dtype)
    return Prediction(values=values)


@converts("sklearn.linear_model.RANSACRegressor")
def convert_ransac(graph: Graph, model, X: Table):
    """Add the regressor that was fitted to the inliers."""
    return convert(graph, model.estimator_, X)


# -- classifiers -------------------------------------------------------------------------------------------------------


@converts("sklearn.linear_model.LogisticRegression", "sklearn.linear_model.LogisticRegressionCV")
def convert_logistic_regression(graph: Graph, model, X: Table) -> Prediction:
    """Return the softmax of the scores, or the sigmoid if there are two classes."""
    scores = decide(graph, model, X)
    several = getattr(model, "multi_class", "auto")  # a parameter until scikit-learn 1.9
    by_class = several == "ovr" or (
        several != "multinomial" and (len(model.classes_) == 2 or model.solver == "liblinear")
    )
    if by_class:
        return from_scores(graph, scores, normalize(graph, sigmoid(graph, scores)))
    pair = complement(graph, scores, 0) if scores.shape == (1,) else scores
    return from_scores(graph, scores, softmax(graph, pair))


@converts("sklearn.discriminant_analysis.LinearDiscriminantAnalysis")
def convert_lda(graph: Graph, model, X: Table) -> Prediction:
    """Return the softmax of the scores, or the sigmoid if there are two classes."""
    scores = decide(graph, model, X)
    two = scores.shape == (1,)
    return from_scores(graph, scores, normalize(graph, sigmoid(graph, scores)) if two else softmax(graph, scores))


@transforms("sklearn.discriminant_analysis.LinearDiscriminantAnalysis")
def transform_lda(graph: Graph, model, X: Table) -> Value:
    """Project onto the directions between classes."""
    value = as_floats(graph, X)
    if model.solver == "svd":
        wide = graph.cast(value, np.result_type(value.dtype, model.xbar_.dtype))
        value = graph.binary("Sub", wide, model.xbar_)
    count = model._max_components
    return dot(graph, value, model.scalings_[:, :count])


@converts("sklearn.linear_model.SGDClassifier")
def convert_sgd_classifier(graph: Graph, model, X: Table) -> Prediction:
    """Return scores, and probabilities for the losses that have them."""
    scores = decide(graph, model, X)
    if model.loss == "log_loss":
        return from_scores(graph, scores, normalize(graph, sigmoid(graph, scores)))
    if model.loss == "modified_huber":
        halves = graph.binary("Div", graph.binary("Add", clip(graph, scores, -1, 1), 1), 2)
        return from_scores(graph, scores, normalize(graph, halves))
    return from_scores(graph, scores)


@converts(
    "sklearn.linear_model.PassiveAggressiveClassifier",
    "sklearn.linear_model.Perceptron",
    "sklearn.svm.LinearSVC",
)
def convert_linear_classifier(graph: Graph, model, X: Table) -> Prediction:
    """Return scores."""
    return from_scores(graph, decide(graph, model, X))


@converts("sklearn.linear_model.RidgeClassifier", "sklearn.linear_model.RidgeClassifierCV")
def convert_ridge_classifier(graph: Graph, model, X: Table) -> Prediction:
    """Return scores; for multilabel targets, the labels with a positive score."""
    scores = decide(graph, model, X)
    if model._label_binarizer.y_type_.startswith("multilabel"):
        return Prediction(codes=graph.cast(compare(graph, "Greater", scores, 0), np.int64), scores=scores)
    return from_scores(graph, scores)


# -- what they share ---------------------------------------------------------------------------------------------------


def coefficients(model) -> np.ndarray:
    """Return the coefficients as an array; ``sparsify`` makes them sparse."""
    return model.coef_.toarray() if issparse(model.coef_) else model.coef_


def linear(graph: Graph, value: Value, matrix: np.ndarray, intercept) -> Value:
    """Return ``X @ matrix + intercept``."""
    return add(graph, dot(graph, value, matrix), intercept)


def decide(graph: Graph, model, X: Table) -> Value:
    """Return the scores of a classifier, of shape (1,) if it has two classes."""
    return linear(graph, graph.matrix(X), np.atleast_2d(coefficients(model)).T, model.intercept_)


def from_scores(graph: Graph, scores: Value, probabilities: Value | None = None) -> Prediction:
    """Return the class with the largest score; with two classes, the second one if the score is positive."""
    if scores.shape != (1,):
        return Prediction(codes=graph.argmax(scores), probabilities=probabilities, scores=scores)
    scores = graph.reshape(scores, ())
    codes = graph.cast(compare(graph, "Greater", scores, 0), np.int64)
    return Prediction(codes=codes, probabilities=probabilities, scores=scores)


def normalize(graph: Graph, chances: Value) -> Value:
    """Return one-vs-rest probabilities, normalized to sum to 1."""
    if chances.shape == (1,):
        return complement(graph, chances)
    sums = row_sum(graph, chances)
    nothing = compare(graph, "Equal", sums, 0)
    divided = graph.binary("Div", chances, sums)
    return where(graph, nothing, graph.constant(1 / chances.shape[0], chances.dtype), divided)
