"""Read splits into training and test rows, and reject those with a row in both parts."""

from __future__ import annotations

import numpy as np

from ._text import count


def read_split(split, n: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the training and test rows of a split as arrays of indices.

    Parameters
    ----------
    split : pair of array-like
        Indices of the n rows, or masks.
    n : int
    number : int
        The number of the split in errors.

    Raises
    ------
    ValueError
        If the split is not such a pair, or if a row is in both parts.
    """
    try:
        parts = [np.asarray(part) for part in split]
    except (TypeError, ValueError):
        parts = []
    parts = [np.flatnonzero(part) if part.dtype == bool and part.shape == (n,) else part for part in parts]
    fits = [part.ndim == 1 and part.dtype.kind in "iu" and np.all((part >= -n) & (part < n)) for part in parts]
    if len(fits) != 2 or not all(fits):
        raise ValueError(
            f"cv must be a number of folds, a splitter, or pairs (train, test) of indices of the {n} rows, "
            f"got {split!r} as split {number}"
        )
    train, test = (part % n for part in parts)  # -1 is the last row
    check_apart(train, test, "cv", f"split {number}")
    return train, test


def check_apart(train: np.ndarray, test: np.ndarray, parameter: str, name: str) -> None:
    """Raise an error if a row is in both parts of a split, so that a model would be evaluated on training rows.

    Parameters
    ----------
    train, test : int ndarray
        Indices of rows.
    parameter, name : str
        The parameter that the split comes from, and the name of the split in errors.
    """
    seen = np.intersect1d(train, test)
    if len(seen):
        raise ValueError(
            f"{parameter} must test models on rows that they have not seen, got {count(len(seen), 'row')} in both "
            f"parts of {name}, such as row {seen[0]}"
        )
