"""From X to what an ONNX runtime is called with; numpy is all that this needs, and Pillow where X holds image files.

A missing value of a column of strings is the empty string, a missing number is NaN. Estimators may take None, NaN and
the empty string for different things, which one string cannot tell: the file says which of them it stands for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from .._warnings import RoundedInputWarning, warn
from ..images._decode import decode
from ..images._image_column import as_column
from ..images._unreadable_image import attempt

ARRAY = "X"  # the input of a graph that takes an array
STRING = np.dtype(object)
EMPTY = "an empty string"
Input = tuple[str, np.dtype, tuple[int, ...]]  # of a graph: its name, dtype, and the shape of one row


def make_feeds(
    X,
    inputs: Sequence[Input],
    decodings: Mapping[str, dict[str, Any]] | None = None,
    gaps: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays to run a graph with, by the names of its inputs.

    Parameters
    ----------
    X : ndarray, DataFrame of pandas or polars, dict, or column of image files
        An array for a graph with one input; otherwise the columns, as a table or by name.
    inputs : list of (name, dtype, shape)
        Those of the graph; the dtype of objects is strings, and the shape is that of one row.
    decodings : dict, default=None
        For each input that takes the pixels of image files, see :meth:`Graph.decode`.
    gaps : dict, default=None
        For inputs of strings, the kinds of missing values that may become the empty string, see :func:`gap_kind`; an
        error about others. None: all.
    """
    if len(inputs) == 1 and type(X) is np.ndarray and X.dtype == inputs[0][1] != STRING:
        return {inputs[0][0]: X}  # most calls, and faster
    if hasattr(X, "toarray"):
        raise TypeError("X must be dense, got a sparse matrix: pass X.toarray()")
    decodings = decodings or {}
    columns = split_columns(X, [decodings[name]["column"] if name in decodings else name for name, _, _ in inputs])
    feeds = {}
    for (name, dtype, shape), values in zip(inputs, columns, strict=True):
        files = as_column(values) if name in decodings and not is_pixels(values) else None
        if files is not None:
            feeds[name] = read_files(files, decodings[name])
        else:
            if gaps and name in gaps:
                check_gaps(values, gaps[name], name)
            array = as_array(values, dtype, name)
            feeds[name] = array.reshape(-1, 1) if shape == (1,) and array.ndim == 1 else array
    return feeds


def is_pixels(values) -> bool:
    """Return True for arrays of more than two dimensions."""
    return getattr(values, "ndim", 1) > 2


def check_shapes(feeds: Mapping[str, np.ndarray], inputs: Sequence[Input]) -> None:
    """Raise an error unless arrays have the shapes of the inputs of a graph."""
    for name, _, shape in inputs:
        if feeds[name].shape[1:] != tuple(shape):
            wanted = ", ".join(["n", *map(str, shape)])
            raise ValueError(f"{name} must have the shape ({wanted}), got {feeds[name].shape}")


def split_columns(X, names: Sequence[str]) -> list:
    """Return what X has for each of the names of inputs."""
    if isinstance(X, Mapping) or hasattr(X, "columns"):
        known = {str(name): name for name in (X if isinstance(X, Mapping) else X.columns)}
        if list(names) == [ARRAY] and ARRAY not in known and not isinstance(X, Mapping):
            return [np.asarray(X)]  # exported with an array, of which this is the table
        missing = [name for name in names if name not in known]
        if missing:
            raise ValueError(f"X must have the columns {list(names)}, got {list(known)}")
        return [X[known[name]] for name in names]
    if len(set(names)) == 1:
        return [X] * len(names)
    array = X if hasattr(X, "dtype") else np.asarray(X, dtype=object)
    if array.ndim != 2 or array.shape[1] != len(names):
        raise ValueError(f"X must have {len(names)} columns, {list(names)}, got an array of shape {array.shape}")
    return list(array.T)


def as_array(values, dtype: np.dtype, name: str = "X") -> np.ndarray:
    """Return values in the dtype of an input, without gaps if it holds strings; a warning if this rounds them."""
    if dtype == STRING:
        return as_strings(values, name)
    found = values if isinstance(values, np.ndarray) else np.asarray(values)
    if found.dtype == dtype:
        return np.ascontiguousarray(found)
    if found.dtype.kind in "OUS":
        found = from_objects(found, name)
    if not fits(found, dtype):
        raise ValueError(
            f"{name} must be {dtype}, as it was when the model was exported, got {found.dtype}: convert it, or export "
            f"the model again with an X of {found.dtype}"
        )
    array = np.ascontiguousarray(found, dtype)
    if array.dtype == np.float32 and found.dtype == np.float64 and not np.array_equal(array, found, equal_nan=True):
        warn(
            f"{name} is float64 and is rounded to float32, since the model was exported with an X of float32: labels "
            "of rows at the threshold of a tree may change. Pass float32, or export the model with an X of float64",
            RoundedInputWarning,
        )
    return array


def as_strings(values, name: str) -> np.ndarray:
    """Return values as an array of objects, the empty string where they are missing."""
    found = np.asarray(values, dtype=object)
    flat = ["" if is_missing(value) else value for value in found.ravel().tolist()]
    for value in flat:
        if not isinstance(value, str):
            raise ValueError(f"{name} must hold strings, as it did when the model was exported, got {value!r}")
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(found.shape)


def from_objects(found: np.ndarray, name: str) -> np.ndarray:
    """Return an array of objects as one of numbers, NaN where they are missing."""
    values = [np.nan if is_missing(value) else value for value in found.ravel().tolist()]
    for value in values:
        if isinstance(value, str | bytes):
            raise ValueError(f"{name} must hold numbers, as it did when the model was exported, got {value!r}")
    return np.array(values).reshape(found.shape)


def fits(found: np.ndarray, dtype: np.dtype) -> bool:
    """Return True if numbers mean the same in another dtype: pixels as floats have another range than as integers."""
    if found.dtype.kind not in "biuf" or (found.ndim > 2 and (found.dtype.kind == "f") != (dtype.kind == "f")):
        return False
    if dtype.kind == "f" or np.can_cast(found.dtype, dtype):
        return True
    with np.errstate(invalid="ignore"):
        return bool((found.astype(dtype) == found).all())


def check_gaps(values, known: Sequence[str], name: str) -> None:
    """Raise an error about kinds of missing strings that the empty string of a file does not stand for."""
    found = {gap_kind(value) for value in np.asarray(values, dtype=object).ravel().tolist()} - {None, *known}
    if found:
        first = next((kind for kind in known if kind != EMPTY), None)
        cure = f"{first} if it is missing, otherwise by a word" if first else "a word"
        raise ValueError(
            f"Input {name} contains {' and '.join(sorted(map(str, found)))}, which the estimator that was exported "
            f"does not accept, or does not take for the same as the file, where one string stands for all missing "
            f"ones: replace it by {cure}"
        )


def gap_kind(value) -> str | None:
    """Return which kind of a missing string a value is, ``"None"``, ``"NaN"``, ``"NA"`` or :data:`EMPTY`, if any."""
    if is_missing(value):
        return {"NoneType": "None", "float": "NaN", "NAType": "NA"}.get(type(value).__name__, type(value).__name__)
    return EMPTY if isinstance(value, str) and value == "" else None


def is_missing(value) -> bool:
    """Return True for None, NaN and the missing values of pandas."""
    return value is None or type(value).__name__ == "NAType" or value != value


def read_files(files: np.ndarray, decoding: Mapping[str, Any]) -> np.ndarray:
    """Return the pixels of image files, decoded as in ``fit``; an error names the file that cannot be read."""
    shape = tuple(decoding["shape"])
    options = {key: value for key, value in decoding.items() if key not in ("column", "shape")}
    pixels = np.empty((len(files), *shape), np.uint8)
    read = partial(decode, size=shape[:2], **options)

    def fill(row):
        pixels[row] = attempt(read, files[row], row)[0].reshape(shape)

    with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1)) as pool:
        list(pool.map(fill, range(len(files))))
    return pixels
