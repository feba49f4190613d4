"""The base class of estimators that train on augmented copies and predict from several views."""

from __future__ import annotations

import inspect
from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier, is_regressor
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils._set_output import ADAPTERS_MANAGER
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.validation import _check_method_params, check_is_fitted

from ..._coded import fit_model
from ..._kept_params import describe_params, warn_of_changes
from ..._labels import check_labels
from ..._layout import Layout
from ..._naming import RenamedMethodsMixin
from ..._progress import FEW, progress
from ..._project import LinksToDocs
from ..._sample_weight import check_weights, weight_keyword
from ..._validation import check_X
from ..._value_range import check_value_range, warn_of_other_scale
from ..._warnings import CopiesMayLeakWarning, warn
from ...tables._categories import number_categories
from .._base_augmenter import BaseAugmenter
from .._random import make_rng
from ._inner_estimator import reads_rows, table_kind
from ._leaks import find_splits
from ._training_copies import draw_copies, fill_copies
from ._views import apply_view, check_keeps_values, draw_views, warn_of_ignored_views

CHUNK_BYTES = 2**26  # per call of partial_fit, of rows in float64, to which most estimators convert them


class BaseAugmented(RenamedMethodsMixin, LinksToDocs, MetaEstimatorMixin, BaseEstimator):
    """Base class of estimators that are fitted on augmented copies of their rows and predict from several views.

    A subclass creates mixed targets (``_make_targets``) and combines the predictions for the views.
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"])],
        "augmenter": [BaseAugmenter, None],
        "n_copies": [Interval(Integral, 0, None, closed="left")],
        "keep_original": ["boolean"],
        "predict_views": [Interval(Integral, 0, None, closed="left")],
        "image_shape": [Integral, "array-like", None],
        "value_range": ["array-like", None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    # Parameters that partial_fit uses only in its first call.
    _kept_params = ("estimator", "augmenter", "predict_views", "image_shape", "value_range", "random_state")

    def __init__(
        self,
        estimator,
        augmenter=None,
        *,
        n_copies=1,
        keep_original=True,
        predict_views=0,
        image_shape=None,
        value_range=None,
        n_jobs=None,
        verbose=0,
        random_state=None,
    ):
        self.estimator = estimator
        self.augmenter = augmenter
        self.n_copies = n_copies
        self.keep_original = keep_original
        self.predict_views = predict_views
        self.image_shape = image_shape
        self.value_range = value_range
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        inner = get_tags(self.estimator)
        tags.input_tags.allow_nan = inner.input_tags.allow_nan and self.image_shape is None
        tags.target_tags = inner.target_tags
        tags.classifier_tags, tags.regressor_tags = inner.classifier_tags, inner.regressor_tags
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata to the estimator.

        Returns
        -------
        routing : MetadataRouter
            Routes to the estimator's ``fit`` and ``partial_fit``.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit").add(caller="partial_fit", callee="partial_fit")
        return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)

    # -- fitting -------------------------------------------------------------------------------------------------------

    def _fit(self, X, y, fit_params):
        images, restore_categories, y, params, keyword = self._read(X, y, fit_params, "fit", reset=True)
        rng = self._start(images)
        images, kept, params = self._drop_weightless(images, y, params, keyword)
        self._check_kept(y, kept)
        estimator, params = self._prepare(kept, params, keyword)
        how = keyword, rng, self._drawing(rng), self.n_copies, self.keep_original
        rows, y, params = self._make_rows(images, kept, params, *how, self.verbose)
        self._warn_of_leaks(len(rows), params)
        has_classes = is_classifier(self) and not self._several
        self.estimator_ = fit_model(estimator, self._restore(rows, restore_categories), y, params, classes=has_classes)
        return self

    def _partial_fit(self, X, y, fit_params, **more):
        """Call the estimator's ``partial_fit`` for each chunk of each copy."""
        first = not hasattr(self, "estimator_")
        images, restore_categories, y, params, keyword = self._read(X, y, fit_params, "partial_fit", reset=first)
        if first:
            self._start(images)
        else:
            warn_of_changes(self, "call fit")
        estimator = clone(self.estimator) if first else self.estimator_
        rng = np.random.default_rng([self._seed, self._n_batches])
        drawing = self._drawing(rng)
        images, y, params = self._drop_weightless(images, y, params, keyword)
        n_passes = 1 if self.augmenter_ is None else self.n_copies + bool(self.keep_original)
        with progress(len(images) * n_passes, "fit", "row", self.verbose) as done:
            for chunk, n_copies in self._chunks(images, rng):
                some = images[chunk], y[chunk], _check_method_params(images, params, indices=chunk)
                rows, targets, some = self._make_rows(*some, keyword, rng, drawing, n_copies, not n_copies)
                estimator.partial_fit(self._restore(rows, restore_categories), targets, **some, **more)
                done.step(len(chunk))
        self.estimator_, self._n_batches = estimator, self._n_batches + 1
        return self

    def _chunks(self, images, rng):
        """Yield chunks of indices of rows in random order, each with 1 for a copy or 0 for the rows themselves."""
        size = max(1, CHUNK_BYTES // (8 * images[0].size))
        copies = [0] * bool(self.keep_original) + [1] * self.n_copies
        for n_copies in [0] if self.augmenter_ is None else copies:
            order = rng.permutation(len(images))
            for start in range(0, len(images), size):
                yield order[start : start + size], n_copies

    def _read(self, X, y, fit_params, method, *, reset):
        """Return images, a function that restores categories, y, arguments of ``method``, its keyword for weights."""
        self._check_estimator()
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        images, restore_categories = self._check_X(X, reset=reset)
        y = y.toarray() if issparse(y) else np.asarray(y)
        check_consistent_length(images, y)
        if is_classifier(self):
            check_labels(y)
        if reset:
            self._several = y.ndim == 2 and y.shape[1] > 1
        keyword = weight_keyword(self.estimator) if method == "fit" else "sample_weight"
        if method == "partial_fit" and keyword not in inspect.signature(self.estimator.partial_fit).parameters:
            keyword = None
        if _routing_enabled():
            keyword = keyword and "sample_weight"
            params = dict(process_routing(self, method, **fit_params)["estimator"][method])
        else:
            params = {name: value for name, value in fit_params.items() if value is not None}
            if "sample_weight" in params and keyword is None:
                raise ValueError(f"sample_weight is not supported by {type(self.estimator).__name__}.{method}")
            if "sample_weight" in params:
                params[keyword] = params.pop("sample_weight")
        if keyword in params:
            params[keyword] = check_weights(params[keyword], len(images))
        return images, restore_categories, y, params, keyword

    def _check_estimator(self):
        if isinstance(self.estimator, type):
            raise TypeError(f"estimator must be an instance, such as {self.estimator.__name__}(), got the class")
        kind, is_kind = ("classifier", is_classifier) if is_classifier(self) else ("regressor", is_regressor)
        if not is_kind(self.estimator):
            raise ValueError(f"estimator must be a {kind}, got {self.estimator!r}")
        if get_tags(self.estimator).input_tags.pairwise:
            raise ValueError(f"estimator must take rows, but {self.estimator!r} takes a pairwise matrix")
        if self.augmenter is not None and self.n_copies == 0 and not self.keep_original:
            raise ValueError("n_copies=0 and keep_original=False leave no rows to train on: set one of them")

    def _check_X(self, X, *, reset):
        """Return X as images, and a function that restores the categories of a table, or None."""
        numbered, restore_categories = number_categories(X)
        how = {"image_shape": self.image_shape, "allow_nan": get_tags(self).input_tags.allow_nan}
        augmenter = self.augmenter if reset else self.augmenter_
        wants_images = augmenter is not None and augmenter.wants_images()
        array, layout = check_X(self, numbered, reset=reset, expects_images=wants_images, **how)
        if augmenter is not None and layout.image_shape is None and array.dtype.kind in "biu":
            array = array.astype(np.float64)  # otherwise augmented values would be rounded
        if reset:
            signal = layout.image_shape is None and self.value_range is None
            self.value_range_ = None if signal else check_value_range(self.value_range, array)
            self._ndim = 2 if reads_rows(self.estimator) else layout.ndim
            self._table = table_kind(X) if hasattr(self, "feature_names_in_") else None
        else:
            warn_of_other_scale(self, array)
        if restore_categories is not None:
            check_keeps_values(augmenter, layout.n_features)
            if self._table is None or self._table != table_kind(X):
                raise ValueError(
                    "X has categories, which require DataFrames of the same library with string column names in fit "
                    f"and predict: got {type(X).__module__.partition('.')[0]} after {self._table}"
                )
        return layout.to_images(array), restore_categories

    def _start(self, images):
        """Set the seed, the augmenter and the views; return the generator for the copies."""
        rng = make_rng(self.random_state)
        self._seed, self._n_batches = int(rng.integers(2**31)), 0
        self._built_with = describe_params(self, self._kept_params)
        self.augmenter_, self._views = None, []
        if self.augmenter is not None:
            self.augmenter._check_images(images.shape[1:], self.value_range_)
            self.augmenter_ = clone(self.augmenter)
            self._views = draw_views(self.augmenter_, self._drawing(rng), self.predict_views, images.shape[1:])
        if not self._views:
            ignored = {"predict_views": self.predict_views > 0}
            if self.augmenter is None:
                ignored = {"n_copies": self.n_copies > 1, "keep_original": not self.keep_original, **ignored}
            warn_of_ignored_views(self, self.augmenter, **ignored)
        return rng

    def _drawing(self, rng):
        """Return the generators of the augmenter."""
        return None if self.augmenter_ is None else self.augmenter_._make_rng(rng)

    def _drop_weightless(self, images, y, params, keyword):
        """Drop rows of weight 0, so that they are not mixed into others."""
        weight = params.get(keyword)
        if weight is None or weight.all():
            return images, y, params
        rows = np.flatnonzero(weight)
        return images[rows], y[rows], _check_method_params(images, params, indices=rows)

    def _check_kept(self, y, kept):
        """Raise an error if too few rows have a positive weight."""

    def _prepare(self, y, params, keyword):
        """Return a clone of the estimator to fit, and the arguments of its ``fit``."""
        return clone(self.estimator), params

    def _make_rows(self, images, y, params, keyword, rng, drawing, n_copies, keep_original, verbose=0):
        """Return training rows as images, their targets, and the arguments of ``fit`` with one value per row."""
        if self.augmenter_ is None:
            return images, y, params
        n = len(images)
        copies = draw_copies(self.augmenter_, drawing, n, images.shape[1:], n_copies, keep_original)
        if self.augmenter_._mixing_target() is None:
            indices, weights = np.arange(n * len(copies)), None
            y = y[indices % n]
        else:
            indices, y, weights = self._make_targets(n, copies, y, params.get(keyword), keyword, rng)
        with progress(n * len(copies), "augmenting", "row", verbose) as done:
            rows = fill_copies(self.augmenter_, copies, indices, images, self.value_range_, self.n_jobs, done)
        params = _check_method_params(images, params, indices=indices % n)
        if weights is not None:
            params[keyword] = weights
        return rows, y, params

    def _warn_of_leaks(self, n_rows, params):
        if self.augmenter_ is None:
            return
        alone = self.n_copies + bool(self.keep_original) == 1 and self.augmenter_._mixing_target() is None
        splits = {} if alone else find_splits(self.estimator, n_rows, params)
        if splits:
            warn(
                f"{', '.join(splits)}: copies of a row may be on both sides of the split, so scores on held-out rows "
                f"are too optimistic. To avoid this, set {'; '.join(dict.fromkeys(splits.values()))}",
                CopiesMayLeakWarning,
            )

    # -- predicting ----------------------------------------------------------------------------------------------------

    def _restore(self, images, restore_categories=None):
        """Convert images to the layout and the kind of table that the estimator got in ``fit``."""
        rows = Layout(self._ndim, self.image_shape_, self.n_features_in_).restore(images)
        if self._table is None or self._ndim != 2 or rows.shape[1] != self.n_features_in_:
            return rows
        table = ADAPTERS_MANAGER.adapters[self._table].create_container(rows, None, columns=self.feature_names_in_)
        return table if restore_categories is None else restore_categories(table)

    def _predict_views(self, X, method):
        """Return a list of predictions: for the deterministic counterparts of the rows, and for each view."""
        check_is_fitted(self)
        images, restore_categories = self._check_X(X, reset=False)
        center = images if self.augmenter_ is None else self.augmenter_.center_images(images, self.value_range_)
        predict = getattr(self.estimator_, method)
        with progress(1 + len(self._views), "predict", "view", self.verbose if len(images) > FEW else 0) as done:
            predictions = [predict(self._restore(center, restore_categories))]
            done.step()
            for view in self._views:
                seen = apply_view(view, images, self.value_range_, self.n_jobs)
                predictions.append(predict(self._restore(seen, restore_categories)))
                done.step()
        return predictions
