"""Converter of CalibratedClassifierCV: the classifiers of all folds, with one operator for their calibrators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._labels import encode_labels
from .._graph import Graph, Prediction, Table, Value
from ._aligned_members import Member, add_members
from ._graph_votes import divide, mean, total
from ._operators import compare, complement, opposite, sigmoid, softmax, where
from ._registry import converts, from_probabilities
from ._shallow_trees import flatten
from ._tree_ensembles import count_reached, look_up

EPSILON = 1e-12  # scikit-learn adds this to probabilities before taking logarithms


@converts("sklearn.calibration.CalibratedClassifierCV")
def convert_calibrated_classifier(graph: Graph, calibrated, X: Table) -> Prediction:
    """Add the classifiers of all folds, and the mean of their calibrated probabilities."""
    pairs, classes = calibrated.calibrated_classifiers_, np.asarray(calibrated.classes_)
    names = [f"fold{number}" for number in range(len(pairs))]
    members = add_members(graph, names, [pair.estimator for pair in pairs], X)
    if pairs[0].method == "temperature":
        probabilities = [temper(graph, member, pair, classes) for member, pair in zip(members, pairs, strict=True)]
        probabilities = [graph.cast(one, np.float64) for one in probabilities]
        return from_probabilities(graph, mean(graph, probabilities))
    width = 1 if len(classes) == 2 else len(classes)
    columns, calibrators = [], []
    for member, pair in zip(members, pairs, strict=True):
        some, own = read_columns(graph, member, pair, classes, width)
        columns.append(some)
        calibrators += own
    values = graph.cast(graph.concat(columns), np.float64)
    values = (isotonic if pairs[0].method == "isotonic" else sigmoid_of_lines)(graph, values, calibrators)
    return from_probabilities(graph, mean_of_folds(graph, values, len(pairs), width))


def read_response(graph: Graph, member: Member) -> Value:
    """Return the inputs of the calibrators: decision values, or probabilities, with two classes only the second."""
    estimator, prediction = member.estimator, member.prediction
    has_scores = hasattr(estimator, "decision_function")
    value = prediction.scores if has_scores else prediction.probabilities
    with graph.scope(member.name):
        if value is None or len(estimator.classes_) < 2:
            raise graph.refuse(
                f"{type(estimator).__name__}, whose decision_function or predict_proba has no converter", "replace it"
            )
    if not has_scores and len(estimator.classes_) == 2:
        return graph.take(value, [1])
    return value if value.shape else graph.reshape(value, (1,))


def read_columns(graph: Graph, member: Member, pair, classes: np.ndarray, width: int) -> tuple[Value, list]:
    """Return one column and one calibrator per class; for classes missing in the fold, any column and None."""
    value = read_response(graph, member)
    own = encode_labels(np.asarray(pair.estimator.classes_), classes) if width > 1 else np.array([0])
    used = min(len(own), value.shape[0], len(pair.calibrators))
    indices, calibrators = np.zeros(width, int), [None] * width
    for index in range(used):
        indices[own[index]], calibrators[own[index]] = index, pair.calibrators[index]
    return graph.take(value, indices.tolist()), calibrators


def sigmoid_of_lines(graph: Graph, values: Value, calibrators: Sequence) -> Value:
    """Return the sigmoid of a linear function of each column; 0 without a calibrator."""
    slopes = np.array([0.0 if one is None else -one.a_ for one in calibrators])
    offsets = np.array([-np.inf if one is None else -one.b_ for one in calibrators])
    line = graph.binary("Add", graph.binary("Mul", values, slopes), offsets)
    return sigmoid(graph, line)


def isotonic(graph: Graph, values: Value, calibrators: Sequence) -> Value:
    """Return the linear interpolation between the nodes of each column; 0 without a calibrator.

    The index of the segment of a value is the number of nodes that are not above it. Segment 0 is left of all nodes;
    the first and the last segment are constant.
    """
    nodes = [read_nodes(one) for one in calibrators]
    width, most = len(nodes), max(len(x) for x, _ in nodes)
    starts, heights, slopes = np.zeros((3, width, most + 1))
    for column, (x, y) in enumerate(nodes):
        starts[column, 1 : len(x) + 1] = x
        heights[column, 0], heights[column, 1 : len(x) + 1] = y[0], y
        slopes[column, 1 : len(x)] = np.diff(y) / np.diff(x)
    count = count_reached(graph, values, [x for x, _ in nodes])
    segment = flatten(graph, graph.binary("Add", count, np.arange(width) * (most + 1)))
    start, slope, height = (
        graph.reshape(look_up(graph, segment, table.ravel()), (width,)) for table in (starts, slopes, heights)
    )
    return graph.binary("Add", graph.binary("Mul", slope, graph.binary("Sub", values, start)), height)


def read_nodes(calibrator) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes of an IsotonicRegression, float64."""
    if calibrator is None:
        return np.zeros(1), np.zeros(1)
    x, y = (np.asarray(one, np.float64) for one in (calibrator.X_thresholds_, calibrator.y_thresholds_))
    return x, y


def mean_of_folds(graph: Graph, values: Value, n_folds: int, width: int) -> Value:
    """Return the mean over the folds of the normalized columns, (n, classes)."""
    values = graph.reshape(values, (n_folds, width))
    if width == 1:
        width = 2
        others = opposite(graph, 1, values)
        values = graph.op("Concat", others, values, dtype=np.float64, shape=(n_folds, 2), axis=2)
    else:
        axes = graph.constant([2], np.int64)
        sums = graph.op("ReduceSum", values, axes, dtype=np.float64, shape=(n_folds, 1), keepdims=1)
        uniform = graph.constant(1 / width, np.float64)
        empty = compare(graph, "Equal", sums, 0)
        shares = graph.binary("Div", values, sums)
        values = where(graph, empty, uniform, shares)
    folds = [values]
    if n_folds > 1:
        outputs = [(np.float64, (1, width))] * n_folds
        folds = graph.ops("Split", values, outputs=outputs, axis=1, num_outputs=n_folds)
    return graph.reshape(divide(graph, total(graph, folds), n_folds), (width,))


def temper(graph: Graph, member: Member, pair, classes: np.ndarray) -> Value:
    """Return the softmax of decision values, or of logarithms of probabilities, at a temperature."""
    if len(pair.estimator.classes_) != len(classes):  # scikit-learn itself cannot predict in this case
        raise graph.refuse("a fold without some of the classes", "stratify the folds")
    value = read_response(graph, member)
    if not hasattr(pair.estimator, "decision_function"):
        if len(classes) == 2:
            value = complement(graph, value)
        value = graph.binary("Add", value, EPSILON)
        value = graph.op("Log", value, dtype=value.dtype, shape=value.shape)
    elif value.shape == (1,):
        value = complement(graph, value, 0)
    beta = np.asarray(pair.calibrators[0].beta_)
    return softmax(graph, graph.binary("Mul", graph.cast(value, np.result_type(value.dtype, beta.dtype)), beta))
