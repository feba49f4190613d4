"""Converters of likelihood-based classifiers (naive Bayes, quadratic discriminant analysis) and dummy estimators."""

from __future__ import annotations

import numpy as np

from .._graph import Graph, Prediction, Table, Value
from ._operators import add, compare, dot, repeat_row, softmax
from ._registry import converts, from_probabilities


@converts("sklearn.naive_bayes.GaussianNB")
def convert_gaussian(graph: Graph, model, X: Table) -> Prediction:
    """Sum the squared distances to the mean of each class, divided by the variance."""
    mean, variance = model.theta_, model.var_
    value = graph.matrix(X)
    wide = np.result_type(value.dtype, mean.dtype)
    value = graph.reshape(graph.cast(value, wide), (1, value.shape[0]))
    distances = graph.binary("Sub", value, mean, shape=mean.shape)
    distances = graph.binary("Div", graph.binary("Mul", distances, distances), variance)
    halves = graph.binary("Mul", sum_last(graph, distances), -0.5)
    constants = -0.5 * np.sum(np.log(2.0 * np.pi * variance), axis=1) + np.log(model.class_prior_)
    return from_likelihoods(graph, graph.binary("Add", halves, constants))


@converts("sklearn.naive_bayes.MultinomialNB", "sklearn.naive_bayes.ComplementNB")
def convert_multinomial(graph: Graph, model, X: Table) -> Prediction:
    """Sum the log probabilities of features."""
    likelihoods = dot(graph, graph.matrix(X), model.feature_log_prob_.T)
    if type(model).__name__ == "MultinomialNB" or len(model.classes_) == 1:
        likelihoods = add(graph, likelihoods, model.class_log_prior_)
    return from_likelihoods(graph, likelihoods)


@converts("sklearn.naive_bayes.BernoulliNB")
def convert_bernoulli(graph: Graph, model, X: Table) -> Prediction:
    """Sum the log probabilities of present and of absent features."""
    value = graph.matrix(X)
    if model.binarize is not None:
        threshold = np.asarray(model.binarize, np.result_type(value.dtype, 0.5))
        value = graph.cast(compare(graph, "Greater", value, threshold), value.dtype)
    absent = np.log(1 - np.exp(model.feature_log_prob_))
    likelihoods = dot(graph, value, (model.feature_log_prob_ - absent).T)
    return from_likelihoods(graph, add(graph, likelihoods, model.class_log_prior_ + absent.sum(axis=1)))


@converts("sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis")
def convert_qda(graph: Graph, model, X: Table) -> Prediction:
    """Compute the Mahalanobis distance to the mean of each class, from its rotation and scaling."""
    value, distances = graph.matrix(X), []
    for mean, rotation, scaling in zip(model.means_, model.rotations_, model.scalings_, strict=True):
        wide = graph.cast(value, np.result_type(value.dtype, mean.dtype))
        turned = dot(graph, graph.binary("Sub", wide, mean), rotation * scaling**-0.5)
        distances.append(sum_last(graph, graph.binary("Mul", turned, turned), keepdims=1))
    together = graph.concat(distances)
    sizes = np.array([np.sum(np.log(scaling)) for scaling in model.scalings_])
    halves = graph.binary("Mul", graph.binary("Add", together, sizes), -0.5)
    likelihoods = graph.binary("Add", halves, np.log(model.priors_))
    prediction = from_likelihoods(graph, likelihoods)
    scores = likelihoods
    if len(model.classes_) == 2:
        scores = graph.binary("Sub", graph.column(likelihoods, 1), graph.column(likelihoods, 0))
    return Prediction(codes=prediction.codes, probabilities=prediction.probabilities, scores=scores)


@converts("sklearn.dummy.DummyClassifier")
def convert_dummy_classifier(graph: Graph, model, X: Table) -> Prediction:
    """Return the same prediction for each row."""
    if model.strategy in ("stratified", "uniform"):
        raise graph.refuse(f"DummyClassifier(strategy={model.strategy!r}), which draws at random", 'use "prior"')
    if model.n_outputs_ > 1:
        raise graph.refuse("DummyClassifier with several outputs", "use one output")
    prior = np.asarray(model.class_prior_, np.float64)
    if model.strategy == "constant":
        chosen = np.flatnonzero(model.classes_ == np.ravel(model.constant)[0])[0]
    else:
        chosen = prior.argmax()
    row = prior if model.strategy == "prior" else np.eye(len(prior))[chosen]
    return from_probabilities(graph, repeat_row(graph, row, X))


@converts("sklearn.dummy.DummyRegressor")
def convert_dummy_regressor(graph: Graph, model, X: Table) -> Prediction:
    """Return the same prediction for each row."""
    row = np.ravel(model.constant_) if model.n_outputs_ > 1 else np.ravel(model.constant_)[0]
    return Prediction(values=repeat_row(graph, np.asarray(row), X))


def from_likelihoods(graph: Graph, likelihoods: Value) -> Prediction:
    """Return the class with the largest likelihood, and the softmax of log likelihoods as probabilities."""
    return Prediction(codes=graph.argmax(likelihoods), probabilities=softmax(graph, likelihoods))


def sum_last(graph: Graph, value: Value, keepdims: int = 0) -> Value:
    """Return the sum over the last axis."""
    axes = graph.constant([-1], np.int64)
    shape = (*value.shape[:-1], *[1] * keepdims)
    return graph.op("ReduceSum", value, axes, dtype=value.dtype, shape=shape, keepdims=keepdims)
