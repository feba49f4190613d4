"""Plain values that JSON does not have: tuples, infinity and NaN, arrays, random states."""

from __future__ import annotations

import re
from math import isfinite, prod
from pathlib import Path, PurePath

import numpy as np
from sklearn.utils import Bunch

from ._codec import Codec, codec_by_name, entry, look_up, require

NUMBERS, OTHERS = "biuf", "biufcUSmM"  # kinds of numpy types: those of safetensors, and those that are kept as bytes
# The names of these types. numpy would parse others, of several fields, and even evaluate a part of them.
DTYPE = re.compile(r"[<>|=]([biufcUS]\d{1,9}|[mM]8(\[\d{0,9}[a-zA-Z]{1,2}\])?)")
LAST_CHARACTER = 0x10FFFF
NOT_FINITE = {name: float(name) for name in ("inf", "-inf", "nan")}


def write_array(array, name, writer):
    """Return the record of an array; an array of objects, such as labels of a DataFrame, is written item by item."""
    if array.dtype == object:
        return {"shape": list(array.shape), "items": writer.write_items(array.reshape(-1).tolist(), name)}
    array = np.asarray(array, order="C")
    if array.dtype.kind in NUMBERS and array.dtype.isnative and array.dtype.itemsize <= 8:
        return {"key": writer.keep(array, name)}
    content = np.frombuffer(array.tobytes(), np.uint8)
    return {"key": writer.keep(content, name), "dtype": array.dtype.str, "shape": list(array.shape)}


def read_array(record, reader):
    """Return the array that :func:`write_array` wrote."""
    if "items" in record:
        return read_objects(record, reader)
    array = reader.array(record)
    array = array if "dtype" not in record else read_bytes(record, array)
    check_content(array)
    return array


def read_objects(record, reader):
    """Return an array of objects."""
    items, shape = entry(record, "items", list), read_shape(record)
    require(prod(shape) == len(items), f"must have the values of an array of shape {shape}, got {len(items)}")
    array = np.empty(len(items), object)
    for index, item in enumerate(items):  # at once, numpy would look into items that are tuples
        array[index] = reader.read(item, index)
    return array.reshape(shape)


def read_bytes(record, content):
    """Return an array that is kept as its bytes."""
    name, shape = entry(record, "dtype", str), read_shape(record)
    dtype = np.dtype(name) if DTYPE.fullmatch(name) else None
    known = dtype is not None and dtype.kind in OTHERS and dtype.itemsize > 0
    require(known, f"must be of a type that save writes, got an array of the type {name!r:.60}")
    fits = content.dtype == np.uint8 and content.ndim == 1 and prod(shape) * dtype.itemsize == len(content)
    require(fits, f"must have the bytes of an array of shape {shape} and type {dtype}, got {content.nbytes}")
    return np.ndarray(shape, dtype, buffer=content.tobytes()).copy()


def read_shape(record):
    """Return a shape as a tuple of numbers."""
    shape = entry(record, "shape", list)
    fits = len(shape) <= 32 and all(type(side) is int and side >= 0 for side in shape)
    require(fits, f"must have a shape of at most 32 numbers, got {shape!r:.60}")
    return tuple(shape)


def check_content(array):
    """Raise an error if bytes of an array are no value of its type: numpy's loops rely on valid ones."""
    if array.dtype == bool and array.size:
        require(array.view(np.uint8).max() <= 1, "must be an array of booleans, got other bytes than 0 and 1")
    if array.dtype.kind == "U" and array.size:
        letters = np.ascontiguousarray(array).reshape(-1).view(array.dtype.str[0] + "u4")
        require(letters.max() <= LAST_CHARACTER, "must be an array of strings, got a number that is no character")


def write_random_state(state, name, writer):
    """Return the record of a RandomState at its current draw."""
    kind, keys, *rest = state.get_state()
    return {"state": [kind, writer.write(keys, name), *rest]}


def read_random_state(record, reader):
    """Return a RandomState that continues from the draw at which it was saved."""
    values = reader.read(entry(record, "state", list), "state")
    types = [str, np.ndarray, int, int, float]
    require([type(value) for value in values] == types, "must be a random state of numpy")
    kind, keys, draw, has_gauss, _ = values
    known = kind == "MT19937" and keys.dtype == np.uint32 and keys.shape == (624,) and has_gauss in (0, 1)
    require(known, "must be a random state of numpy")
    require(0 <= draw <= len(keys), f"must be a random state at a draw of at most {len(keys)}, got {draw}")
    state = np.random.RandomState(0)  # noqa: NPY002 - scikit-learn's kind of generator
    state.set_state(tuple(values))
    return state


def write_pairs(items, name, writer):
    """Return the record of a dict whose keys are not all strings."""
    return {"items": [[writer.write(key, name), writer.write(value, f"{name}.{key}")] for key, value in items.items()]}


def read_pairs(record, reader):
    """Return the dict that :func:`write_pairs` wrote."""
    pairs = reader.read(entry(record, "items", list))
    fits = all(type(pair) is list and len(pair) == 2 for pair in pairs)
    require(fits, "must have pairs of a key and a value")
    return dict(pairs)


def read_bunch(record, reader):
    """Return a Bunch, whose keys are strings."""
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
