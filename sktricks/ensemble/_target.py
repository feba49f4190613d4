"""What members say, in the terms of the ensemble.

Members see the labels as they came, and may know them in any order or only some of them: each answer is brought to the
``classes_`` of the ensemble before it counts. Labels become codes, the indices of their classes; probabilities and
decision values get a column a class. Rows with several labels have a 0 or 1, or a probability, for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite

from .._labels import align_columns, check_labels, one_dtype, same_kind
from .._threads import check_classification_targets, column_or_1d, type_of_target


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
    if not same_kind(classes, others):
        raise ValueError(
            f"member {name!r} knows the classes {others.tolist()[:10]}, which are not of the kind of the labels in y, "
            f"{classes.tolist()[:10]}: a fitted member must have been fitted on the labels themselves"
        )
    return np.union1d(*one_dtype(classes, others))


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
