"""Encode labels as indices of the sorted classes, and align columns with the order of the classes."""

from __future__ import annotations

from contextlib import suppress
from numbers import Real

import numpy as np

TEXT = "SU"  # dtype kinds
GOLDEN = np.uint32(2654435769)  # 2**32 divided by the golden ratio, the multiplier of Fibonacci hashing


def check_labels(y, input_name="y"):
    """Raise an error if an object array has labels of several types, or of a type that cannot be sorted."""
    if getattr(getattr(y, "dtype", None), "kind", None) != "O":
        return
    labels = np.asarray(y).ravel().tolist()
    kinds = {"number" if isinstance(label, Real) else type(label).__name__ for label in labels}
    if len(kinds) > 1 or (labels and not is_sortable(labels[0])):
        raise TypeError(
            f"{input_name} must have labels of one sortable type, got {', '.join(sorted(kinds))}: convert them to "
            "strings, and drop rows without a label"
        )


def is_sortable(label):
    """Return True if labels of this type can be compared."""
    try:
        return label < label or True
    except TypeError:
        return False


def encode_labels(labels, classes, name="y"):
    """Return the code of each label: its index in the sorted ``classes``.

    Parameters
    ----------
    labels : array-like of shape (n,) or (n, 1)
    classes : ndarray of shape (classes,)
        Sorted and distinct.
    name : str, default="y"
        The name of the labels in errors.

    Returns
    -------
    codes : ndarray of shape (n,), intp

    Raises
    ------
    ValueError
        If a label is not among the classes, or cannot be compared with them.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"{name} must hold one label per row, got an array of shape {labels.shape}")
    if _are_codes(labels, classes):
        return labels.astype(np.intp, copy=False)
    if same_kind(classes, labels):
        with suppress(TypeError):  # objects that cannot be ordered
            return _find_codes(*one_dtype(labels, classes), name)
    known = classes.tolist()[:10]
    raise ValueError(f"{name} has labels {labels[:3].tolist()}, which cannot be compared with the classes {known}")


def align_columns(columns, own, classes, fill=0.0):
    """Reorder columns from the order of the classes ``own`` to that of ``classes``, (n, classes).

    Classes that are missing from ``own`` get ``fill``: a number, or one per row.
    """
    if own is None or np.array_equal(own, classes):
        if columns.shape[1] != len(classes):
            raise ValueError(f"expected {len(classes)} columns, one per class, got {columns.shape[1]}")
        return columns
    aligned = np.empty((len(columns), len(classes)), dtype=columns.dtype)
    aligned[:] = np.reshape(fill, (-1, 1))
    aligned[:, encode_labels(own, classes, "classes_")] = columns
    return aligned


def same_kind(a, b):
    """Return True if two label arrays are comparable: both text, or neither, or at least one of dtype object."""
    kinds = a.dtype.kind + b.dtype.kind
    return "O" in kinds or (kinds[0] in TEXT) == (kinds[1] in TEXT)


def one_dtype(a, b):
    """Convert two arrays to dtype object if one of them has it, for comparison."""
    return (a.astype(object), b.astype(object)) if "O" in a.dtype.kind + b.dtype.kind else (a, b)


def _are_codes(labels, classes):
    """Return True if the classes are the integers 0..K-1, and all labels are among them."""
    if labels.dtype.kind not in "iu" or not np.array_equal(classes, np.arange(len(classes))):
        return False
    return len(labels) == 0 or (labels.min() >= 0 and labels.max() < len(classes))


def _find_codes(labels, classes, name):
    """Return the codes by hashing if that finds all labels, otherwise by binary search."""
    if labels.dtype.kind == classes.dtype.kind == "U":
        codes = _hash_codes(labels, classes)
        if codes is not None:
            return codes
    codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    wrong = classes[codes] != labels
    if wrong.any():
        known, unknown = classes.tolist()[:10], np.unique(labels[wrong]).tolist()[:10]
        raise ValueError(f"{name} has labels that are not among the classes {known}: {unknown}")
    return codes


def _hash_codes(labels, classes):
    """Return the codes of strings, five times as fast as binary search; None if not all labels are found.

    The characters in which the classes differ are hashed to 16 bits, and a table maps each hash to a class. A code is
    wrong if its label is unknown or if two classes have the same hash.
    """
    width = max(labels.dtype.itemsize, classes.dtype.itemsize) // 4
    letters, known = (
        np.ascontiguousarray(words, f"U{width}").view(np.uint32).reshape(-1, width) for words in (labels, classes)
    )
    differ = (known != known[0]).any(axis=0)
    factors = GOLDEN ** np.arange(1, differ.sum() + 1, dtype=np.uint32)

    def hash_words(words):
        return np.einsum("nk,k->n", words[:, differ], factors) >> 16

    table = np.zeros(2**16, np.intp)
    table[hash_words(known)] = np.arange(len(classes))
    codes = table.take(hash_words(letters))
    return codes if np.array_equal(known.take(codes, axis=0), letters) else None
