"""The target of an ensemble: classes, multilabel targets or values, and their conversion to codes and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite

from .._labels import check_labels, encode_labels, one_dtype, same_kind
from .._threads import check_classification_targets, column_or_1d, type_of_target
from ._votes import as_binary


@dataclass(frozen=True)
class Target:
    """The target of an ensemble.

    Parameters
    ----------
    kind : {"classes", "multilabel", "values"}
        One class per row, 0 or 1 per label, or values.
    classes : ndarray of shape (classes,), list of ndarray or None
        The sorted classes; for multilabel targets, the pair (0, 1) per label; None for values.
    """

    kind: str
    classes: np.ndarray | list | None = None

    @property
    def width(self):
        """Number of classes or labels; 1 for values."""
        return 1 if self.kind == "values" else len(self.classes)

    @property
    def n_options(self):
        """Number of classes that a vote chooses from; 2 for multilabel targets, which are voted on label by label."""
        return 2 if self.kind == "multilabel" else self.width

    def encode(self, labels):
        """Return the codes of labels, (n,)."""
        return encode_labels(labels, self.classes)

    def decode(self, codes):
        """Return the labels of codes, (n,) or (n, labels); values are unchanged."""
        if self.kind == "multilabel":
            return codes.reshape(-1, self.width)
        return self.classes[codes] if self.kind == "classes" else codes

    def flatten(self, predictions):
        """Return multilabel predictions as binary problems, (..., rows * labels, 2); others are unchanged."""
        return as_binary(predictions) if self.kind == "multilabel" else predictions

    def restore(self, predictions):
        """Undo :meth:`flatten`: return the probability of each label, (..., rows, labels)."""
        if self.kind != "multilabel":
            return predictions
        return predictions[..., 1].reshape(*predictions.shape[:-2], -1, self.width)


def read_classes(y):
    """Return y of a classifier as an array, and its :class:`Target`."""
    if getattr(getattr(y, "dtype", None), "kind", None) == "f" and not issparse(y):
        assert_all_finite(y, input_name="y")  # otherwise numpy warns when scikit-learn converts y to integers
    check_labels(y)
    kind = type_of_target(y, input_name="y")
    check_classification_targets(y)
    if kind == "multiclass-multioutput":
        raise ValueError(f"y must have one class per row, or 0/1 columns of several labels, got {kind} targets")
    if kind == "multilabel-indicator":
        y = y.toarray() if issparse(y) else np.asarray(y)
        if not np.isin(y, (0, 1)).all():
            raise ValueError(f"multilabel y must contain only 0 and 1, got {np.unique(y).tolist()}")
        return y.astype(np.intp), Target("multilabel", [np.array([0, 1])] * y.shape[1])
    y = column_or_1d(y, warn=True)
    return y, Target("classes", np.unique(y))


def join_classes(classes, member_classes, name):
    """Return the sorted union of the ensemble's classes and those of the fitted member ``name``."""
    member_classes = np.asarray(member_classes)
    if not same_kind(classes, member_classes):
        raise ValueError(
            f"member {name!r} must have classes of the same type as the labels in y, {classes.tolist()[:10]}, got "
            f"{member_classes.tolist()[:10]}: fit the member on the original labels"
        )
    return np.union1d(*one_dtype(classes, member_classes))
