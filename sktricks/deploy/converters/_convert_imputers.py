"""Converters of SimpleImputer and MissingIndicator; missing strings are empty strings, missing numbers NaN."""

from __future__ import annotations

from numbers import Real

import numpy as np

from .._feeds import is_missing
from .._graph import STRING, Frame, Graph, Table, Value
from ._operators import as_floats, find_strings, name_outputs, where
from ._registry import converts


@converts("sklearn.impute.SimpleImputer")
def convert_imputer(graph: Graph, imputer, X: Table) -> Table:
    """Replace missing values by the statistic of their column, and append the indicator."""
    fills = list(imputer.statistics_)
    empty = [not imputer.keep_empty_features and is_missing(fill) for fill in fills]
    kept = [index for index, left_out in enumerate(empty) if not left_out]
    indicated = imputer.indicator_.features_.tolist() if imputer.add_indicator else []
    if isinstance(X, Frame) and any(value.dtype == STRING for value in X.columns.values()):
        return impute_frame(graph, imputer, X, kept, indicated)
    by_number = imputer.strategy in ("most_frequent", "constant")
    value = graph.matrix(X) if by_number else as_floats(graph, X)
    missing = find_missing(graph, value, imputer.missing_values)
    parts = [value] if missing is None else []
    if missing is not None:
        rest, holes = graph.take(value, kept), graph.take(missing, kept)
        numbers = [check_number(graph, fills[index]) for index in kept]
        parts.append(where(graph, holes, graph.constant(numbers, value.dtype), rest))
    elif len(kept) < len(fills):
        parts = [graph.take(value, kept)]
    if indicated:
        parts.append(graph.take(graph.cast(missing or no_gaps(graph, value), value.dtype), indicated))
    return graph.concat(parts)


def impute_frame(graph: Graph, imputer, X: Frame, kept: list[int], indicated: list[int]) -> Frame:
    """Impute the columns of a table with strings one by one."""
    columns = list(X.columns.values())
    missing = [find_missing(graph, value, imputer.missing_values) for value in columns]
    results = [fill_column(graph, columns[index], missing[index], imputer.statistics_[index]) for index in kept]
    for index in indicated:
        results.append(missing[index] or no_gaps(graph, columns[index]))
    return Frame(dict(zip(name_outputs(imputer, len(results)), results, strict=True)))


def fill_column(graph: Graph, value: Value, missing: Value | None, fill) -> Value:
    """Return a column with missing values replaced."""
    if missing is None:
        return value
    if (value.dtype == STRING) != isinstance(fill, str):
        raise graph.refuse(
            f"the value {fill!r}, which SimpleImputer fills into a column of {'strings' * (value.dtype == STRING)}"
            f"{'numbers' * (value.dtype != STRING)}",
            "impute columns of strings and of numbers with two imputers in a ColumnTransformer",
        )
    constant = graph.constant(np.array([fill], dtype=object if value.dtype == STRING else value.dtype))
    return where(graph, missing, constant, value)


@converts("sklearn.impute.MissingIndicator")
def convert_missing_indicator(graph: Graph, indicator, X: Table) -> Value:
    """Return which values are missing, in all columns or in those that had missing values in ``fit``."""
    columns = indicator.features_.tolist()
    if indicator.error_on_new and len(columns) < indicator.n_features_in_:
        raise graph.refuse(
            "MissingIndicator(error_on_new=True), since a graph cannot raise an error",
            "call set_params(error_on_new=False), which does not require another fit",
        )
    if not isinstance(X, Frame):
        value = graph.matrix(X)
        return graph.take(find_missing(graph, value, indicator.missing_values) or no_gaps(graph, value), columns)
    values = X.select(columns).columns.values()
    return graph.concat([find_missing(graph, v, indicator.missing_values) or no_gaps(graph, v) for v in values])


def find_missing(graph: Graph, value: Value, missing_values) -> Value | None:
    """Return which values are missing; None if the dtype has no missing values.

    None, NaN and NA are not distinguished: they are NaN among numbers and the empty string among strings. Among
    strings, scikit-learn searches for NaN or NA and keeps None.
    """
    absent = is_missing(missing_values)
    if value.dtype == STRING:
        if absent and missing_values is not None and value.name in graph.nones:
            return None
        if not absent and not isinstance(missing_values, str):
            return None
        return find_strings(graph, value, ["" if absent else missing_values])
    if absent:
        if value.dtype.kind != "f":
            return None
        return graph.op("IsNaN", value, dtype=bool, shape=value.shape)
    if not isinstance(missing_values, Real):
        return None
    # Compare as numpy does: 0.5 equals no integer, and 0.1 equals the nearest float32.
    if value.dtype.kind != "f" and missing_values % 1 != 0:
        return None
    dtype = value.dtype if value.dtype.kind == "f" else np.dtype(np.int64)
    same = graph.constant(missing_values, dtype)
    return graph.op("Equal", graph.cast(value, dtype), same, dtype=bool, shape=value.shape)


def no_gaps(graph: Graph, value: Value) -> Value:
    """Return False for every value."""
    if value.dtype == STRING:
        return find_strings(graph, value, [])
    value = graph.cast(value, np.float64)
    return graph.op("Less", value, value, dtype=bool, shape=value.shape)


def check_number(graph: Graph, fill) -> float:
    """Return the statistic of a column of numbers; raise an error if it is a string."""
    if isinstance(fill, str):
        raise graph.refuse(f"the value {fill!r} for columns of numbers", "set fill_value to a number")
    return fill
