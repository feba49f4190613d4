"""The history of a net as columns: as JSON, its dicts of numbers would fill most of a manifest."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ._codec import require
from ._specs import Spec, array, check_fields, dict_of, list_of, string

KINDS = {"float": float, "int": int, "bool": bool, "float64": np.float64}
DTYPES = {"float": np.float64, "int": np.int64, "bool": bool, "float64": np.float64}


def write_rows(rows):
    """Return rows as columns.

    Parameters
    ----------
    rows : list of dict
        With strings as keys, the same ones in most rows.

    Returns
    -------
    columns : dict
        ``layouts``: the different lists of keys; ``kinds``: the index of the layout of each row; ``values``: the values
        of the rows under each key, as an array if they are numbers of one type.
    """
    layouts = list(dict.fromkeys(tuple(row) for row in rows))
    numbers = {layout: number for number, layout in enumerate(layouts)}
    kinds = np.array([numbers[tuple(row)] for row in rows], np.uint32)
    keys = dict.fromkeys(key for layout in layouts for key in layout)
    values = {key: as_column([row[key] for row in rows if key in row]) for key in keys}
    return {"layouts": [list(layout) for layout in layouts], "kinds": kinds, "values": values}


def as_column(values):
    """Return values with the name of their type, as an array if all are numbers of one type."""
    kind = next((kind for kind, cls in KINDS.items() if all(type(value) is cls for value in values)), "mixed")
    if kind == "mixed" or (kind == "int" and not all(-(2**63) <= value < 2**63 for value in values)):
        return {"kind": "mixed", "values": values}
    return {"kind": kind, "values": np.array(values, DTYPES[kind])}


def read_rows(columns):
    """Return the rows that :func:`write_rows` got."""
    check_rows(columns)
    values = {key: iter(as_list(column)) for key, column in columns["values"].items()}
    return [{key: next(values[key]) for key in columns["layouts"][kind]} for kind in columns["kinds"]]


def as_list(column):
    """Return the values of a column, of the types that they had."""
    kind, values = column["kind"], column["values"]
    if kind == "mixed":
        return values
    return list(values) if kind == "float64" else values.tolist()


def is_column(column):
    """Return True for a column as :func:`as_column` makes it."""
    if type(column) is not dict or column.keys() != {"kind", "values"}:
        return False
    kind, values = column["kind"], column["values"]
    if kind == "mixed":
        return type(values) is list
    known = type(kind) is str and kind in DTYPES and type(values) is np.ndarray
    return known and values.ndim == 1 and values.dtype == DTYPES[kind]


ROWS = {
    "layouts": list_of(list_of(string)),
    "kinds": array("u", 1),
    "values": dict_of(string, Spec("columns", is_column)),
}


def check_rows(columns):
    """Raise an error unless there are as many values under each key as rows that have it."""
    check_fields(columns, ROWS, "history")
    layouts, kinds, values = (columns[name] for name in ROWS)
    require(bool((kinds < len(layouts)).all()), "must have a history whose kinds are indices of layouts")
    wanted = Counter(key for kind in kinds.tolist() for key in layouts[kind])
    found = {key: len(column["values"]) for key, column in values.items()}
    require(found == wanted, "must have a history with a value for each row")
