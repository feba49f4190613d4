"""Compare the outputs of a graph with those expected, row by row; requires only numpy.

The label of a row may differ if its two largest probabilities are closer than the tolerance: there, rounding decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Outputs = dict[str, np.ndarray]
RELATIVE = ("prediction", "features")  # the tolerance for these is relative to the size of each column


@dataclass(frozen=True)
class Difference:
    """The differences of some rows.

    Parameters
    ----------
    largest : float
        The largest difference of all numbers; for values and features, relative to :func:`sizes_of`.
    labels : ndarray of bool, of shape (n,)
        True where a label differs that is no tie.
    ties : int
        The number of rows whose label differs, but whose two largest probabilities are equal within the tolerance.
    bad : ndarray of bool, of shape (n,)
        True where a label or a number differs.
    worst : int
        Index of the row with the largest difference, which errors report.
    """

    largest: float
    labels: np.ndarray
    ties: int
    bad: np.ndarray
    worst: int


def compare(expected: Outputs, found: Outputs, atol: float, sizes: Outputs | None = None) -> Difference:
    """Return the differences between the outputs of a graph and those expected.

    Parameters
    ----------
    expected, found : dict of ndarray of shape (n,) or (n, k)
        Both have the same keys.
    atol : float
        Numbers that differ by at most this count as equal.
    sizes : dict of ndarray, default=None
        See :func:`sizes_of`; None means those of ``expected``.
    """
    sizes = sizes_of(expected) if sizes is None else sizes
    n_rows = len(next(iter(expected.values())))
    distance, labels, ties = np.zeros(n_rows), np.zeros(n_rows, bool), np.zeros(n_rows, bool)
    for name, values in expected.items():
        if found[name].shape != values.shape:
            raise ValueError(f"{name} must have the shape {values.shape}, got {found[name].shape}")
        if name == "label":
            labels = np.asarray(np.reshape(values != found[name], (n_rows, -1)).any(axis=1))
            ties = labels & near_ties(expected.get("probabilities"), values, atol)
        else:
            distance = np.maximum(distance, distances(values, found[name], sizes.get(name)))
    bad = (labels & ~ties) | ~(distance <= atol)
    worst = int(np.argmax(np.where(bad, np.where(labels & ~ties, np.inf, distance), -1.0)))
    return Difference(float(distance.max(initial=0.0)), labels & ~ties, int(ties.sum()), bad, worst)


def distances(expected: np.ndarray, found: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    """Return the largest difference per row; infinite where only one of two numbers is finite."""
    n_rows = len(expected)
    if expected.dtype.kind in "OUS":  # strings
        return np.where(np.reshape(expected == found, (n_rows, -1)).all(axis=1), 0.0, np.inf)
    expected, found = (values.reshape(n_rows, -1).astype(np.float64) for values in (expected, found))
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(expected - found)
        distance = distance if sizes is None else distance / sizes
    equal = (expected == found) | (np.isnan(expected) & np.isnan(found))
    distance = np.where(equal, 0.0, np.where(np.isnan(distance), np.inf, distance))
    return distance.max(axis=1, initial=0.0)


def sizes_of(expected: Outputs, *others: Outputs) -> Outputs:
    """Return the size of each column of values and features, to which differences are relative.

    The size is the largest absolute value of the column. For features it is at least 1 if any column is that large,
    since all features of a net have rounding errors of about the same size, whatever their own size.
    """
    names = [name for name, values in expected.items() if name in RELATIVE and values.dtype.kind not in "OUS"]
    sizes = {name: size_of(*(one[name] for one in (expected, *others))) for name in names}
    if "features" in sizes:
        sizes["features"] = np.maximum(sizes["features"], min(1.0, sizes["features"].max(initial=0.0)))
    return sizes


def size_of(*arrays: np.ndarray) -> np.ndarray:
    """Return the largest absolute finite value per column of several arrays; for a column of zeros, that of all."""
    values = np.concatenate([array.reshape(len(array), -1).astype(np.float64) for array in arrays])
    size = np.abs(np.where(np.isfinite(values), values, 0.0)).max(axis=0, initial=0.0)
    return np.where(size > 0, size, size.max(initial=0.0) or 1.0)


def near_ties(probabilities: np.ndarray | None, labels: np.ndarray, atol: float) -> np.ndarray:
    """Return True for rows whose label depends on a difference below the tolerance."""
    if probabilities is None:
        return np.zeros(len(labels), bool)
    if labels.ndim == 2:  # multilabel: a label is present if its probability is at least 0.5
        return np.asarray((np.abs(probabilities - 0.5) < atol).any(axis=1))
    largest = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(largest[:, -1] - largest[:, 0] < atol)


def describe_row(expected: Outputs, found: Outputs, row: int) -> str:
    """Return the outputs of a row that differ, found and expected, as text."""
    names = [name for name in expected if not np.array_equal(found[name][row], expected[name][row])]
    return "; ".join(f"{name} {found[name][row]} instead of {expected[name][row]}" for name in names)
