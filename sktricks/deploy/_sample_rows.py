"""Generate synthetic rows from a short description and a seed, the same on every machine; requires only numpy.

The description contains no row of X: ranges are rounded outward to two digits, and strings are those that the model
itself contains. The numbers come from numpy's legacy generator, whose streams never change.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

N_ROWS = 64
N_IMAGES = 8  # number of rows with more than LARGE values: 64 photos would take longer than loading the file
LARGE = 64 * 64 * 3
SEED = 0
UNSEEN = "\u2047"  # a string that no column contains
DIGITS = 2
MOST_TEXTS = 100


def describe_input(name: str, array: np.ndarray, known: Collection[str]) -> dict[str, Any]:
    """Return the description of an input of a graph, as JSON, from given rows.

    Parameters
    ----------
    name : str
    array : ndarray of shape (n, ...)
        Strings have dtype object.
    known : collection of str
        The strings that the description may contain.
    """
    entry: dict[str, Any] = {"name": name, "dtype": array.dtype.str, "shape": list(array.shape[1:])}
    if array.dtype == object:
        texts = set(array.ravel().tolist())
        return {**entry, "texts": sorted(texts & set(known) - {""})[:MOST_TEXTS], "missing": "" in texts}
    if array.dtype == bool:
        return {**entry, "low": [0], "high": [1], "integer": [True], "missing": [0.0]}
    columns = array.reshape(len(array), -1).T if array.ndim == 2 else array.reshape(1, -1)
    found = [describe_numbers(column) for column in columns]
    return {**entry, **{key: [one[key] for one in found] for key in ("low", "high", "integer", "missing")}}


def describe_numbers(values: np.ndarray) -> dict[str, Any]:
    """Return the rounded range of numbers, whether all are integers, and the rounded fraction of NaN."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    integer = bool((finite == np.rint(finite)).all())
    low, high = round_outward(low, -1), round_outward(high, 1)
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        low, high = max(low, int(limits.min)), min(high, int(limits.max))
    missing = float(np.isnan(values).mean()) if values.dtype.kind == "f" else 0.0
    return {"low": low, "high": high, "integer": integer, "missing": np.ceil(10 * missing) / 10}


def round_outward(value: float, sign: int) -> float:
    """Return a value rounded to two digits, upward (``sign=1``) or downward (``sign=-1``)."""
    if value == 0:
        return 0.0
    rounded = float(f"{value:.{DIGITS - 1}e}")
    if sign * (rounded - value) < 0:
        unit = float(f"1e{int(np.floor(np.log10(abs(value)))) - DIGITS + 1}")
        rounded = float(f"{rounded + sign * unit:.{DIGITS - 1}e}")
    return rounded


def sample_rows(description: list[dict[str, Any]], seed: int = SEED) -> dict[str, np.ndarray]:
    """Return synthetic rows for the inputs of a graph, by name."""
    state = np.random.RandomState(seed)  # noqa: NPY002 - the same numbers in every version of numpy
    sizes = [int(np.prod(entry["shape"])) for entry in description if len(entry["shape"]) > 1]
    n_rows = N_IMAGES if max(sizes, default=0) > LARGE else N_ROWS
    return {entry["name"]: sample_input(state, entry, n_rows) for entry in description}


def sample_input(state, entry: dict[str, Any], n_rows: int) -> np.ndarray:
    """Return synthetic values for one input."""
    shape = (n_rows, *entry["shape"])
    if "texts" in entry:
        choices = np.array([*entry["texts"], UNSEEN, *[""] * entry["missing"]], dtype=object)
        return choices[state.randint(0, len(choices), shape)]
    draws = sample_pixels(state, shape) if len(shape) > 2 else state.random_sample(shape)
    low, high, integer = (np.array(entry[key]) for key in ("low", "high", "integer"))
    values = low + draws * (high - low)
    if integer.any():
        values = np.where(integer, np.minimum(np.floor(low + draws * (high - low + 1)), high), values)
    if any(entry["missing"]):
        values = np.where(state.random_sample(shape) < np.array(entry["missing"]), np.nan, values)
    return values.astype(np.dtype(entry["dtype"]))


def sample_pixels(state, shape: tuple[int, ...]) -> np.ndarray:
    """Return images from 0 to 1: patches of one color with some noise, since nets respond to large areas."""
    n, height, width, *channels = shape
    patches = state.randint(0, 192, (n, 4, 4, *channels))
    rows, columns = 4 * np.arange(height) // height, 4 * np.arange(width) // width
    return (patches[:, rows][:, :, columns] + state.randint(0, 64, shape)) / 255
