"""Converters of kernel support vector machines, in float64 like libsvm.

ONNX's own operators for them compute in float32, which is too coarse for columns of large numbers. Only the class
probabilities come from such an operator, since they require an iteration; its inputs are the pairwise decision values.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.sparse import issparse

from .._graph import Graph, Prediction, Table, Value
from ._operators import compare, dot, row_sum
from ._registry import converts


@converts("sklearn.svm.SVR", "sklearn.svm.NuSVR")
def convert_svr(graph: Graph, model, X: Table) -> Prediction:
    """Return the weighted sum of kernels."""
    values = weigh_kernels(graph, model, X, dense(model.dual_coef_)[0])
    return Prediction(values=graph.binary("Add", values, model.intercept_))


@converts("sklearn.svm.SVC", "sklearn.svm.NuSVC")
def convert_svc(graph: Graph, model, X: Table) -> Prediction:
    """Return the class that wins most comparisons of two classes."""
    count = len(model.classes_)
    pairs = list(combinations(range(count), 2))
    values = graph.binary("Add", weigh_kernels(graph, model, X, pair_weights(model, pairs)), model.intercept_)
    probabilities = None
    if hasattr(model, "predict_proba"):
        # With two classes, scikit-learn flips the sign of libsvm's decision value.
        signed = graph.op("Neg", values, dtype=values.dtype, shape=values.shape) if count == 2 else values
        probabilities = class_probabilities(graph, model, signed, pairs)
    if count == 2:
        scores = graph.reshape(values, ())
        codes = graph.cast(compare(graph, "GreaterOrEqual", scores, 0), np.int64)
        return Prediction(codes=codes, probabilities=probabilities, scores=scores)
    # A pairwise value of 0 is a vote for the second class in libsvm, but for the first in decision_function.
    votes = count_votes(graph, compare(graph, "Greater", values, 0), pairs)
    scores = values
    if model.decision_function_shape == "ovr":
        scores = by_class(graph, values, pairs)
    ties = model.break_ties and model.decision_function_shape == "ovr"
    return Prediction(codes=graph.argmax(scores if ties else votes), probabilities=probabilities, scores=scores)


def weigh_kernels(graph: Graph, model, X: Table, weights: np.ndarray) -> Value:
    """Return weighted sums of the kernels of each row with each support vector."""
    if not isinstance(model.kernel, str) or model.kernel == "precomputed":
        title = f"{type(model).__name__}(kernel={model.kernel!r})"
        raise graph.refuse(title, 'use "linear", "poly", "rbf" or "sigmoid"')
    vectors = np.asarray(dense(model.support_vectors_), np.float64)
    value, gamma = graph.matrix(X, np.float64), float(model._gamma)
    if model.kernel == "linear":
        return dot(graph, value, vectors.T @ weights)
    if model.kernel == "rbf":
        values = graph.binary("Mul", squared_distances(graph, value, vectors), -gamma)
    else:
        values = graph.binary("Add", graph.binary("Mul", dot(graph, value, vectors.T), gamma), model.coef0)
    if model.kernel == "poly":
        return dot(graph, graph.binary("Pow", values, model.degree), weights)
    kind = "Exp" if model.kernel == "rbf" else "Tanh"
    return dot(graph, graph.op(kind, values, dtype=values.dtype, shape=values.shape), weights)


def squared_distances(graph: Graph, value: Value, vectors: np.ndarray) -> Value:
    """Return the squared distance of each row to each vector, centered at their mean to lose few digits."""
    center = vectors.mean(axis=0)
    value, vectors = graph.binary("Sub", value, center), vectors - center
    squares = row_sum(graph, graph.binary("Mul", value, value))
    products = dot(graph, value, -2 * vectors.T)
    together = graph.binary("Add", products, squares)
    together = graph.binary("Add", together, np.sum(vectors**2, axis=1))
    return graph.binary("Max", together, 0)


def pair_weights(model, pairs) -> np.ndarray:
    """Return the weight of each support vector for each pair of classes; zero for vectors of other classes.

    Row j - 1 of ``dual_coef_`` holds the weights against class j for vectors of earlier classes, and row i the weights
    against class i for vectors of later classes.
    """
    coefficients = np.asarray(dense(model.dual_coef_), np.float64)
    owners = np.repeat(np.arange(len(model.classes_)), model.n_support_)
    weights = np.zeros((len(owners), len(pairs)))
    for column, (i, j) in enumerate(pairs):
        weights[owners == i, column] = coefficients[j - 1, owners == i]
        weights[owners == j, column] = coefficients[i, owners == j]
    return weights


def count_votes(graph: Graph, first: Value, pairs) -> Value:
    """Return the number of pairs that each class wins; ``first`` is True where the first class of a pair wins."""
    gains = pair_matrix(pairs, 1, -1)  # one more win for the first class, one less for the second
    lost = pair_matrix(pairs, 0, 1).sum(axis=0)
    won = dot(graph, graph.cast(first, np.float64), gains)
    return graph.binary("Add", won, lost)


def by_class(graph: Graph, values: Value, pairs) -> Value:
    """Return the votes for each class plus less than a third of a vote for the values, like scikit-learn."""
    behind = compare(graph, "Less", values, 0)
    votes = count_votes(graph, graph.op("Not", behind, dtype=bool, shape=behind.shape), pairs)
    sums = dot(graph, values, pair_matrix(pairs, 1, -1))
    sizes = graph.op("Abs", sums, dtype=sums.dtype, shape=sums.shape)
    bounds = graph.binary("Mul", graph.binary("Add", sizes, 1), 3)
    return graph.binary("Add", votes, graph.binary("Div", sums, bounds))


def pair_matrix(pairs, first: float, second: float) -> np.ndarray:
    """Return a matrix (pairs, classes) with ``first`` for the first class of each pair, ``second`` for the second."""
    matrix = np.zeros((len(pairs), pairs[-1][1] + 1))
    for row, (i, j) in enumerate(pairs):
        matrix[row, i], matrix[row, j] = first, second
    return matrix


def class_probabilities(graph: Graph, model, values: Value, pairs) -> Value:
    """Return the class probabilities for pairwise decision values.

    The operator is used as a linear machine whose support vectors are unit vectors: each selects the value of a pair.
    """
    count = len(model.classes_)
    owned = [[pair for pair, (i, _) in enumerate(pairs) if i == owner] for owner in range(count)]
    owned[-1] = [0]  # the last class is never the first of a pair, but the operator requires a vector for it
    vectors = [pair for own in owned for pair in own]
    weights = np.zeros((count - 1, len(vectors)), np.float32)
    for column, pair in enumerate(vectors[:-1]):
        weights[pairs[pair][1] - 1, column] = 1
    value = graph.cast(values, np.float32)
    _, found = graph.ops(
        "SVMClassifier",
        value,
        outputs=[(np.int64, ()), (np.float32, (count,))],
        domain="ai.onnx.ml",
        classlabels_ints=list(range(count)),
        coefficients=weights.ravel().tolist(),
        kernel_params=[0.0, 0.0, 0.0],
        kernel_type="LINEAR",
        prob_a=model._probA.tolist(),
        prob_b=model._probB.tolist(),
        rho=[0.0] * len(pairs),
        support_vectors=np.eye(len(pairs), dtype=np.float32)[vectors].ravel().tolist(),
        vectors_per_class=[len(own) for own in owned],
    )
    return found


def dense(array) -> np.ndarray:
    """Return a dense array; attributes of models fitted to sparse X are sparse."""
    return array.toarray() if issparse(array) else array
