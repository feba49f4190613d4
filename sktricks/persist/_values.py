"""Store plain values that JSON lacks: tuples, infinity and NaN, arrays, random states."""

from __future__ import annotations

import re
from math import isfinite, prod
from pathlib import Path, PurePath

import numpy as np
from sklearn.utils import Bunch

from ._codec import Codec, codec_by_name, entry, look_up, require

NUMBERS, OTHERS = "biuf", "biufcUSmM"  # dtype kinds: those of safetensors, and those that are stored as bytes
# The names of these dtypes. numpy would also parse structured dtypes, and evaluate a part of their names.
DTYPE = re.compile(r"[<>|=]([biufcUS]\d{1,9}|[mM]8(\[\d{0,9}[a-zA-Z]{1,2}\])?)")
LAST_CHARACTER = 0x10FFFF
NOT_FINITE = {name: float(name) for name in ("inf", "-inf", "nan")}


def write_array(array, name, writer):
    """Return the record of an array; an object array, such as labels of a DataFrame, is written item by item."""
    if array.dtype == object:
        return {"shape": list(array.shape), "items": writer.write_items(array.reshape(-1).tolist(), name)}
    array = np.asarray(array, order="C")
    if array.dtype.kind in NUMBERS and array.dtype.isnative and array.dtype.itemsize <= 8:
        return {"key": writer.keep(array, name)}
    content = np.frombuffer(array.tobytes(), np.uint8)
    return {"key": writer.keep(content, name), "dtype": array.dtype.str, "shape": list(array.shape)}


def read_array(record, reader):
    """Read an array written by :func:`write_array`."""
    if "items" in record:
        return read_objects(record, reader)
    array = reader.array(record)
    array = array if "dtype" not in record else read_bytes(record, array)
    check_content(array)
    return array


def read_objects(record, reader):
    """Read an object array."""
    items, shape = entry(record, "items", list), read_shape(record)
    require(prod(shape) == len(items), f"must have the values of an array of shape {shape}, got {len(items)}")
    array = np.empty(len(items), object)
    for index, item in enumerate(items):  # one by one, since numpy would unpack tuples
        array[index] = reader.read(item, index)
    return array.reshape(shape)


def read_bytes(record, content):
    """Read an array that is stored as bytes."""
    name, shape = entry(record, "dtype", str), read_shape(record)
    dtype = np.dtype(name) if DTYPE.fullmatch(name) else None
    known = dtype is not None and dtype.kind in OTHERS and dtype.itemsize > 0
    require(known, f"must be of a dtype that save writes, got an array of dtype {name!r:.60}")
    fits = content.dtype == np.uint8 and content.ndim == 1 and prod(shape) * dtype.itemsize == len(content)
    require(fits, f"must have the bytes of an array of shape {shape} and dtype {dtype}, got {content.nbytes}")
    return np.ndarray(shape, dtype, buffer=content.tobytes()).copy()


def read_shape(record):
    """Read a shape as a tuple of integers."""
    shape = entry(record, "shape", list)
    fits = len(shape) <= 32 and all(type(side) is int and side >= 0 for side in shape)
    require(fits, f"must have a shape of at most 32 numbers, got {shape!r:.60}")
    return tuple(shape)


def check_content(array):
    """Raise an error if an array has invalid bytes for its dtype, since numpy's loops assume valid ones."""
    if array.dtype == bool and array.size:
        require(array.view(np.uint8).max() <= 1, "must be an array of booleans, got bytes other than 0 and 1")
    if array.dtype.kind == "U" and array.size:
        letters = np.ascontiguousarray(array).reshape(-1).view(array.dtype.str[0] + "u4")
        require(letters.max() <= LAST_CHARACTER, "must be an array of strings, got a number that is not a character")


def write_random_state(state, name, writer):
    """Return the record of a RandomState in its current state."""
    kind, keys, *rest = state.get_state()
    return {"state": [kind, writer.write(keys, name), *rest]}


def read_random_state(record, reader):
    """Read a RandomState that continues from its saved state."""
    values = reader.read(entry(record, "state", list), "state")
    types = [str, np.ndarray, int, int, float]
    require([type(value) for value in values] == types, "must be a numpy random state")
    kind, keys, draw, has_gauss, _ = values
    known = kind == "MT19937" and keys.dtype == np.uint32 and keys.shape == (624,) and has_gauss in (0, 1)
    require(known, "must be a numpy random state")
    require(0 <= draw <= len(keys), f"must be a random state at a draw of at most {len(keys)}, got {draw}")
    state = np.random.RandomState(0)  # noqa: NPY002 - scikit-learn uses RandomState
    state.set_state(tuple(values))
    return state


def write_pairs(items, name, writer):
    """Return the record of a dict whose keys are not all strings."""
    return {"items": [[writer.write(key, name), writer.write(value, f"{name}.{key}")] for key, value in items.items()]}


def read_pairs(record, reader):
    """Read a dict written by :func:`write_pairs`."""
    pairs = reader.read(entry(record, "items", list))
    fits = all(type(pair) is list and len(pair) == 2 for pair in pairs)
    require(fits, "must have pairs (key, value)")
    return dict(pairs)


def read_bunch(record, reader):
    """Read a Bunch, whose keys are strings."""
    pairs = read_pairs(record, reader)
    require(all(type(key) is str for key in pairs), "must have keys that are strings")
    return Bunch(**pairs)


VALUES = [
    codec_by_name(
        "float",
        lambda value: type(value) is float and not isfinite(value),
        str,
        lambda name: look_up(NOT_FINITE, name, "infinity or NaN"),
    ),
    Codec(
        "tuple",
        lambda value: type(value) is tuple,
        lambda value, name, writer: {"items": writer.write_items(value, name)},
        lambda record, reader: tuple(reader.read(entry(record, "items", list))),
    ),
    Codec("dict", lambda value: type(value) is dict, write_pairs, read_pairs),
    Codec("bunch", lambda value: type(value) is Bunch, write_pairs, read_bunch),
    Codec(
        "array",
        lambda value: type(value) in (np.ndarray, np.memmap) and value.dtype.kind in OTHERS + "O",
        write_array,
        read_array,
    ),
    Codec(
        "scalar",
        lambda value: isinstance(value, np.generic) and value.dtype.kind in OTHERS,
        lambda value, name, writer: write_array(np.asarray(value), name, writer),
        lambda record, reader: read_array(record, reader)[()],
    ),
    Codec(
        "random_state",
        lambda value: type(value) is np.random.RandomState,
        write_random_state,
        read_random_state,
        shared=True,
    ),
    codec_by_name("path", lambda value: isinstance(value, PurePath), str, Path),
]
