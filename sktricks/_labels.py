"""Labels as codes, the indices of their sorted classes, and a column a class."""

from __future__ import annotations

import numpy as np

TEXT = "SU"  # kinds of dtypes


def encode_labels(labels, classes):
    """The index of each label in the sorted ``classes``, (n,) intp; a label that is not among them is an error."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"one label a row was expected, got an array of shape {labels.shape}")
    if not same_kind(classes, labels):
        raise ValueError(f"labels {labels[:3].tolist()} are not of the kind of the classes {classes.tolist()[:10]}")
    codes = _look_up(labels, classes) if _is_dense(labels, classes) else _search(*one_dtype(labels, classes))
    if len(codes) and codes.min() < 0:
        unknown = np.unique(labels[codes < 0])
        raise ValueError(f"labels {unknown.tolist()[:10]} are not among the classes {classes.tolist()[:10]}")
    return codes


def align_columns(columns, own, classes, fill=0.0):
    """Columns in the order of ``own`` classes as columns in the order of ``classes``; (n, classes).

    What the member does not know gets ``fill``: a number, or one a row.
    """
    if own is None or np.array_equal(own, classes):
        if columns.shape[1] != len(classes):
            raise ValueError(f"{len(classes)} columns, one a class, were expected, got {columns.shape[1]}")
        return columns
    aligned = np.empty((len(columns), len(classes)), dtype=columns.dtype)
    aligned[:] = np.reshape(fill, (-1, 1))
    aligned[:, encode_labels(own, classes)] = columns
    return aligned


def same_kind(a, b):
    """Whether two arrays of labels can be compared: both text, or neither; of objects nobody knows."""
    kinds = a.dtype.kind + b.dtype.kind
    return "O" in kinds or (kinds[0] in TEXT) == (kinds[1] in TEXT)


def one_dtype(a, b):
    """Two arrays as they compare best: as objects where one of them holds objects."""
    return (a.astype(object), b.astype(object)) if "O" in a.dtype.kind + b.dtype.kind else (a, b)


def _is_dense(labels, classes):
    """Whether a table over all integers between the first class and the last one is small."""
    integers = np.can_cast(labels.dtype, np.int64) and np.can_cast(classes.dtype, np.int64)
    return integers and int(classes[-1]) - int(classes[0]) < 1024 + len(classes)


def _look_up(labels, classes):
    """Codes from a table, -1 where a label is unknown: ten times faster than a binary search."""
    low, high = int(classes[0]), int(classes[-1])
    labels = labels.astype(np.int64, copy=False)
    known = len(labels) == 0 or (labels.min() >= low and labels.max() <= high)
    if known and low == 0 and high == len(classes) - 1:
        return labels.astype(np.intp, copy=False)
    table = np.full(high - low + 1, -1, dtype=np.intp)
    table[classes.astype(np.int64) - low] = np.arange(len(classes))
    if known:
        return table[labels - low]
    inside = (labels >= low) & (labels <= high)
    return np.where(inside, table[np.where(inside, labels - low, 0)], -1)


def _search(labels, classes):
    """Codes by binary search, of many strings by their letters; -1 where a label is unknown."""
    if _are_words(labels, classes):
        return _spell(labels, classes)
    try:
        codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    except TypeError as error:
        raise ValueError(
            f"labels {labels[:3].tolist()} cannot be compared with the classes {classes.tolist()[:10]}: {error}"
        ) from error
    right = classes[codes] == labels
    return codes if right.all() else np.where(right, codes, -1)


def _are_words(labels, classes):
    """Whether there are many strings of few classes, for which it pays to look at their letters."""
    text = all(array.dtype.kind == "U" and array.dtype.isnative for array in (labels, classes))
    return text and len(classes) <= 256 and len(labels) >= 1024


def _spell(labels, classes):
    """Codes by as few letters as tell the classes apart, which are then compared whole: faster than a search."""
    width = max(labels.dtype.itemsize, classes.dtype.itemsize) // 4
    own, known = (
        np.ascontiguousarray(words, f"U{width}").view(np.uint32).reshape(-1, width) for words in (labels, classes)
    )
    codes, groups, n_groups = np.zeros(len(labels), np.intp), np.zeros(len(classes), np.intp), 1
    while n_groups < len(classes):
        pairs = groups[:, None] * 2**21 + known.astype(np.intp)  # no letter has a number as large
        place = np.argmax([len(np.unique(column)) for column in pairs.T])
        letters, numbers = np.unique(known[:, place], return_inverse=True)
        steps, finer = np.unique(groups * len(letters) + numbers, return_inverse=True)
        table = np.zeros(n_groups * len(letters), np.intp)
        table[steps] = np.arange(len(steps))
        codes = table.take(codes * len(letters) + _numbers_of(own[:, place], letters))
        groups, n_groups = finer, len(steps)
    codes = np.argsort(groups).take(codes)
    spelled = known.take(codes, axis=0)
    return codes if np.array_equal(spelled, own) else np.where((spelled == own).all(axis=1), codes, -1)


def _numbers_of(values, letters):
    """The places of values among sorted letters; of those that are none, any."""
    if letters[-1] < 1024:
        table = np.zeros(1024, np.intp)
        table[letters] = np.arange(len(letters))
        return table.take(np.minimum(values, 1023))
    return np.minimum(np.searchsorted(letters, values), len(letters) - 1)
