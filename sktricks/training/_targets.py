"""Targets of nets: classes, multilabel targets or probabilities for classifiers, values for regressors."""

from __future__ import annotations

import re
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin

from .._labels import check_labels, encode_labels
from .._text import name_some
from .._threads import (
    check_array,
    check_classification_targets,
    column_or_1d,
    compute_class_weight,
    compute_sample_weight,
    type_of_target,
)
from .._typing import fit_context
from .._validation import warn_of_one_hot
from ..tables._frames import is_missing
from ._hooks import TargetHooks

CLASSES, MULTILABEL, SOFT = "classes", "multilabel", "soft"
SCALED_LOSSES = ("auto", "squared_error", "absolute_error", "huber")  # with these, y is standardized


class ClassifierNetMixin(TargetHooks, ClassifierMixin):
    """Mixin for classifiers: y is labels, multilabel targets or class probabilities."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train the net.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            A table or images.
        y : array-like of shape (n,) or (n, outputs)
            Labels; multilabel targets as 0/1 columns, one per label; or class probabilities (floats that sum to 1).
            One-hot columns are treated as multilabel targets, with a :class:`OneHotTargetWarning`: pass
            ``y.argmax(1)``.
        sample_weight : array-like of shape (n,), default=None
            Weight of each row; rows of weight 0 are left out.
        X_val, y_val : array-like, default=None
            Rows for validation, in the same form as X and y. They are never augmented.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y or a parameter is invalid, or if the training diverges: the loss of an epoch, the weights or the
            outputs are not finite. The estimator is then restored to its previous state.

        Notes
        -----
        Fitting nets in several threads at the same time gives the same bits as fitting each alone. Nets whose modules
        may draw random numbers in training, as for dropout, wait for each other.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one more epoch on the given rows, at a constant learning rate.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to train on.
        y : array-like of shape (n,) or (n, outputs)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All class labels; required in the first call unless y contains them all. Later calls may omit it, and raise
            an error if it differs.
        sample_weight : array-like of shape (n,), default=None
            What each row counts; None: all rows count the same.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            As in ``fit``; a net that was already trained keeps its weights, optimizer and history.
        """
        return self._partial_fit(X, y, sample_weight, classes)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probabilities of the classes or labels.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to predict.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of ``classes_``. For multilabel targets, the probability of each label, (n, labels).
        """
        from ._prediction import mean_over_views

        return mean_over_views(self, X, lambda outputs: self._make_outputs().finish(outputs))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each row; for multilabel targets, 0 or 1 for each label.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,) or (n, labels)
            Predicted labels.
        """
        proba = self.predict_proba(X)
        return self._make_outputs().decide(proba)

    @property
    def _kept_params(self):
        smooths_targets = self._kind == MULTILABEL  # in each training; for other kinds, the loss smooths the targets
        return [name for name in super()._kept_params if not (smooths_targets and name == "label_smoothing")]

    def _check_y(self, y, *, fresh, classes=None, input_name="y"):
        """Return y as the loss takes it, and the weight of each row by its class."""
        kind, y = read_classification(y, input_name)
        if fresh:
            self._kind = kind
            self.classes_ = find_classes(kind, y, classes, type(self).__name__)
            if kind == MULTILABEL:
                warn_of_one_hot(self, y)
        elif kind != self._kind and not (self._kind == SOFT and kind == MULTILABEL):
            raise ValueError(
                f"{input_name} must have {self._kind} targets, as in the first fit of {type(self).__name__}, got "
                f"{kind} targets"
            )
        elif classes is not None:
            check_same_classes(classes, self.classes_)
        if kind == CLASSES:
            codes = encode_labels(y, self.classes_, input_name)
            return codes, weights_of_classes(self.class_weight, y, codes, self.classes_)
        weight = None if self.class_weight is None else compute_sample_weight(self.class_weight, y)
        if y.shape[1] != len(self.classes_):
            raise ValueError(f"{input_name} must have {len(self.classes_)} columns, one per class, got {y.shape[1]}")
        y = y.astype(np.float64)
        smooth = self.label_smoothing - self._loss_smoothing  # smoothing that is applied to the targets
        return y * (1 - smooth) + smooth / 2, weight

    def _check_weighted(self, y, weight):
        if self._kind == CLASSES and weight is not None and len(left := np.unique(y[weight > 0])) < 2:
            raise ValueError(
                "sample_weight and class_weight must leave at least two classes, got positive weights only for the "
                f"class {self.classes_.tolist()[left[0]]!r}"
            )

    def _scoring(self):
        from ._curves import accuracy, subset_accuracy

        return subset_accuracy if self._kind == MULTILABEL else accuracy

    def _make_outputs(self):
        from ._outputs import ClassOutputs, LabelOutputs

        return (LabelOutputs if self._kind == MULTILABEL else ClassOutputs)(self.classes_)

    def _default_loss(self):
        return "bce" if self._kind == MULTILABEL else "cross_entropy"

    @property
    def _loss_smoothing(self):
        """Label smoothing that is applied by the loss; for multilabel targets, it is applied to the targets."""
        return 0.0 if self._kind == MULTILABEL else self.label_smoothing

    @property
    def _n_outputs(self):
        return len(self.classes_)


class RegressorNetMixin(TargetHooks, RegressorMixin):
    """Mixin for regressors: y is one value per row or several.

    Unless the loss is the user's own, values are standardized internally by their weighted mean and standard deviation.
    For a constant output, the constant is predicted, up to rounding, whatever its unit.
    """

    _classifier_name = "NetClassifier"  # recommended by the error for a y of classes

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train the net.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            A table or images.
        y : array-like of shape (n,) or (n, outputs)
            Values to predict.
        sample_weight : array-like of shape (n,), default=None
            Weight of each row; rows of weight 0 are left out.
        X_val, y_val : array-like, default=None
            Rows for validation, in the same form as X and y. They are never augmented.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y or a parameter is invalid, or if the training diverges: the loss of an epoch, the weights or the
            outputs are not finite. The estimator is then restored to its previous state.

        Notes
        -----
        Fitting nets in several threads at the same time gives the same bits as fitting each alone. Nets whose modules
        may draw random numbers in training, as for dropout, wait for each other.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch on the given rows, at a constant learning rate.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to train on.
        y : array-like of shape (n,) or (n, outputs)
            Values to predict.
        sample_weight : array-like of shape (n,), default=None
            What each row counts; None: all rows count the same.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            As in ``fit``; a net that was already trained keeps its weights, optimizer and history.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the predicted value or values of each row.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,) or (n, outputs)
            Predicted values.
        """
        from ._prediction import mean_over_views

        values = mean_over_views(self, X, lambda values: values) * self._y_scale + self._y_mean
        return values if self._several else values[:, 0]

    def _check_y(self, y, *, fresh, classes=None, input_name="y"):
        try:
            y = check_y(y, "numbers", "numeric", input_name)
            if y.dtype.kind in "mM":
                raise ValueError(
                    f"{input_name} must contain numbers, got {y.dtype}: convert it to a number of seconds or days"
                )
            y = y.astype(np.float64)
        except (ValueError, TypeError) as error:
            label = first_label(y) if "string" in str(error) else None
            if label is None:
                raise
            cure = f"for classes use {self._classifier_name}"
            raise ValueError(f"{input_name} must contain numbers, got {label!r}: {cure}") from error
        if fresh:
            self._several, self._n_outputs = y.ndim == 2, y.shape[1] if y.ndim == 2 else 1
        if (y.ndim == 2) != self._several:
            raise ValueError(f"{input_name} must have as many dimensions as in the first fit, got shape {y.shape}")
        if self._several and y.shape[1] != self._n_outputs:
            raise ValueError(f"{input_name} must have {self._n_outputs} columns as in the first fit, got {y.shape[1]}")
        return y if self._several else y[:, None], None

    def _learn_targets(self, y, weight):
        """Store the mean and standard deviation of each output; 0 and 1 if the loss must receive y unchanged."""
        from ._inputs import as_tensor
        from ._modules import is_constant, weighted_moments
        from ._outputs import resolution_of

        self._y_mean, self._y_scale = np.zeros(y.shape[1]), np.ones(y.shape[1])
        if isinstance(self.loss, str) and self.loss in SCALED_LOSSES:
            y, weight = as_tensor(y), None if weight is None else as_tensor(weight)
            mean, spread = weighted_moments(y, weight)
            self._y_mean, constant = mean.numpy(), is_constant(mean, spread, len(y), y.dtype).numpy()
            self._y_scale = np.where(constant, resolution_of(self._y_mean), spread.numpy())

    def _follow_targets(self, y):
        """Learn the scale of an output that was constant so far, if y varies in a later training."""
        from ._outputs import resolution_of, unit_of_targets

        varies = (np.abs(y - self._y_mean) > len(y) * resolution_of(self._y_mean)).any(0)
        self._y_scale = np.where(varies, unit_of_targets(self._y_mean, self._y_scale), self._y_scale)
        self._net.outputs_ = self._make_outputs()

    def _scale_targets(self, y):
        from ._outputs import unit_of_targets

        return (y - self._y_mean) / unit_of_targets(self._y_mean, self._y_scale)

    def _scoring(self):
        from ._curves import r2

        return r2

    def _make_outputs(self):
        from ._outputs import ValueOutputs

        return ValueOutputs(self._y_mean, self._y_scale, self._several)

    def _default_loss(self):
        return "squared_error"


def check_y(y, expected, dtype, input_name="y"):
    """Return y as an array without missing values; if scikit-learn's error does not name y, add ``expected``."""
    if isinstance(y, np.ma.MaskedArray) and np.ma.getmaskarray(y).any():
        raise ValueError(f"{input_name} must not be masked, got a masked array: drop the masked rows, y[~y.mask]")
    try:
        array = check_array(y, ensure_2d=False, dtype=dtype, input_name=input_name)
        if array.dtype == object:  # scikit-learn accepts None
            refuse_missing(y, input_name)
        return array
    except (ValueError, TypeError) as error:
        if re.search(r"NaN|\bNA\b", str(error)):
            refuse_missing(y, input_name)
        if re.search(rf"\b{input_name}\b", str(error)):
            raise
        raise type(error)(f"{input_name} must contain {expected}: {error}") from error


def refuse_missing(y, input_name="y"):
    """Raise an error that names the rows with a missing label or value: NaN, None, or pandas.NA."""
    values = np.asarray(y, dtype=object)
    gaps = [row for row, value in enumerate(values.reshape(len(values), -1)) if any(map(is_missing, value))]
    if gaps:
        raise ValueError(
            f"{input_name} must have no missing labels or values (NaN, None), got {len(gaps)}, in the "
            f"row{'s' * (len(gaps) > 1)} {name_some(gaps, 5)}: drop these rows"
        )


def first_label(y):
    """Return the first string in y that is not a number, None if there is none."""
    for value in np.asarray(y, dtype=object).ravel():
        try:
            float(value)
        except (ValueError, TypeError):
            if isinstance(value, str):
                return str(value)
    return None


def read_classification(y, input_name="y"):
    """Return the kind of y, and y as an array."""
    y = check_y(y, "labels, columns of 0 and 1, or class probabilities", None, input_name)
    check_labels(y, input_name)
    kind = type_of_target(y, input_name=input_name)
    if kind == "multilabel-indicator":
        return MULTILABEL, y
    if kind == "continuous-multioutput":
        check_probabilities(y, input_name)
        return SOFT, y
    y = column_or_1d(y, warn=True)
    if kind not in ("binary", "multiclass"):
        check_classification_targets(y)
    return CLASSES, y


def find_classes(kind, y, classes, name):
    """Return the sorted classes: those given, otherwise those in y, or the indices of the columns of y."""
    if kind != CLASSES:
        columns = np.arange(y.shape[1])
        if classes is not None and not np.array_equal(sort_classes(classes), columns):
            raise ValueError(f"classes must be None or {columns.tolist()} if y has columns, got {classes!r}")
        return columns
    found = np.unique(y) if classes is None else sort_classes(classes)
    if len(found) < 2:
        raise ValueError(f"{name} requires at least two classes in y, got one class: {found.tolist()[0]!r}")
    return found


def sort_classes(classes):
    """Return the sorted, unique ``classes`` of a ``partial_fit``."""
    try:
        return np.unique(column_or_1d(classes))
    except TypeError as error:
        raise ValueError(f"classes must contain labels of one type, got {classes!r}") from error


def check_same_classes(classes, known):
    """Raise an error if the ``classes`` of a later ``partial_fit`` differ from those of the first fit."""
    if not np.array_equal(sort_classes(classes), known):
        raise ValueError(
            f"`classes={np.asarray(classes).tolist()!r}` is not the same as on last call to partial_fit, was: "
            f"{known.tolist()!r}"
        )


def weights_of_classes(class_weight, y, codes, classes):
    """Return the weight of each row by its class, None if all are equal; y may lack some classes."""
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        weight = compute_class_weight(class_weight, classes=classes, y=classes)[codes]
    else:
        weight = compute_sample_weight(class_weight, y)
    if not (np.isfinite(weight).all() and weight.min() >= 0):
        raise ValueError(f"class_weight must contain finite, non-negative weights, got {class_weight!r}")
    return weight


def check_probabilities(y, input_name="y"):
    """Raise an error unless each row of ``y`` is a distribution over classes."""
    sums = y.sum(1)
    if y.min() < 0 or np.abs(sums - 1).max() > 1e-4:
        raise ValueError(
            f"{input_name} must contain labels, 0/1 columns of several labels, or class probabilities that are not "
            f"negative and sum to 1 in each row; got numbers from {y.min():.3g} to {y.max():.3g} with sums from "
            f"{sums.min():.3g} to {sums.max():.3g}"
        )
