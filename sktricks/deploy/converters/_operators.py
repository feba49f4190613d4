"""Operators shared by converters: comparisons, products, sums over columns, with numpy's dtypes."""

from __future__ import annotations

import numpy as np
import sklearn

from .._graph import Frame, Graph, Table, Value

SKLEARN = tuple(int(part) for part in sklearn.__version__.split(".")[:2])  # the installed version, such as (1, 8)


def as_floats(graph: Graph, X: Table) -> Value:
    """Return X as float64 unless it is float32, according to scikit-learn's ``FLOAT_DTYPES``."""
    value = graph.matrix(X)
    if value.dtype == np.float16:
        raise graph.refuse("columns of float16", "convert X to float32")
    return value if value.dtype == np.float32 else graph.cast(value, np.float64)


def in_place(graph: Graph, kind: str, value: Value, array: np.ndarray) -> Value:
    """Return the result of an in-place operation such as ``X *= array``: rounded to the dtype of X."""
    wide = np.result_type(value.dtype, array.dtype)
    return graph.cast(graph.binary(kind, graph.cast(value, wide), array), value.dtype)


def dot(graph: Graph, value: Value, matrix: np.ndarray) -> Value:
    """Return ``X @ matrix`` in numpy's result dtype."""
    dtype = np.result_type(value.dtype, matrix.dtype)
    shape = matrix.shape[1:]
    return graph.op("MatMul", graph.cast(value, dtype), graph.constant(matrix, dtype), dtype=dtype, shape=shape)


def add(graph: Graph, value: Value, array) -> Value:
    """Return the sum of a value and an array or scalar in numpy's result dtype."""
    dtype = (np.zeros(1, value.dtype) + array).dtype
    return graph.binary("Add", graph.cast(value, dtype), array)


def opposite(graph: Graph, start: float, value: Value) -> Value:
    """Return ``start - x``."""
    return graph.op("Sub", graph.constant(start, value.dtype), value, dtype=value.dtype, shape=value.shape)


def complement(graph: Graph, value: Value, whole: float = 1.0) -> Value:
    """Return the columns ``whole - x`` and x."""
    return graph.concat([opposite(graph, whole, value), value])


def above_half(graph: Graph, value: Value) -> Value:
    """Return 1 above 0.5 and 0 elsewhere, int64: the predicted labels of multilabel targets."""
    half = graph.constant(0.5, value.dtype)
    return graph.cast(graph.op("Greater", value, half, dtype=bool, shape=value.shape), np.int64)


def softmax(graph: Graph, value: Value) -> Value:
    """Return the softmax of each row."""
    return graph.op("Softmax", value, dtype=value.dtype, shape=value.shape, axis=-1)


def sigmoid(graph: Graph, value: Value) -> Value:
    """Return ``1 / (1 + exp(-x))``.

    The runtime's sigmoid rounds small results to 0. This does not matter for one of two probabilities, but it does if
    small values of all classes are normalized.
    """
    if value.shape == (1,):
        return graph.op("Sigmoid", value, dtype=value.dtype, shape=value.shape)
    for kind in ("Neg", "Exp"):
        value = graph.op(kind, value, dtype=value.dtype, shape=value.shape)
    return graph.op("Reciprocal", graph.binary("Add", value, 1), dtype=value.dtype, shape=value.shape)


def compare(graph: Graph, kind: str, value: Value, array) -> Value:
    """Return ``Less``, ``GreaterOrEqual``, ``Equal``, ... of a value and an array, compared in numpy's dtype."""
    array = np.asarray(array)
    dtype = np.result_type(value.dtype, array.dtype) if array.dtype.kind == "f" or array.ndim else value.dtype
    dtype = dtype if dtype.kind == "f" else np.dtype(np.int64)  # the runtime cannot compare all integer dtypes
    shape = np.broadcast_shapes(value.shape, array.shape[-1:])
    return graph.op(kind, graph.cast(value, dtype), graph.constant(array, dtype), dtype=bool, shape=shape)


def where(graph: Graph, condition: Value, yes: Value, no: Value) -> Value:
    """Return ``yes`` where a condition holds, elsewhere ``no``."""
    shape = np.broadcast_shapes(condition.shape, yes.shape, no.shape)
    return graph.op("Where", condition, yes, no, dtype=no.dtype, shape=shape)


def clip(graph: Graph, value: Value, low: float, high: float) -> Value:
    """Return a value clipped to bounds."""
    bounds = graph.constant(low, value.dtype), graph.constant(high, value.dtype)
    return graph.op("Clip", value, *bounds, dtype=value.dtype, shape=value.shape)


def row_sum(graph: Graph, value: Value) -> Value:
    """Return the sum of each row, of shape (1,)."""
    axes = graph.constant([1], np.int64)
    return graph.op("ReduceSum", value, axes, dtype=value.dtype, shape=(1,), keepdims=1)


def row_max(graph: Graph, value: Value) -> Value:
    """Return the maximum of each row, of shape (1,)."""
    return graph.op("ReduceMax", value, graph.constant([1], np.int64), dtype=value.dtype, shape=(1,), keepdims=1)


def repeat_row(graph: Graph, row: np.ndarray, X: Table) -> Value:
    """Return an array repeated for each row of X."""
    some = next(iter(X.columns.values())) if isinstance(X, Frame) else graph.matrix(X)
    rows = graph.op("Shape", some, dtype=np.int64, start=0, end=1)
    shape = graph.op("Concat", rows, graph.constant(row.shape, np.int64), dtype=np.int64, axis=0) if row.ndim else rows
    return graph.op("Expand", graph.constant(row), shape, dtype=row.dtype, shape=row.shape)


def keeps_frames(estimator) -> bool:
    """Return True if ``set_output`` makes a transformer return DataFrames, whose columns keep their dtypes."""
    chosen = getattr(estimator, "_sklearn_output_config", {}).get("transform")
    return (chosen or sklearn.get_config()["transform_output"]) != "default"


def find_strings(graph: Graph, value: Value, wanted: list[str]) -> Value:
    """Return True for strings that are in ``wanted``; ``Equal`` supports strings only since opset 19."""
    found = graph.op(
        "LabelEncoder",
        value,
        dtype=np.int64,
        shape=value.shape,
        domain="ai.onnx.ml",
        keys_strings=wanted or [""],  # the list must not be empty
        values_int64s=[1] * len(wanted) or [0],
        default_int64=0,
    )
    return graph.cast(found, bool)


def name_outputs(estimator, count: int) -> list[str]:
    """Return the names of the columns that a transformer returns."""
    try:
        names = [str(name) for name in estimator.get_feature_names_out()]
    except (AttributeError, ValueError):  # an inner step has no feature names
        names = []
    return names if len(set(names)) == count else [f"x{index}" for index in range(count)]
