"""Convert X to the inputs of an ONNX runtime; requires only numpy, and Pillow if X holds image files.

A missing string becomes the empty string, a missing number NaN. An estimator may distinguish None, NaN and the empty
string, which a graph cannot: the metadata of the file list the kinds that the empty string represents.
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

ARRAY = "X"  # the name of the input of a graph that takes an array
STRING = np.dtype(object)
EMPTY = "an empty string"
Input = tuple[str, np.dtype, tuple[int, ...]]  # name, dtype, and the shape of one row


def make_feeds(
    X,
    inputs: Sequence[Input],
    decodings: Mapping[str, dict[str, Any]] | None = None,
    gaps: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays for the inputs of a graph, by name.

    Parameters
    ----------
    X : ndarray, DataFrame of pandas or polars, dict, or column of image files
        An array for a graph with one input; otherwise the columns, as a table or by name.
    inputs : list of (name, dtype, shape)
        The inputs of the graph; dtype object means strings, and shape is that of one row.
    decodings : dict, default=None
        How to decode image files, for each input of pixels; see :meth:`Graph.decode`.
    gaps : dict, default=None
        For inputs of strings, the kinds of missing values that may become the empty string, see :func:`gap_kind`;
        others raise an error. None allows all kinds.
    """
    if len(inputs) == 1 and type(X) is np.ndarray and X.dtype == inputs[0][1] != STRING:
        return {inputs[0][0]: X}  # a shortcut for the most frequent case
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
    """Raise an error unless the arrays have the shapes of the graph's inputs."""
    for name, _, shape in inputs:
        if feeds[name].shape[1:] != tuple(shape):
            wanted = ", ".join(["n", *map(str, shape)])
            raise ValueError(f"{name} must have the shape ({wanted}), got {feeds[name].shape}")


def split_columns(X, names: Sequence[str]) -> list:
    """Return the column of X for each input."""
    if isinstance(X, Mapping) or hasattr(X, "columns"):
        known = {str(name): name for name in (X if isinstance(X, Mapping) else X.columns)}
        if list(names) == [ARRAY] and ARRAY not in known and not isinstance(X, Mapping):
            return [np.asarray(X)]  # the model was exported with an array, and X is a table of the same columns
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
    """Return values in the dtype of an input, missing strings as ``""``; warn if this rounds numbers."""
    if dtype == STRING:
        return as_strings(values, name)
    found = values if isinstance(values, np.ndarray) else np.asarray(values)
    if found.dtype == dtype:
        return np.ascontiguousarray(found)
    if found.dtype.kind in "OUS":
        found = from_objects(found, name)
    if not fits(found, dtype):
        raise ValueError(
            f"{name} must be {dtype}, as in the export, got {found.dtype}: convert it, or export the model again with "
            f"an X of {found.dtype}"
        )
    array = np.ascontiguousarray(found, dtype)
    if array.dtype == np.float32 and found.dtype == np.float64 and not np.array_equal(array, found, equal_nan=True):
        warn(
            f"{name} is float64 and is rounded to float32, since the model was exported with an X of float32: labels "
            "of rows near the threshold of a tree may change. Pass float32, or export the model with an X of float64",
            RoundedInputWarning,
        )
    return array


def as_strings(values, name: str) -> np.ndarray:
    """Return values as an array of objects, with the empty string for missing ones."""
    found = np.asarray(values, dtype=object)
    flat = ["" if is_missing(value) else value for value in found.ravel().tolist()]
    for value in flat:
        if not isinstance(value, str):
            raise ValueError(f"{name} must hold strings, as in the export, got {value!r}")
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(found.shape)


def from_objects(found: np.ndarray, name: str) -> np.ndarray:
    """Return an array of objects as an array of numbers, with NaN for missing ones."""
    values = [np.nan if is_missing(value) else value for value in found.ravel().tolist()]
    for value in values:
        if isinstance(value, str | bytes):
            raise ValueError(f"{name} must hold numbers, as in the export, got {value!r}")
    return np.array(values).reshape(found.shape)


def fits(found: np.ndarray, dtype: np.dtype) -> bool:
    """Return True if a conversion keeps the meaning of numbers; pixels in floats and in integers differ in range."""
    if found.dtype.kind not in "biuf" or (found.ndim > 2 and (found.dtype.kind == "f") != (dtype.kind == "f")):
        return False
    if dtype.kind == "f" or np.can_cast(found.dtype, dtype):
        return True
    with np.errstate(invalid="ignore"):
        return bool((found.astype(dtype) == found).all())


def check_gaps(values, known: Sequence[str], name: str) -> None:
    """Raise an error for missing strings of a kind that the file does not represent by the empty string."""
    found = {gap_kind(value) for value in np.asarray(values, dtype=object).ravel().tolist()} - {None, *known}
    if found:
        first = next((kind for kind in known if kind != EMPTY), None)
        cure = f"{first} if it is missing, otherwise by a word" if first else "a word"
        raise ValueError(
            f"Input {name} contains {' and '.join(sorted(map(str, found)))}, which the exported estimator either "
            f"rejects or distinguishes from other missing values, as the file cannot: replace it by {cure}"
        )


def gap_kind(value) -> str | None:
    """Return the kind of a missing string, ``"None"``, ``"NaN"``, ``"NA"`` or :data:`EMPTY`; None for other values."""
    if is_missing(value):
        return {"NoneType": "None", "float": "NaN", "NAType": "NA"}.get(type(value).__name__, type(value).__name__)
    return EMPTY if isinstance(value, str) and value == "" else None


def is_missing(value) -> bool:
    """Return True for None, NaN and pandas' missing values."""
    return value is None or type(value).__name__ == "NAType" or value != value


def read_files(files: np.ndarray, decoding: Mapping[str, Any]) -> np.ndarray:
    """Return the pixels of image files, decoded as in ``fit``; errors name the file that cannot be read."""
    shape = tuple(decoding["shape"])
    options = {key: value for key, value in decoding.items() if key not in ("column", "shape")}
    pixels = np.empty((len(files), *shape), np.uint8)
    read = partial(decode, size=shape[:2], **options)

    def fill(row):
        pixels[row] = attempt(read, files[row], row)[0].reshape(shape)

    with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1)) as pool:
        list(pool.map(fill, range(len(files))))
    return pixels
