"""Store numpy functions and dtypes by name, and selections of columns, as parts of scikit-learn steps."""

from __future__ import annotations

from functools import cache

import numpy as np

from ._codec import Codec, codec_by_name, entry, look_up, require

# Functions that FunctionTransformer may apply in addition to numpy's universal functions, and their keyword arguments.
KEYWORDS = {"nan_to_num": {"nan", "posinf", "neginf"}, "round": {"decimals"}, "clip": {"min", "max", "a_min", "a_max"}}
INTEGERS = (f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
NUMBERS = (*INTEGERS, "float16", "float32", "float64")
TYPES = (*NUMBERS, "bool", "object")


@cache
def functions():
    """Return numpy's functions from one array to one array, by name."""
    universal = {name: value for name, value in vars(np).items() if type(value) is np.ufunc}
    of_one = {name: value for name, value in universal.items() if value.nin == value.nout == 1}
    return {**of_one, **{name: getattr(np, name) for name in KEYWORDS}}


def name_of_function(value):
    """Return the name of one of :func:`functions`; None for anything else."""
    return next((name for name, function in functions().items() if function is value), None)


def find_dtype(name):
    """Return a numpy dtype by name."""
    require(name in TYPES, f"must be the name of a numpy dtype, got {name!r:.60}")
    return np.dtype(name)


def is_number_type(value):
    """Return True for one of numpy's numeric scalar types."""
    return isinstance(value, type) and any(getattr(np, name) is value for name in NUMBERS)


def is_remainder(value):
    """Return True for the list type that scikit-learn 1.5 to 1.8 use for the columns of the remainder."""
    return type(value).__name__ == "_RemainderColsList"


def plain_columns(chosen):
    """Return a selection of columns; for a remainder list, which warns when it is read, return its content."""
    return chosen.data if is_remainder(chosen) else chosen


def read_slice(record, reader):
    """Read a slice."""
    parts = entry(record, "parts", list)
    fits = len(parts) == 3 and all(type(part) in (int, str, type(None)) for part in parts)
    require(fits, "must have the three parts of a slice")
    return slice(*parts)


NUMPY_NAMES = [
    codec_by_name(
        "numpy_function",
        lambda value: callable(value) and name_of_function(value) is not None,
        name_of_function,
        lambda name: look_up(functions(), name, "a function of numpy"),
    ),
    codec_by_name("numpy_type", is_number_type, lambda value: value.__name__, lambda name: find_dtype(name).type),
    codec_by_name(
        "numpy_dtype",
        lambda value: isinstance(value, np.dtype) and value.name in TYPES and value.isnative,
        lambda value: value.name,
        find_dtype,
    ),
    Codec(
        "slice",
        lambda value: type(value) is slice,
        lambda value, name, writer: {"parts": [value.start, value.stop, value.step]},
        read_slice,
    ),
    Codec(
        "remainder_columns",
        is_remainder,
        lambda value, name, writer: {"items": list(plain_columns(value))},
        lambda record, reader: reader.read(entry(record, "items", list)),
    ),
]
