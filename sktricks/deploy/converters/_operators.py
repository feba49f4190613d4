"""Operators that converters share: comparisons, products, sums over columns, in the dtypes of numpy."""

from __future__ import annotations

import numpy as np
import sklearn

from .._graph import Frame, Graph, Table, Value

SKLEARN = tuple(int(part) for part in sklearn.__version__.split(".")[:2])  # the version in use, as in (1, 8)


def as_floats(graph: Graph, X: Table) -> Value:
    """Return X as float32 if it is, otherwise as float64: scikit-learn's ``FLOAT_DTYPES``."""
    value = graph.matrix(X)
    if value.dtype == np.float16:
        raise graph.refuse("columns of float16", "convert X to float32")
    return value if value.dtype == np.float32 else graph.cast(value, np.float64)


def in_place(graph: Graph, kind: str, value: Value, array: np.ndarray) -> Value:
    """Return what numpy leaves in X after ``X *= array``: computed in the wider dtype, rounded to that of X."""
    wide = np.result_type(value.dtype, array.dtype)
    return graph.cast(graph.binary(kind, graph.cast(value, wide), array), value.dtype)


def dot(graph: Graph, value: Value, matrix: np.ndarray) -> Value:
    """Return ``X @ matrix`` in the dtype that numpy gives it."""
    dtype = np.result_type(value.dtype, matrix.dtype)
    shape = matrix.shape[1:]
    return graph.op("MatMul", graph.cast(value, dtype), graph.constant(matrix, dtype), dtype=dtype, shape=shape)


def add(graph: Graph, value: Value, array) -> Value:
    """Return the sum of a value and an array, or a scalar, in the dtype that numpy gives it."""
    dtype = (np.zeros(1, value.dtype) + array).dtype
    return graph.binary("Add", graph.cast(value, dtype), array)


def opposite(graph: Graph, start: float, value: Value) -> Value:
    """Return ``start - x``."""
    return graph.op("Sub", graph.constant(start, value.dtype), value, dtype=value.dtype, shape=value.shape)


def complement(graph: Graph, value: Value, whole: float = 1.0) -> Value:
    """Return ``whole - x`` and x side by side."""
    return graph.concat([opposite(graph, whole, value), value])


def above_half(graph: Graph, value: Value) -> Value:
    """Return 1 above 0.5 and 0 elsewhere, int64: which of several labels are predicted."""
    half = graph.constant(0.5, value.dtype)
    return graph.cast(graph.op("Greater", value, half, dtype=bool, shape=value.shape), np.int64)


def softmax(graph: Graph, value: Value) -> Value:
    """Return the softmax of each row."""
    return graph.op("Softmax", value, dtype=value.dtype, shape=value.shape, axis=-1)


def sigmoid(graph: Graph, value: Value) -> Value:
    """Return ``1 / (1 + exp(-x))``.

    The runtime's sigmoid rounds small results to 0. That is as good where they are one of two probabilities, but not
    where all classes share what little they have.
    """
    if value.shape == (1,):
        return graph.op("Sigmoid", value, dtype=value.dtype, shape=value.shape)
    for kind in ("Neg", "Exp"):
        value = graph.op(kind, value, dtype=value.dtype, shape=value.shape)
    return graph.op("Reciprocal", graph.binary("Add", value, 1), dtype=value.dtype, shape=value.shape)


def compare(graph: Graph, kind: str, value: Value, array) -> Value:
    """Return ``Less``, ``GreaterOrEqual``, ``Equal``, ... of a value and an array, in the dtype numpy compares in."""
    array = np.asarray(array)
    dtype = np.result_type(value.dtype, array.dtype) if array.dtype.kind == "f" or array.ndim else value.dtype
    dtype = dtype if dtype.kind == "f" else np.dtype(np.int64)  # the runtime does not compare all integers
    shape = np.broadcast_shapes(value.shape, array.shape[-1:])
    return graph.op(kind, graph.cast(value, dtype), graph.constant(array, dtype), dtype=bool, shape=shape)


def where(graph: Graph, condition: Value, yes: Value, no: Value) -> Value:
    """Return ``yes`` where a condition holds, elsewhere ``no``."""
    shape = np.broadcast_shapes(condition.shape, yes.shape, no.shape)
    return graph.op("Where", condition, yes, no, dtype=no.dtype, shape=shape)


def clip(graph: Graph, value: Value, low: float, high: float) -> Value:
    """Return a value within bounds."""
    bounds = graph.constant(low, value.dtype), graph.constant(high, value.dtype)
    return graph.op("Clip", value, *bounds, dtype=value.dtype, shape=value.shape)


def row_sum(graph: Graph, value: Value) -> Value:
    """Return the sum of each row, of shape (1,)."""
    axes = graph.constant([1], np.int64)
    return graph.op("ReduceSum", value, axes, dtype=value.dtype, shape=(1,), keepdims=1)


def row_max(graph: Graph, value: Value) -> Value:
    """Return the largest column of each row, of shape (1,)."""
    return graph.op("ReduceMax", value, graph.constant([1], np.int64), dtype=value.dtype, shape=(1,), keepdims=1)


def repeat_row(graph: Graph, row: np.ndarray, X: Table) -> Value:
    """Return an array, the same for each row of X."""
    some = next(iter(X.columns.values())) if isinstance(X, Frame) else graph.matrix(X)
    rows = graph.op("Shape", some, dtype=np.int64, start=0, end=1)
    shape = graph.op("Concat", rows, graph.constant(row.shape, np.int64), dtype=np.int64, axis=0) if row.ndim else rows
    return graph.op("Expand", graph.constant(row), shape, dtype=row.dtype, shape=row.shape)


def keeps_frames(estimator) -> bool:
    """Return True if a transformer returns DataFrames, whose columns keep their dtypes, by ``set_output``."""
    chosen = getattr(estimator, "_sklearn_output_config", {}).get("transform")
    return (chosen or sklearn.get_config()["transform_output"]) != "default"


def find_strings(graph: Graph, value: Value, wanted: list[str]) -> Value:
    """Return which strings are among some: ONNX compares strings from opset 19 on only."""
    found = graph.op(
        "LabelEncoder",
        value,
        dtype=np.int64,
        shape=value.shape,
        domain="ai.onnx.ml",
        keys_strings=wanted or [""],  # no list is empty
        values_int64s=[1] * len(wanted) or [0],
        default_int64=0,
    )
    return graph.cast(found, bool)


def name_outputs(estimator, count: int) -> list[str]:
    """Return the names of the columns that a transformer returns."""
    try:
        names = [str(name) for name in estimator.get_feature_names_out()]
    except (AttributeError, ValueError):  # a step inside knows no names
        names = []
    return names if len(set(names)) == count else [f"x{index}" for index in range(count)]
