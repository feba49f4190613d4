"""The inputs of a graph for an example of X: one for an array, one per column of a DataFrame, pixels for files."""

from __future__ import annotations

import numpy as np

from ..images._image_column import as_column
from ..tables._frames import is_frame, is_missing, is_polars, values_of
from ._feeds import ARRAY
from ._graph import STRING, Frame, Graph, Paths, Table


def add_inputs(graph: Graph, X) -> Table:
    """Add the inputs for rows like X to a graph, and return them as the input of the first step.

    A column of strings in a DataFrame may hold image files: the step that reads them calls :meth:`Graph.decode`.
    """
    if not is_frame(X):
        # Rows of one string are a table with one column, which ImageLoader may decode.
        if np.ndim(X) < 2 and as_column(X) is not None:
            return Paths(getattr(X, "name", None) or "path")
        X = X if hasattr(X, "dtype") else np.asarray(X)
        if X.dtype.kind in "biuf":
            return graph.add_input(ARRAY, X.dtype, X.shape[1:])
    names = column_names(X)
    dtypes = list(X.dtypes) if is_frame(X) else [STRING] * X.shape[1]
    values = [values_of(X, index) for index in range(len(names))]
    columns = [column_dtype(dtype, column) for dtype, column in zip(dtypes, values, strict=True)]
    for name, dtype, found in zip(names, dtypes, columns, strict=True):
        if found is None:
            raise graph.refuse(
                f"the column {name!r} of {dtype}, a type that ONNX lacks",
                "drop it before fit, or convert it to numbers or strings",
            )
    pairs = zip(names, values, strict=True)
    graph.nones.update(name for name, column in pairs if is_polars(X) or any(one is None for one in column))
    return Frame({name: graph.add_input(name, dtype, (1,)) for name, dtype in zip(names, columns, strict=True)})


def column_names(X) -> list[str]:
    """Return the names of the inputs for the columns of a table."""
    return [str(name) for name in X.columns] if is_frame(X) else [f"x{index}" for index in range(np.shape(X)[1])]


def column_dtype(dtype, values: list) -> np.dtype | None:
    """Return the dtype of the input for a column of strings or numbers, None for others.

    Integers with missing values become float64.
    """
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return dtype
    present = [value for value in values if not is_missing(value)]
    if any(isinstance(value, str) for value in present):
        return STRING
    kind = object_kind(present)
    if kind not in "biuf":
        return None
    if len(present) < len(values) or kind not in "biu":
        return np.dtype(np.float64)
    return np.dtype(bool if kind == "b" else np.int64)


def object_kind(values: list) -> str:
    """Return the kind of the dtype that numpy infers for some values; "O" for values such as lists."""
    try:
        found = np.array(values)
    except ValueError:  # lists of different lengths
        return "O"
    return found.dtype.kind if found.ndim == 1 else "O"
