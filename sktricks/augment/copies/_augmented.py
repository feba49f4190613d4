"""AugmentedClassifier and AugmentedRegressor: data augmentation for any estimator."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..._threads import compute_sample_weight
from ..._typing import fit_context
from ..._warnings import SampledLabelsWarning, warn
from ..transforms._mix import read_target
from ._average_views import decide, mean_of
from ._base_augmented import BaseAugmented
from ._inner_estimator import pop_balanced
from ._training_copies import draw_labels, mix_values, target_codes, weighted_rows


def inner_has(method):
    """Return a check for ``available_if``: True if the wrapped estimator, fitted or not, has a method."""
    return lambda self: hasattr(vars(self).get("estimator_", self.estimator), method)


class AugmentedClassifier(ClassifierMixin, BaseAugmented):
    """A meta-estimator that fits any classifier on augmented copies of the rows.

    ``fit`` creates randomly augmented copies of the rows and fits a clone of the classifier on all of them. Predictions
    are made for the unchanged rows, or averaged over several views of each row.

    An augmenter that mixes rows, :class:`MixUp` or :class:`CutMix`, mixes labels as well. A classifier that takes
    ``sample_weight`` gets a mixed row once for each of its labels, weighted by their fractions: for a loss that is
    linear in the target, such as the log loss, this is equivalent to the mixed target. For other classifiers one label
    is drawn for each mixed row, with a :class:`SampledLabelsWarning`. Each label of a mixed row has the
    ``sample_weight`` of its source row. ``class_weight="balanced"`` of the classifier is converted to sample weights,
    computed from the labels before mixing.

    A classifier that rejects the labels, such as one that takes only integers from 0, is fitted on integer codes, and
    its predictions are decoded.

    On images, random forests gained most from copies, and support vector machines on large images; linear models gained
    nothing. On tables, random forests gained a little from GaussianNoise and MixUp, other models nothing.

    Parameters
    ----------
    estimator : classifier
        The classifier, which is cloned. scikit-learn's estimators for tables get images as rows.
    augmenter : augmenter, default=None
        Augmenter of the copies. None: the classifier is fitted on the unchanged rows; ``n_copies`` above 1,
        ``keep_original=False`` and ``predict_views`` are then ignored, with a :class:`ViewsIgnoredWarning`.
    n_copies : int, default=1
        Copies per row, at least 0.
    keep_original : bool, default=True
        Also train on the rows themselves, as ``transform`` of the augmenter returns them (cropped, if it crops).
    predict_views : int, default=0
        Number of views to average predictions over, in addition to the row itself. ``fit`` draws the views once and
        they are the same for every row, so the prediction for a row does not depend on other rows. Steps that mix rows
        (MixUp, CutMix, SwapNoise) are skipped.
    image_shape, value_range : optional
        See :class:`BaseAugmenter`. Those of the augmenter must be None or match.
    n_jobs : int, default=None
        Number of threads that augment; None means 1 outside a :obj:`joblib.parallel_config` context.
    verbose : int, default=0
        0: silent. 1: progress bars for augmentation, and for views when predicting more than 100 rows. 2: log lines
        instead. The ``verbose`` of the classifier is separate.
    random_state : int, RandomState instance or None, default=None
        Seed of all draws, unless the augmenter has its own. It does not seed the classifier.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    augmenter_ : augmenter or None
        A clone of the augmenter.
    classes_ : ndarray of shape (n_classes,), or list of such arrays
        The classes, in the order of the columns of ``predict_proba``.
    n_features_in_ : int
        Values per row: height x width x channels for images.
    feature_names_in_ : ndarray of str
        Names of the columns, if X had any in ``fit``; the classifier then gets a table with these names.
    image_shape_ : tuple or None
        (height, width, channels) of the images; None for tables.
    value_range_ : tuple of float or None
        The value range; None for tables without one.

    Warns
    -----
    CopiesMayLeakWarning
        If the classifier splits its rows without groups (search, early stopping, calibration): copies of a row may then
        be on both sides of the split. Copies have the ``groups`` of their row, so a group-aware splitter keeps them
        together.
    ParametersIgnoredWarning
        If parameters that ``partial_fit`` uses only in its first call, such as those of the estimator, are changed
        later.
    ValueRangeWarning
        If the pixels in ``predict`` are on another scale than those in ``fit``.
    ViewsIgnoredWarning
        If ``predict_views`` is set and the augmenter only mixes rows, or is None.

    See Also
    --------
    AugmentedRegressor : The same for regressors.
    NetClassifier : Draws again for each epoch.

    Notes
    -----
    ``fit`` keeps all training rows, copies included, in memory. ``partial_fit``, if the classifier has it, keeps the
    given rows and one chunk of a copy, 64 MB in float64.

    Integers in a table are augmented as floats; images keep their dtype.

    Copies increase the number of rows, and thereby weaken a penalty that is relative to the sum of the losses, such as
    ``C``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.svm import SVC
    >>> from sktricks import AugmentedClassifier, RandomAffine
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X, y, train_size=100, random_state=0)
    >>> shifts = RandomAffine(max_angle=10, shift=0.1)
    >>> model = AugmentedClassifier(SVC(), shifts, n_copies=8, image_shape=(8, 8), random_state=0).fit(X, y)
    >>> bool(model.score(X_test, y_test) > SVC().fit(X, y).score(X_test, y_test))
    True
    """

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit a clone of the classifier on augmented copies of the rows.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            A table or images.
        y : array-like of shape (n,) or (n, labels)
            Labels, or 0/1 columns for multilabel targets.
        **fit_params : dict
            Further arguments of the classifier's ``fit``; with metadata routing, those that it requests.
            ``sample_weight`` is passed to the last step of a Pipeline; rows of weight 0 are dropped. Arguments with one
            value per row, such as ``groups``, are repeated for the copies.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter, X, y or a weight is invalid.
        """
        return self._fit(X, y, fit_params)

    @available_if(inner_has("partial_fit"))
    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, **fit_params) -> Self:
        """Continue training on new copies of the given rows, one chunk at a time.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            A table or images. The first call sets the shape and the value range.
        y : array-like of shape (n,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All classes; required in the first call unless all of them occur in y.
        **fit_params : dict
            As in ``fit``, for the classifier's ``partial_fit``.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        if classes is None and not hasattr(self, "estimator_") and y is not None:
            classes = np.unique(y)
        return self._partial_fit(X, y, fit_params, **({} if classes is None else {"classes": classes}))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the class of each row by mean probabilities, mean decision values or votes over the views.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,) or (n, labels)
            Predicted labels.
        """
        if not getattr(self, "_views", None):
            return self._predict_views(X, "predict")[0]
        method = next(m for m in ("predict_proba", "decision_function", "predict") if hasattr(self.estimator_, m))
        return decide(self._predict_views(X, method), method, self.classes_, self._several)

    @available_if(inner_has("predict_proba"))
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the mean probabilities over the views.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to predict.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            For multilabel targets, in the format of the classifier.
        """
        return mean_of(self._predict_views(X, "predict_proba"))

    @available_if(inner_has("predict_proba"))
    def predict_log_proba(self, X: ArrayLike) -> np.ndarray | list[np.ndarray]:
        """Return the logarithms of the mean probabilities.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to predict.

        Returns
        -------
        log_proba : ndarray of shape (n, n_classes), or list of such arrays
            In the order of ``classes_``.
        """
        proba = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return [np.log(one) for one in proba] if isinstance(proba, list) else np.log(proba)

    @available_if(inner_has("decision_function"))
    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return decision values that are consistent with ``predict``: their means over the views.

        If the classifier has ``predict_proba``, ``predict`` uses the mean probabilities. With views, the decision
        values are then the logarithms of these means; for two classes, the logarithm of their ratio.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to predict.

        Returns
        -------
        values : ndarray of shape (n,) or (n, columns)
            Scores of the classes; for two classes, the score of the second.
        """
        check_is_fitted(self)
        if self._several or not (self._views and hasattr(self.estimator_, "predict_proba")):
            return mean_of(self._predict_views(X, "decision_function"))
        logs = self.predict_log_proba(X)
        return logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs

    @property
    def classes_(self):
        """The classes, in the order of the columns of ``predict_proba``."""
        return self.estimator_.classes_

    def _check_kept(self, y, kept):
        if len(kept) < len(y) and len(np.unique(kept)) == 1 < len(np.unique(y)):
            label = kept.ravel().tolist()[0]
            raise ValueError(f"sample_weight must be positive in rows of at least two classes, got only {label!r}")

    def _prepare(self, y, params, keyword):
        estimator, params = super()._prepare(y, params, keyword)
        mixes = self.augmenter_ is not None and self.augmenter_._mixing_target() is not None
        weighted = keyword is None or keyword in params
        if mixes and not (weighted or self._several) and pop_balanced(estimator):
            params = {**params, keyword: compute_sample_weight("balanced", y)}
        return estimator, params

    def _make_targets(self, n, copies, y, weight, keyword, rng):
        if keyword is None:
            warn(
                f"{type(self.estimator).__name__} does not take sample_weight, so one label is drawn for each mixed "
                "row instead of learning from both",
                SampledLabelsWarning,
            )
            return np.arange(n * len(copies)), y[draw_labels(copies, n, rng)], None
        indices, labels, weights = weighted_rows(copies, target_codes(y), weight)
        return indices, y[labels], weights


class AugmentedRegressor(RegressorMixin, BaseAugmented):
    """A meta-estimator that fits any regressor on augmented copies of the rows.

    ``fit`` creates randomly augmented copies of the rows and fits a clone of the regressor on all of them. Predictions
    are made for the unchanged rows, or averaged over several views of each row. An augmenter that mixes rows mixes
    their values as well. With ``sample_weight``, a row that is mixed as ``f * own + (1 - f) * partner`` has the weight
    ``f * own_weight + (1 - f) * partner_weight``, and its value is the mean of both values, weighted by these two
    terms. For squared error this is equivalent to two rows with the same features, one for each value.

    Parameters
    ----------
    estimator : regressor
        The regressor, which is cloned. scikit-learn's estimators for tables get images as rows.
    augmenter, n_copies, keep_original, predict_views, image_shape, value_range, n_jobs, verbose : optional
        As in :class:`AugmentedClassifier`.
    random_state : int, RandomState instance or None, default=None
        As in :class:`AugmentedClassifier`.

    Attributes
    ----------
    estimator_ : regressor
        The fitted regressor.
    augmenter_, n_features_in_, feature_names_in_, image_shape_, value_range_
        As in :class:`AugmentedClassifier`.

    Warns
    -----
    CopiesMayLeakWarning, ParametersIgnoredWarning, ViewsIgnoredWarning
        As in :class:`AugmentedClassifier`.

    See Also
    --------
    AugmentedClassifier : The same for classifiers.
    NetRegressor : Draws again for each epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sktricks import AugmentedRegressor, MixUp
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = RandomForestRegressor(20, random_state=0)
    >>> model = AugmentedRegressor(forest, MixUp(alpha=1.0), n_copies=2, random_state=0).fit(X[:200], y[:200])
    >>> bool(model.score(X[200:], y[200:]) > 0.3)
    True
    """

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit a clone of the regressor on augmented copies of the rows.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            A table or images.
        y : array-like of shape (n,) or (n, outputs)
            Values.
        **fit_params : dict
            As in :class:`AugmentedClassifier`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter, X, y or a weight is invalid.
        """
        return self._fit(X, y, fit_params)

    @available_if(inner_has("partial_fit"))
    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Continue training on new copies of the given rows, one chunk at a time.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            A table or images. The first call sets the shape and the value range.
        y : array-like of shape (n,) or (n, outputs)
            Values.
        **fit_params : dict
            As in ``fit``, for the regressor's ``partial_fit``.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._partial_fit(X, y, fit_params)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the values of each row, as the mean over the views.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,) or (n, outputs)
            Predicted values.
        """
        return mean_of(self._predict_views(X, "predict"))

    def _make_targets(self, n, copies, y, weight, keyword, rng):
        return np.arange(n * len(copies)), *mix_values(copies, read_target(y, n, "values")[1], weight)
