"""Converters of scikit-learn's multilayer perceptrons."""

from __future__ import annotations

from .._graph import Graph, Prediction, Table, Value
from ._operators import above_half, add, complement, dot, softmax
from ._registry import converts, from_probabilities

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "exp": "Exp"}


@converts("sklearn.neural_network.MLPClassifier")
def convert_mlp_classifier(graph: Graph, model, X: Table) -> Prediction:
    """Return the class with the largest output; with two classes, the second one above 0.5."""
    if len(model.classes_) < 2:
        raise graph.refuse("MLPClassifier with a single class", "fit it on several classes")
    outputs = run_layers(graph, model, X)
    if model._label_binarizer.y_type_.startswith("multilabel"):
        return Prediction(codes=above_half(graph, outputs), probabilities=outputs)
    if model.n_outputs_ > 1:
        return from_probabilities(graph, outputs)
    return Prediction(above_half(graph, graph.reshape(outputs, ())), complement(graph, outputs))


@converts("sklearn.neural_network.MLPRegressor")
def convert_mlp_regressor(graph: Graph, model, X: Table) -> Prediction:
    """Return the outputs of the last layer."""
    outputs = run_layers(graph, model, X)
    return Prediction(values=graph.reshape(outputs, ()) if outputs.shape == (1,) else outputs)


def run_layers(graph: Graph, model, X: Table) -> Value:
    """Return the outputs of the last layer, after its activation."""
    value = graph.matrix(X)
    last = len(model.coefs_) - 1
    for index, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        value = add(graph, dot(graph, value, weights), bias)
        value = activate(graph, model.out_activation_ if index == last else model.activation, value)
    return value


def activate(graph: Graph, activation: str, value: Value) -> Value:
    """Apply the activation of a layer."""
    if activation == "identity":
        return value
    if activation == "softmax":
        return softmax(graph, value)
    return graph.op(ACTIVATIONS[activation], value, dtype=value.dtype, shape=value.shape)
