"""The history of a net as columns: a list of dicts of numbers, which as JSON would fill most of a manifest."""

from __future__ import annotations

import numpy as np

from ._codec import Malformed

KINDS = {"float": float, "int": int, "bool": bool, "float64": np.float64}
DTYPES = {"float": np.float64, "int": np.int64, "bool": bool, "float64": np.float64}


def write_rows(rows):
    """Rows as columns.

    Parameters
    ----------
    rows : list of dict
        With strings as keys, the same ones in most rows.

    Returns
    -------
    columns : dict
        ``layouts``, the lists of keys that occur; ``kinds``, which of them each row has; ``values``, what the rows have
        under each key, one after the other, as an array if they are numbers of one type.
    """
    layouts = list(dict.fromkeys(tuple(row) for row in rows))
    numbers = {layout: number for number, layout in enumerate(layouts)}
    kinds = np.array([numbers[tuple(row)] for row in rows], np.uint32)
    keys = dict.fromkeys(key for layout in layouts for key in layout)
    values = {key: as_column([row[key] for row in rows if key in row]) for key in keys}
    return {"layouts": [list(layout) for layout in layouts], "kinds": kinds, "values": values}


def as_column(values):
    """Values as an array, if they are numbers of one type all of them, and the name of the type."""
    kind = next((kind for kind, cls in KINDS.items() if all(type(value) is cls for value in values)), "mixed")
    if kind == "mixed" or (kind == "int" and not all(-(2**63) <= value < 2**63 for value in values)):
        return {"kind": "mixed", "values": values}
    return {"kind": kind, "values": np.array(values, DTYPES[kind])}


def read_rows(columns):
    """What :func:`write_rows` was given."""
    check_rows(columns)
    values = {key: iter(as_list(column)) for key, column in columns["values"].items()}
    rows = [{key: next(values[key]) for key in columns["layouts"][kind]} for kind in columns["kinds"]]
    return rows


def as_list(column):
    """The values of a column, of the types that they had."""
    kind, values = column["kind"], column["values"]
    if kind == "mixed":
        return values
    return list(values) if kind == "float64" else values.tolist()


def is_column(column):
    """Whether a value is a column as :func:`as_column` makes it."""
    if type(column) is not dict or column.keys() != {"kind", "values"}:
        return False
    kind, values = column["kind"], column["values"]
    if kind == "mixed":
        return type(values) is list
    known = type(kind) is str and kind in DTYPES and type(values) is np.ndarray
    return known and values.ndim == 1 and values.dtype == DTYPES[kind]


def check_rows(columns):
    """An error unless there are as many values under each key as rows that have it."""
    if type(columns) is not dict or columns.keys() != {"layouts", "kinds", "values"}:
        raise Malformed("must have a history with layouts, kinds and values")
    layouts, kinds, values = (columns[name] for name in ("layouts", "kinds", "values"))
    lists = type(layouts) is list and all(type(layout) is list for layout in layouts)
    if not lists or not all(type(key) is str for layout in layouts for key in layout):
        raise Malformed("must have a history whose layouts are lists of str")
    if type(kinds) is not np.ndarray or kinds.dtype != np.uint32 or kinds.ndim != 1:
        raise Malformed("must have a history whose kinds are an array")
    counts = np.bincount(kinds, minlength=len(layouts)) if (kinds < len(layouts)).all() else []
    if len(counts) != len(layouts) or any(len(set(layout)) < len(layout) for layout in layouts):
        raise Malformed("must have a history whose kinds are numbers of layouts")
    wanted = {key: 0 for layout in layouts for key in layout}
    for layout, count in zip(layouts, counts, strict=True):
        for key in layout:
            wanted[key] += int(count)
    if type(values) is not dict or not all(map(is_column, values.values())):
        raise Malformed("must have a history whose values are columns")
    if {key: len(column["values"]) for key, column in values.items()} != wanted:
        raise Malformed("must have a history with a value for each row")
