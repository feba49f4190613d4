"""Plain values that JSON does not have: tuples, odd numbers, arrays, random states."""

from math import isfinite
from pathlib import Path, PurePath

import numpy as np
from sklearn.utils import Bunch

from ._codec import Codec

NUMBERS, OTHERS = "biuf", "biufcUSmM"  # kinds of numpy types: that safetensors has, and that are kept as bytes


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
        array = np.empty(len(record["items"]), object)
        for place, item in enumerate(record["items"]):  # at once, numpy would look into items that are tuples
            array[place] = reader.read(item)
        return array.reshape(record["shape"])
    array = reader.arrays[record["key"]]
    if "dtype" not in record:
        return array
    dtype = np.dtype(record["dtype"])
    if dtype.kind not in OTHERS:
        raise ValueError(f"the archive has an array of the type {dtype}, which save never writes")
    return np.ndarray(tuple(record["shape"]), dtype, buffer=array.tobytes()).copy()


def write_random_state(state, name, writer):
    """The state of a RandomState, at the draw where it stands."""
    kind, keys, *rest = state.get_state()
    return {"state": [kind, writer.write(keys, name), *rest]}


def read_random_state(record, reader):
    """A RandomState that goes on where the saved one stood."""
    kind, keys, place, *rest = reader.read(record["state"])
    if not 0 <= place <= len(keys):  # numpy would read beyond the end
        raise ValueError(f"the archive has a random state that stands at draw {place} of {len(keys)}")
    state = np.random.RandomState(0)  # noqa: NPY002 - scikit-learn's kind of generator
    state.set_state((kind, keys, place, *rest))
    return state


def write_pairs(items, name, writer):
    """The items of a dict whose keys are not all strings."""
    return {"items": [[writer.write(key, name), writer.write(value, f"{name}.{key}")] for key, value in items.items()]}


VALUES = [
    Codec(
        "float",
        lambda value: type(value) is float and not isfinite(value),
        lambda value, name, writer: {"value": str(value)},
        lambda record, reader: float(record["value"]),
    ),
    Codec(
        "tuple",
        lambda value: type(value) is tuple,
        lambda value, name, writer: {"items": writer.write_items(value, name)},
        lambda record, reader: tuple(reader.read(record["items"])),
    ),
    Codec(
        "dict",
        lambda value: type(value) is dict,
        write_pairs,
        lambda record, reader: {reader.read(key): reader.read(value) for key, value in record["items"]},
    ),
    Codec(
        "bunch",
        lambda value: type(value) is Bunch,
        write_pairs,
        lambda record, reader: Bunch(**{key: reader.read(value) for key, value in record["items"]}),
    ),
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
        lambda record, reader: Path(record["value"]),
    ),
]
