"""Convert the history of a net to columns, since dicts of numbers would dominate the size of the manifest."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ._codec import require
from ._specs import Spec, array, check_fields, dict_of, list_of, string

KINDS = {"float": float, "int": int, "bool": bool, "float64": np.float64}
DTYPES = {"float": np.float64, "int": np.int64, "bool": bool, "float64": np.float64}


def write_rows(rows):
    """Convert rows to columns.

    Parameters
    ----------
    rows : list of dict
        Dicts with strings as keys; most rows have the same keys.

    Returns
    -------
    columns : dict
        ``layouts``: the distinct lists of keys; ``kinds``: the index of the layout of each row; ``values``: the values
        of each key, as an array if they are numbers of one type.
    """
    layouts = list(dict.fromkeys(tuple(row) for row in rows))
    numbers = {layout: number for number, layout in enumerate(layouts)}
    kinds = np.array([numbers[tuple(row)] for row in rows], np.uint32)
    keys = dict.fromkeys(key for layout in layouts for key in layout)
    values = {key: as_column([row[key] for row in rows if key in row]) for key in keys}
    return {"layouts": [list(layout) for layout in layouts], "kinds": kinds, "values": values}


def as_column(values):
    """Return values and the name of their type, as an array if all are numbers of one type."""
    kind = next((kind for kind, cls in KINDS.items() if all(type(value) is cls for value in values)), "mixed")
    if kind == "mixed" or (kind == "int" and not all(-(2**63) <= value < 2**63 for value in values)):
        return {"kind": "mixed", "values": values}
    return {"kind": kind, "values": np.array(values, DTYPES[kind])}


def read_rows(columns):
    """Convert the columns of :func:`write_rows` back to rows."""
    check_rows(columns)
    values = {key: iter(as_list(column)) for key, column in columns["values"].items()}
    return [{key: next(values[key]) for key in columns["layouts"][kind]} for kind in columns["kinds"]]


def as_list(column):
    """Return the values of a column with their original types."""
    kind, values = column["kind"], column["values"]
    if kind == "mixed":
        return values
    return list(values) if kind == "float64" else values.tolist()


def is_column(column):
    """Return True for a valid result of :func:`as_column`."""
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
    """Raise an error unless the number of values of each key matches the number of rows with that key."""
    check_fields(columns, ROWS, "history")
    layouts, kinds, values = (columns[name] for name in ROWS)
    require(bool((kinds < len(layouts)).all()), "must have a history whose kinds are indices of layouts")
    wanted = Counter(key for kind in kinds.tolist() for key in layouts[kind])
    found = {key: len(column["values"]) for key, column in values.items()}
    require(found == wanted, "must have a history with a value for each row")
