"""What members say, in the terms of the ensemble.

Members see the labels as they came, and may know them in any order or only some of them: each answer is brought to the
``classes_`` of the ensemble before it counts. Labels become codes, the indices of their classes; probabilities and
decision values get a column a class. Rows with several labels have a 0 or 1, or a probability, for each.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite

from .._threads import check_classification_targets, column_or_1d, type_of_target
from .._validation import check_labels

TEXT = "SU"  # kinds of dtypes


@dataclass(frozen=True)
class Target:
    """What is predicted: ``kind`` is "classes", "multilabel" or "values"; the sorted classes, or a pair a label."""

    kind: str
    classes: np.ndarray | list | None = None

    @property
    def width(self):
        """Columns of an answer: classes, labels, or 1."""
        return 1 if self.kind == "values" else len(self.classes)

    def decode(self, codes):
        """Labels of codes; several labels and values are what they are."""
        return self.classes[codes] if self.kind == "classes" else codes


def read_classes(y):
    """y and its :class:`Target` for a classifier."""
    if getattr(getattr(y, "dtype", None), "kind", None) == "f" and not issparse(y):
        assert_all_finite(y, input_name="y")  # else numpy warns while scikit-learn tries to make integers of them
    check_labels(y)
    kind = type_of_target(y, input_name="y")
    check_classification_targets(y)
    if kind == "multiclass-multioutput":
        raise ValueError(f"y must hold one class a row, or labels that are 0 or 1, got {kind} targets")
    if kind == "multilabel-indicator":
        y = y.toarray() if issparse(y) else np.asarray(y)
        if not np.isin(y, (0, 1)).all():
            raise ValueError(f"y of several labels a row must hold 0 and 1 only, got {np.unique(y).tolist()}")
        return y.astype(np.intp), Target("multilabel", [np.array([0, 1])] * y.shape[1])
    y = column_or_1d(y, warn=True)
    return y, Target("classes", np.unique(y))


def join_classes(classes, others, name):
    """The sorted union of the ensemble's classes and those of the fitted member ``name``."""
    others = np.asarray(others)
    if not _same_kind(classes, others):
        raise ValueError(
            f"member {name!r} knows the classes {others.tolist()[:10]}, which are not of the kind of the labels in y, "
            f"{classes.tolist()[:10]}: a fitted member must have been fitted on the labels themselves"
        )
    return np.union1d(*_one_dtype(classes, others))


def encode_labels(labels, classes):
    """The index of each label in the sorted ``classes``, (n,) intp; a label that is not among them is an error."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"one label a row was expected, got an array of shape {labels.shape}")
    if not _same_kind(classes, labels):
        raise ValueError(f"labels {labels[:3].tolist()} are not of the kind of the classes {classes.tolist()[:10]}")
    codes = _look_up(labels, classes) if _is_dense(labels, classes) else _search(*_one_dtype(labels, classes))
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


def positive_probabilities(output, own):
    """The probability of each label, (n, labels), from either of the forms that scikit-learn's classifiers give.

    Some give the matrix itself, others a list of one (n, classes of the label) matrix a label, whose columns ``own``
    names: a label that was the same in all rows has a single one.
    """
    if not isinstance(output, list):
        return np.asarray(output)
    ones = [align_columns(np.asarray(one), own[label], np.array([0, 1]))[:, 1] for label, one in enumerate(output)]
    return np.stack(ones, axis=1)


def decision_columns(values, own, classes):
    """Decision values in the ensemble's terms; a member that knows fewer classes holds the others least likely."""
    if own is None or np.array_equal(own, classes):
        return values.reshape(len(values), -1)
    if values.ndim == 1:
        values = np.stack([-values, values], axis=1)
    return align_columns(values, own, classes, fill=values.min(axis=1))


def _same_kind(a, b):
    kinds = a.dtype.kind + b.dtype.kind
    return "O" in kinds or (kinds[0] in TEXT) == (kinds[1] in TEXT)


def _one_dtype(a, b):
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
