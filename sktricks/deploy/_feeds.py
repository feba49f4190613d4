"""From X to what an ONNX runtime is called with; numpy is all that this needs.

A missing value of a column of strings is the empty string, a missing number is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def make_feeds(X, inputs: Sequence[tuple[str, np.dtype]]) -> dict[str, np.ndarray]:
    """Return the arrays to run a graph with, by the names of its inputs.

    Parameters
    ----------
    X : ndarray, DataFrame of pandas or polars, or dict
        An array for a graph with one input; otherwise the columns, as a table or by name.
    inputs : list of (name, dtype)
        Those of the graph; the dtype of objects is strings.
    """
    if len(inputs) == 1 and not hasattr(X, "columns") and not isinstance(X, dict):
        name, dtype = inputs[0]
        return {name: as_array(X, dtype)}
    if isinstance(X, dict) or hasattr(X, "columns"):
        return {name: as_array(X[name], dtype).reshape(-1, 1) for name, dtype in inputs}
    columns = np.asarray(X, dtype=object).T
    return {name: as_array(column, dtype).reshape(-1, 1) for (name, dtype), column in zip(inputs, columns, strict=True)}


def as_array(values, dtype: np.dtype) -> np.ndarray:
    """Return values in the dtype of an input, without gaps if it holds strings."""
    if dtype == np.dtype(object):
        found = np.asarray(values, dtype=object)
        missing = [is_missing(value) for value in found.ravel().tolist()]
        return np.where(np.reshape(missing, found.shape), "", found)
    if getattr(values, "dtype", None) == dtype:
        return np.ascontiguousarray(values)
    values = np.asarray(values)
    if values.dtype == object:
        values = np.array([np.nan if is_missing(value) else value for value in values])
    return np.ascontiguousarray(values, dtype)


def is_missing(value) -> bool:
    """Return True for None, NaN and the missing values of pandas."""
    return value is None or type(value).__name__ == "NAType" or value != value
