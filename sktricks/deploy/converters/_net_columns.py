"""The columns of a table as a net reads them: imputed numbers, missing-value indicators, codes of categories.

This module repeats :mod:`sktricks.tables._frames` and :mod:`sktricks.tables._columns` in a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch

from ...training._inputs import table_dtype
from .._graph import STRING, Frame, Graph, Table, Value


@dataclass(frozen=True)
class NetColumns:
    """The columns of a table, converted for a net.

    Parameters
    ----------
    dtype : numpy dtype
        The dtype in which the net reads tables.
    numbers : Value or None
        (k,), in this dtype; None if there are none.
    codes : list of Value
        The codes of missing-value indicators and of categories, int64 of shape (1,). Code 0 means that nothing is
        missing, or that the category is unknown.
    sizes : list of int
        The number of categories of each column in ``codes``, 1 for an indicator.
    """

    dtype: np.dtype
    numbers: Value | None
    codes: list[Value]
    sizes: list[int]


def read_columns(graph: Graph, net, X: Table, continued: bool) -> NetColumns:
    """Return the columns of X for a fitted net.

    Parameters
    ----------
    graph : Graph
    net : BaseNet
        Fitted on a table.
    X : Value or Frame
    continued : bool
        Number the codes of all columns consecutively, instead of starting each column with 1.
    """
    columns, mask = getattr(net, "_columns", None), getattr(net, "is_categorical_", None)
    mask = np.zeros(X.shape[0], bool) if mask is None else mask
    numbers, dtype = read_numbers(graph, X, np.flatnonzero(~mask).tolist(), net._device)
    if columns is None:  # the net does not accept missing values
        return NetColumns(dtype, numbers, [], [])
    marked = np.flatnonzero(columns.has_gaps).tolist()
    sizes = [1] * len(marked) + [int(codes.max()) for codes in columns.places]
    begins = list(accumulate(sizes, initial=0)) if continued else [0] * len(sizes)
    found: list[Value] = []
    if numbers is not None:
        missing = graph.op("IsNaN", numbers, dtype=bool, shape=numbers.shape)
        numbers = fill(graph, numbers, missing, columns.means)
        found += [indicate(graph, missing, index, begin) for index, begin in zip(marked, begins, strict=False)]
    for index, codes, begin in zip(np.flatnonzero(mask), categories_of(net), begins[len(marked) :], strict=False):
        values = {value: code + begin for value, code in codes.items() if code}
        found.append(encode_column(graph, column_of(graph, X, int(index)), values))
    return NetColumns(dtype, numbers, found, sizes)


def categories_of(net) -> list[dict]:
    """Return for each column of categories the code of each value, 0 for categories without training rows."""
    if net.is_categorical_ is None:
        return []
    pairs = zip(net._categories, net._columns.places, strict=True)
    return [dict(zip(known, codes[1:].tolist(), strict=False)) for known, codes in pairs]


def read_numbers(graph: Graph, X: Table, indices: Sequence[int], device) -> tuple[Value | None, np.dtype]:
    """Return the numeric columns as one value, and the dtype in which the net reads them."""
    if not indices:
        return None, np.dtype(np.float32)
    if isinstance(X, Frame):
        X = X.select(indices)
        strings = [name for name, value in X.columns.items() if value.dtype == STRING]
        if strings:
            raise graph.refuse(f"strings in the columns {strings}, which the net reads as numbers", "convert them")
        value = graph.matrix(X)
    else:
        value = graph.take(graph.matrix(X), indices)
    dtype = np.dtype(np.float64 if table_dtype(value.dtype, device) == torch.float64 else np.float32)
    return graph.cast(value, dtype), dtype


def fill(graph: Graph, numbers: Value, missing: Value, means: np.ndarray) -> Value:
    """Replace missing numbers by the mean of their column."""
    return graph.op(
        "Where", missing, graph.constant(means[None], numbers.dtype), numbers, dtype=numbers.dtype, shape=numbers.shape
    )


def indicate(graph: Graph, missing: Value, index: int, begin: int) -> Value:
    """Return the code of a missing-value indicator: its only category if the number is missing, otherwise 0."""
    code = graph.cast(graph.take(missing, [index]), np.int64)
    return graph.binary("Mul", code, [begin + 1]) if begin else code


def column_of(graph: Graph, X: Table, index: int) -> Value:
    """Return one column of X."""
    if isinstance(X, Frame):
        return list(X.columns.values())[index]
    return graph.take(graph.matrix(X), [index])


def encode_column(graph: Graph, column: Value, codes: dict) -> Value:
    """Return the code of each value of a column, 0 for unknown values; missing values have the key None."""
    missing = codes.get(None, 0)
    numbers = {value: code for value, code in codes.items() if not isinstance(value, str | None)}
    strings = {value: code for value, code in codes.items() if isinstance(value, str)}
    others = [value for value in numbers if not isinstance(value, bool | int | float)]
    if others or (numbers and strings):
        raise graph.refuse(
            f"categories that are neither all strings nor all numbers, {[*strings, *numbers][:5]}",
            "convert the column to strings before fit",
        )
    if column.dtype == STRING:
        if "" in strings:
            raise graph.refuse("the category '', which means a missing value in ONNX", "rename it before fit")
        return encode_strings(graph, column, {**strings, "": missing})
    if column.dtype.kind in "biu":
        whole = {int(value): code for value, code in numbers.items() if value == int(value)}
        return encode_integers(graph, graph.cast(column, np.int64), whole)
    return encode_floats(graph, graph.cast(column, np.float64), numbers, missing)


def encode_strings(graph: Graph, column: Value, codes: dict[str, int]) -> Value:
    """Return the code of each string."""
    keys = {"keys_strings": list(codes), "values_int64s": list(codes.values()), "default_int64": 0}
    return graph.op("LabelEncoder", column, dtype=np.int64, shape=(1,), domain="ai.onnx.ml", **keys)


def encode_integers(graph: Graph, column: Value, codes: dict[int, int]) -> Value:
    """Return the code of each integer."""
    keys = {"keys_int64s": list(codes) or [0], "values_int64s": list(codes.values()) or [0], "default_int64": 0}
    return graph.op("LabelEncoder", column, dtype=np.int64, shape=(1,), domain="ai.onnx.ml", **keys)


def encode_floats(graph: Graph, column: Value, codes: dict[float, int], missing: int) -> Value:
    """Return the code of each number, compared in float64, and of NaN."""
    keys = graph.constant([list(codes) or [0.0]], np.float64)
    equal = graph.cast(graph.op("Equal", column, keys, dtype=bool, shape=(len(codes) or 1,)), np.float64)
    values = graph.constant([[code] for code in codes.values()] or [[0]], np.float64)
    found = graph.cast(graph.op("MatMul", equal, values, dtype=np.float64, shape=(1,)), np.int64)
    if not missing:
        return found
    is_missing = graph.cast(graph.op("IsNaN", column, dtype=bool, shape=(1,)), np.int64)
    return graph.binary("Add", found, graph.binary("Mul", is_missing, [missing]))


def one_hot(graph: Graph, codes: Value, size: int, dtype) -> Value:
    """Return ``size`` columns that one-hot encode the codes from 1 on; code 0 gives zeros."""
    rows = graph.constant(np.eye(size + 1, size, -1, dtype=dtype))
    found = graph.op("Gather", rows, codes, dtype=dtype, shape=(1, size))
    return graph.reshape(found, (size,))
