"""Plain values that JSON does not have: tuples, odd numbers, arrays, random states."""

from __future__ import annotations

import re
from math import isfinite, prod
from pathlib import Path, PurePath

import numpy as np
from sklearn.utils import Bunch

from ._codec import Codec, Malformed, entry

NUMBERS, OTHERS = "biuf", "biufcUSmM"  # kinds of numpy types: that safetensors has, and that are kept as bytes
# The names of these types: numpy would parse others, of several fields, and even evaluate a part of them.
DTYPE = re.compile(r"[<>|=]([biufcUS]\d{1,9}|[mM]8(\[\d{0,9}[a-zA-Z]{1,2}\])?)")
LAST_CHARACTER = 0x10FFFF


def write_array(array, name, writer):
    """An array; one of objects, such as labels of a DataFrame, item by item."""
    if array.dtype == object:
        return {"shape": list(array.shape), "items": writer.write_items(array.reshape(-1).tolist(), name)}
    array = np.asarray(array, order="C")
    if array.dtype.kind in NUMBERS and array.dtype.isnative and array.dtype.itemsize <= 8:
        return {"key": writer.keep(array, name)}
    content = np.frombuffer(array.tobytes(), np.uint8)
    return {"key": writer.keep(content, name), "dtype": array.dtype.str, "shape": list(array.shape)}


def read_array(record, reader):
    """What :func:`write_array` wrote."""
    if "items" in record:
        return read_objects(record, reader)
    array = reader.array(record)
    array = array if "dtype" not in record else read_bytes(record, array)
    check_content(array)
    return array


def read_objects(record, reader):
    """An array of objects."""
    items, shape = entry(record, "items", list), read_shape(record)
    if prod(shape) != len(items):
        raise Malformed(f"must have a value for each place of an array of shape {shape}, got {len(items)}")
    array = np.empty(len(items), object)
    for place, item in enumerate(items):  # at once, numpy would look into items that are tuples
        array[place] = reader.read(item, place)
    return array.reshape(shape)


def read_bytes(record, content):
    """An array that is kept as its bytes."""
    name, shape = entry(record, "dtype", str), read_shape(record)
    dtype = np.dtype(name) if DTYPE.fullmatch(name) else None
    if dtype is None or dtype.kind not in OTHERS or dtype.itemsize == 0:
        raise Malformed(f"must be of a type that save writes, got an array of the type {name!r:.60}")
    if content.dtype != np.uint8 or content.ndim != 1 or prod(shape) * dtype.itemsize != len(content):
        raise Malformed(f"must have the bytes of an array of shape {shape} and type {dtype}, got {content.nbytes}")
    return np.ndarray(shape, dtype, buffer=content.tobytes()).copy()


def read_shape(record):
    """A shape as a tuple of numbers."""
    shape = entry(record, "shape", list)
    if len(shape) > 32 or not all(type(side) is int and side >= 0 for side in shape):
        raise Malformed(f"must have a shape of at most 32 numbers, got {shape!r:.60}")
    return tuple(shape)


def check_content(array):
    """An error if there are bytes that are no value: numpy's own loops rely on it that there are none."""
    if array.dtype == bool and array.size and array.view(np.uint8).max() > 1:
        raise Malformed("must be an array of booleans, got other bytes than 0 and 1")
    if array.dtype.kind == "U" and array.size:
        letters = np.ascontiguousarray(array).reshape(-1).view(array.dtype.str[0] + "u4")
        if letters.max() > LAST_CHARACTER:
            raise Malformed("must be an array of strings, got a number that is no character")


def write_random_state(state, name, writer):
    """The state of a RandomState, at the draw where it stands."""
    kind, keys, *rest = state.get_state()
    return {"state": [kind, writer.write(keys, name), *rest]}


def read_random_state(record, reader):
    """A RandomState that goes on where the saved one stood."""
    values = reader.read(entry(record, "state", list), "state")
    types = [str, np.ndarray, int, int, float]
    if [type(value) for value in values] != types or values[0] != "MT19937":
        raise Malformed("must be a random state of numpy")
    _, keys, place, has_gauss, _ = values
    if keys.dtype != np.uint32 or keys.shape != (624,) or has_gauss not in (0, 1):
        raise Malformed("must be a random state of numpy")
    if not 0 <= place <= len(keys):  # numpy would read beyond the end
        raise Malformed(f"must be a random state, got one that stands at draw {place} of {len(keys)}")
    state = np.random.RandomState(0)  # noqa: NPY002 - scikit-learn's kind of generator
    state.set_state(tuple(values))
    return state


def write_pairs(items, name, writer):
    """The items of a dict whose keys are not all strings."""
    return {"items": [[writer.write(key, name), writer.write(value, f"{name}.{key}")] for key, value in items.items()]}


def read_pairs(record, reader):
    """What :func:`write_pairs` wrote."""
    pairs = reader.read(entry(record, "items", list))
    if not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise Malformed("must have pairs of a key and a value")
    return dict(pairs)


def read_bunch(record, reader):
    """A Bunch, whose keys are strings."""
    pairs = read_pairs(record, reader)
    if not all(type(key) is str for key in pairs):
        raise Malformed("must have keys that are strings")
    return Bunch(**pairs)


def read_float(record, reader):
    """Infinity or NaN."""
    value = entry(record, "value", str)
    if value not in ("inf", "-inf", "nan"):
        raise Malformed(f"must be infinity or NaN, got {value!r:.60}")
    return float(value)


VALUES = [
    Codec(
        "float",
        lambda value: type(value) is float and not isfinite(value),
        lambda value, name, writer: {"value": str(value)},
        read_float,
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
    Codec(
        "path",
        lambda value: isinstance(value, PurePath),
        lambda value, name, writer: {"value": str(value)},
        lambda record, reader: Path(entry(record, "value", str)),
    ),
]
