"""Validate the rows to train on, and split them into training and validation rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from .._layout import warn_of_rows
from .._sample_weight import check_weights
from .._splits import check_apart
from .._threads import WARNING_FILTERS
from .._value_range import check_value_range, warn_of_other_scale
from ._net_params import check_augmenter, check_callbacks, check_net_params

if TYPE_CHECKING:
    from ..images._image_files import ImageFiles
    from ._base_net import BaseNet

MOST_ROWS = 1e12  # maximum number of rows that weights may represent


@dataclass
class Rows:
    """Validated rows for a training.

    Parameters
    ----------
    X : ndarray of shape (n, features), or images of shape (n, height, width, channels)
    y : ndarray of shape (n,) or (n, outputs)
        Codes of classes (int64), or float64.
    weight : ndarray of shape (n,), default=None
        Weight of each row in the loss; None if all are equal.
    valid : Rows, default=None
        Rows for validation.

    Attributes
    ----------
    total : float
        Sum of the weights before :meth:`without_zero_weights`: the number of rows, where weight 2 counts as two rows.
    """

    X: np.ndarray | ImageFiles
    y: np.ndarray
    weight: np.ndarray | None = None
    valid: Rows | None = None
    total: float = field(default=0.0, init=False)

    def __post_init__(self):
        self.total = float(len(self))

    def __len__(self) -> int:
        return len(self.X)

    def take(self, indices) -> Rows:
        """Return some of the rows, with the same validation rows."""
        weight = None if self.weight is None else self.weight[indices]
        return replace(self, X=self.X[indices], y=self.y[indices], weight=weight)

    def without_zero_weights(self) -> Rows:
        """Return the rows with positive weight, with weights scaled to mean 1."""
        if self.weight is None:
            return self
        rows = self.take(self.weight > 0)
        weight = self.weight[self.weight > 0]
        largest = float(weight.max())
        weight = weight / largest  # do this first, since the sum of huge weights could overflow
        rows = replace(rows, weight=weight / weight.mean())
        rows.total = min(max(largest * float(weight.sum()), 1.0), MOST_ROWS)
        return rows


def check_rows(
    net: BaseNet, X, y, sample_weight=None, *, fresh, classes=None, ensure_min_samples=1, names=("X", "y")
) -> Rows:
    """Return canonical X, encoded y and the weights, or raise an error if they are invalid.

    Parameters
    ----------
    net : BaseNet
        If ``fresh``, it learns shapes, classes and the value range from the rows.
    X, y, sample_weight : array-like
        As in ``fit``.
    fresh : bool
        True to discard everything learned from earlier rows.
    classes : array-like or None
        As in ``partial_fit``.
    ensure_min_samples : int, default=1
    names : tuple of str, default=("X", "y")
        Names of X and y in errors.
    """
    if y is None:
        raise ValueError(f"{type(net).__name__} requires y to be passed, but the target y is None")
    check_augmenter(net.augmenter)
    check_callbacks(net.callbacks)
    check_net_params(net.net_params)
    X, layout = net._check_X(X, reset=fresh, ensure_min_samples=ensure_min_samples, input_name=names[0])
    if fresh and layout.image_shape:
        net.value_range_ = check_value_range(net.value_range, X)
    elif fresh and net.augmenter is not None and net.augmenter.wants_images():
        warn_of_rows(net, layout.n_features)
    if not fresh:
        warn_of_other_scale(net, X, names[0])
    y, class_weight = net._check_y(y, fresh=fresh, classes=classes, input_name=names[1])
    check_lengths(X, y, names)
    weight = combine_weights(check_weights(sample_weight, len(X)), class_weight)
    if fresh and classes is None:
        net._check_weighted(y, weight)
    return Rows(X, y, weight)


def check_lengths(X, y, names):
    """Raise an error unless X and y have the same number of rows; it names validation rows as such."""
    try:
        check_consistent_length(X, y)
    except ValueError as error:
        raise ValueError(str(error) if names == ("X", "y") else f"{' and '.join(names)}: {error}") from None


def combine_weights(weight, class_weight):
    """Return the product of the weights of rows and of their classes; None means weights of 1."""
    if class_weight is None:
        return weight
    weight = class_weight if weight is None else weight * class_weight
    if not weight.any():
        raise ValueError("class_weight must leave at least one row with positive weight, got only zero weights")
    return weight


def check_validation_rows(net: BaseNet, X_val, y_val) -> Rows | None:
    """Return canonical X_val and encoded y_val, with equal weights; None if there are none."""
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val must be passed together, but one of them is None")
    if X_val is None:
        return None
    return replace(check_rows(net, X_val, y_val, fresh=False, names=("X_val", "y_val")), weight=None)


def hold_out(net: BaseNet, rows: Rows) -> Rows:
    """Return the rows, with some of them held out for validation according to ``validation_fraction``."""
    train, held_out = split_rows(net, rows.X, rows.y)
    return replace(rows.take(train), valid=replace(rows.take(held_out), weight=None))


def split_rows(net: BaseNet, X, y):
    """Return the indices of the training rows and of the validation rows."""
    fraction, by_class = net.validation_fraction, y.dtype == np.int64
    if hasattr(fraction, "split"):
        with WARNING_FILTERS():  # splitters of scikit-learn check y
            train, held_out = next(iter(fraction.split(X, y)))
        train, held_out = (np.arange(len(X))[part] for part in (train, held_out))
        check_apart(train, held_out, "validation_fraction", "its first split")
        return train, held_out
    if by_class:
        check_held_out(y, fraction, net.classes_)
    rng, stratify = check_random_state(net.random_state), y if by_class else None
    with WARNING_FILTERS():
        return train_test_split(np.arange(len(X)), test_size=fraction, stratify=stratify, random_state=rng)


def check_held_out(y, fraction, classes):
    """Raise an error if ``early_stopping`` cannot hold out a fraction of the rows of each class; y is codes."""
    codes, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            "early_stopping=True requires at least 2 rows of each class, to hold one out, got 1 row of class "
            f"{classes.tolist()[codes[counts.argmin()]]!r}: drop its row, pass X_val and y_val, or pass a splitter as "
            "validation_fraction"
        )
    n_rows, n_classes = len(y), len(codes)
    if n_rows * fraction <= n_classes - 1 or n_rows * (1 - fraction) < n_classes:
        raise ValueError(
            f"validation_fraction must leave at least one row of each of the {n_classes} classes to train on and one "
            f"to hold out, got {fraction} of {n_rows} rows: change it, or pass X_val and y_val"
        )
