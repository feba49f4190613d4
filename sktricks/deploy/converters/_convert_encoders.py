"""Converters of OneHotEncoder and OrdinalEncoder, for strings, numbers and missing values.

Each category of each column has its own code; code 0 is an unknown value. One-hot columns are comparisons of codes,
ordinal values are looked up in a table of codes. Strings get their codes from ``LabelEncoder``; numbers from a
comparison with all categories at once, since ``LabelEncoder`` does not support float64.

``handle_unknown="error"`` is rejected, since a graph cannot raise an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._feeds import is_missing
from .._graph import STRING, Frame, Graph, Table, Value
from ._operators import SKLEARN, compare
from ._registry import converts

UNKNOWN = 0
# The first version in which "warn" makes unknown categories infrequent, as documented; before, they became zeros.
TO_INFREQUENT = ("infrequent_if_exist", "warn") if SKLEARN >= (1, 8) else ("infrequent_if_exist",)


@dataclass(frozen=True)
class Column:
    """The codes of one column.

    Parameters
    ----------
    categories : ndarray
    codes : ndarray of int
        One code per category.
    unknown : int
        The code of all other values.
    """

    categories: np.ndarray
    codes: np.ndarray
    unknown: int = UNKNOWN


@converts("sklearn.preprocessing.OneHotEncoder")
def convert_one_hot(graph: Graph, encoder, X: Table) -> Value:
    """Compare the code of each column with those of its categories, except for dropped ones."""
    if encoder.handle_unknown == "error":
        raise refuse_errors(graph, encoder, 'handle_unknown="ignore"')
    columns, sources, targets, start = [], [], [], 1
    for index, categories in enumerate(encoder.categories_):
        groups, n_groups, infrequent = group_categories(encoder, index)
        unknown = UNKNOWN
        if infrequent is not None and encoder.handle_unknown in TO_INFREQUENT:
            unknown = start + infrequent
        columns.append(Column(categories, start + groups, unknown))
        dropped = None if encoder.drop_idx_ is None else encoder.drop_idx_[index]
        kept = [group for group in range(n_groups) if dropped is None or group != groups[dropped]]
        sources += [index] * len(kept)
        targets += [start + group for group in kept]
        start += n_groups
    codes = graph.take(encode(graph, X, columns), sources)
    return graph.cast(compare(graph, "Equal", codes, np.array(targets, np.int64)), encoder.dtype)


@converts("sklearn.preprocessing.OrdinalEncoder")
def convert_ordinal(graph: Graph, encoder, X: Table) -> Value:
    """Look up the codes of all columns in one table."""
    if encoder.handle_unknown == "error":
        raise refuse_errors(graph, encoder, 'handle_unknown="use_encoded_value", unknown_value=-1')
    columns, table, start = [], [np.array([encoder.unknown_value])], 1
    for index, categories in enumerate(encoder.categories_):
        groups, _, _ = group_categories(encoder, index)
        missing = np.array([is_nan(category) for category in categories.tolist()], bool)
        table.append(np.where(missing, encoder.encoded_missing_value, groups))
        columns.append(Column(categories, np.arange(start, start + len(categories))))
        start += len(categories)
    values = graph.constant(np.concatenate(table).astype(encoder.dtype))
    return graph.op("Gather", values, encode(graph, X, columns), dtype=encoder.dtype, shape=(len(columns),), axis=0)


def group_categories(encoder, index: int) -> tuple[np.ndarray, int, int | None]:
    """Return the group of each category of a column, the number of groups, and the infrequent group or None.

    The frequent categories come first, in order; the infrequent ones share the last group. OrdinalEncoder counts NaN
    among neither, whereas it treats None like any other category.
    """
    categories = encoder.categories_[index]
    found = getattr(encoder, "infrequent_categories_", None)  # exists only if infrequent categories are grouped
    if found is None or found[index] is None:
        return np.arange(len(categories)), len(categories), None
    names = {plain(category) for category in found[index].tolist()}
    rare = np.array([plain(category) in names for category in categories.tolist()])
    if type(encoder).__name__ == "OrdinalEncoder":
        rare |= np.array([is_nan(category) for category in categories.tolist()])  # NaN is looked up in the table
    last = int(np.sum(~rare))
    groups = np.where(rare, last, np.cumsum(~rare) - 1)
    return groups, last + 1, last


def is_nan(category) -> bool:
    """Return True for NaN, but not for None: only NaN becomes ``encoded_missing_value``."""
    return isinstance(category, float | np.floating) and bool(np.isnan(category))


def plain(category):
    """Return a category, or for NaN a replacement that equals itself."""
    return None if is_missing(category) else category


def encode(graph: Graph, X: Table, columns: list[Column]) -> Value:
    """Return the code of each value, int64 of shape (columns,)."""
    if not isinstance(X, Frame):
        value = graph.matrix(X)
        return encode_strings(graph, value, columns) if value.dtype == STRING else encode_numbers(graph, value, columns)
    values = list(X.columns.values())
    strings = [index for index, value in enumerate(values) if value.dtype == STRING]
    numbers = [index for index, value in enumerate(values) if value.dtype != STRING]
    parts = [encode_string(graph, values[index], columns[index]) for index in strings]
    if numbers:
        matrix = graph.concat([values[index] for index in numbers])
        parts.append(encode_numbers(graph, matrix, [columns[index] for index in numbers]))
    return graph.take(graph.concat(parts), np.argsort([*strings, *numbers]).tolist())


def encode_strings(graph: Graph, value: Value, columns: list[Column]) -> Value:
    """Return the codes of several columns of strings."""
    parts = [encode_string(graph, graph.take(value, [index]), column) for index, column in enumerate(columns)]
    return graph.concat(parts)


def encode_string(graph: Graph, value: Value, column: Column) -> Value:
    """Return the codes of a column of strings, in which missing values are empty strings."""
    categories = column.categories.tolist()
    keys = ["" if is_missing(category) else category for category in categories]
    if not all(isinstance(key, str) for key in keys):
        raise graph.refuse(
            f"the categories {categories[:3]} of a column of strings", "convert it to strings before fit"
        )
    if len(set(keys)) < len(keys):
        raise graph.refuse(
            "a column whose categories contain both missing values and empty strings, or several kinds of missing "
            "values: in the graph all of these are the empty string",
            "replace them by one value before fit",
        )
    return graph.op(
        "LabelEncoder",
        value,
        dtype=np.int64,
        shape=(1,),
        domain="ai.onnx.ml",
        keys_strings=keys,
        values_int64s=column.codes.tolist(),
        default_int64=column.unknown,
    )


def encode_numbers(graph: Graph, value: Value, columns: list[Column]) -> Value:
    """Return the codes of several columns of numbers, by comparison with all of their categories at once."""
    sizes = [len(column.categories) for column in columns]
    categories = np.concatenate([read_numbers(graph, column.categories) for column in columns])
    sources = np.repeat(np.arange(len(columns)), sizes)
    unknown = np.array([column.unknown for column in columns])
    weights = np.zeros((len(sources), len(columns)), np.float64)
    weights[np.arange(len(sources)), sources] = np.concatenate([column.codes for column in columns]) - unknown[sources]
    if np.isnan(categories).any():
        # NaN does not equal itself. It is replaced by infinity, which the encoders do not accept as a value.
        categories = np.where(np.isnan(categories), np.inf, categories)
        if value.dtype.kind == "f":
            missing = graph.op("IsNaN", value, dtype=bool, shape=value.shape)
            infinity = graph.constant(np.inf, value.dtype)
            value = graph.op("Where", missing, infinity, value, dtype=value.dtype, shape=value.shape)
        else:
            value = graph.cast(value, np.float64)
    same = graph.cast(compare(graph, "Equal", graph.take(value, sources.tolist()), categories), np.float64)
    codes = graph.op("MatMul", same, graph.constant(weights), dtype=np.float64, shape=(len(columns),))
    if unknown.any():
        codes = graph.binary("Add", codes, unknown)
    return graph.cast(codes, np.int64)


def read_numbers(graph: Graph, categories: np.ndarray) -> np.ndarray:
    """Return the categories of a column of numbers, with NaN for a missing value."""
    values = categories.tolist()
    if any(isinstance(value, str) for value in values):
        raise graph.refuse(
            f"the categories {values[:3]} of a column that holds numbers in X",
            "pass an X whose columns have the types that they had in fit",
        )
    missing = [is_missing(value) for value in values]
    if sum(missing) > 1:
        raise graph.refuse("a column with several kinds of missing values", "replace them by NaN before fit")
    if not any(missing):
        return np.array(values, dtype=None if categories.dtype == object else categories.dtype)
    return np.array([np.nan if absent else value for value, absent in zip(values, missing, strict=True)], np.float64)


def refuse_errors(graph: Graph, encoder, cure: str):
    """Return the error for an encoder with ``handle_unknown="error"``."""
    return graph.refuse(
        f'{type(encoder).__name__}(handle_unknown="error"), since a graph cannot raise an error',
        f"set_params({cure}), which needs no new fit",
    )
