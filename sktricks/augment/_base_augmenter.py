"""The base class of all augmenters: draw transform parameters for each row, then apply them."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import validate_parameter_constraints
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.validation import check_is_fitted

from .._layout import fits_image_shape
from .._naming import RenamedMethodsMixin
from .._parameter_checks import check_magnitude
from .._project import LinksToDocs
from .._validation import check_X
from .._value_range import check_value_range, warn_of_other_scale
from ._parameters import check_fill, check_fill_dtype
from ._plan import BLOCK_ROWS, apply_plan, mix_targets
from ._random import make_rng


class BaseAugmenter(RenamedMethodsMixin, LinksToDocs, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Base class of all augmenters.

    An augmenter makes random copies of images or rows. It is a scikit-learn transformer with four methods:

    - ``fit(X, y=None)`` learns the shape of the images and their value range.
    - ``fit_transform(X, y=None)`` is for training: one augmented copy, with a random draw for each row.
    - ``transform(X)`` is for prediction: the deterministic counterpart. It is the identity (X itself, not a copy), but
      a crop takes the center, and a resized crop resizes the whole image.
    - ``augment(X, y=None, random_state=...)`` returns an augmented copy, after ``fit`` if the augmenter is not fitted.
      With y it returns the pair (X, y).

    In a plain scikit-learn ``Pipeline``, `fit` sees one randomly augmented copy of each row; `predict` sees the row
    unchanged. With ``Pipeline(memory=...)`` the draw is cached like any other result: two fits then see the same copy.
    Nearly every model is less accurate when trained on one copy than on the rows themselves. Pass the augmenter as
    ``augmenter`` of a net to draw again for each epoch, or of :class:`AugmentedClassifier` to train any other model on
    the rows and several copies.

    X is ``(n, height, width, channels)``, ``(n, height, width)``, or ``(n, features)`` rows with ``image_shape``. The
    output has the layout and the dtype of X. Rows without ``image_shape`` are signals of one channel: images one pixel
    high, on which two-dimensional geometry has no effect and causes a warning. Signals have no value range unless one
    is given, and are not clipped.

    ``set_output`` applies to two-dimensional output; images are always arrays.

    Parameters
    ----------
    image_shape : int or tuple of int, default=None
        Shape of the image in each row: (height, width), (height, width, channels), or the side of a square; row-major,
        channels last. A shape without channels means one channel for rows, and any number of channels for images.
    value_range : tuple of float, default=None
        The values of black and white. None means 0 to 255 for integers and 0 to 1 for booleans; for floats (0, 1) if
        the data of ``fit`` are within it, else (0, 255) if they are within it and exceed 16, else their extremes.
        It means the extremes for integers outside 0 to 255, too. Unless a pair is given, later pixels on another scale
        cause a :class:`ValueRangeWarning`.
    n_jobs : int, default=None
        Number of threads; None means 1 outside a :obj:`joblib.parallel_config` context. The result does not depend on
        it.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws. With an int every call returns the same result; with None every call draws again. numpy's
        global random state is not used unless it is passed here.

    Attributes
    ----------
    image_shape_ : tuple of int or None
        (height, width, channels) of the images; None for signals.
    value_range_ : tuple of float or None
        The value range; None for signals without one.
    n_features_in_ : int
        Values per row: height x width x channels for images.
    feature_names_in_ : ndarray of str
        Names of the columns, if X had any in ``fit``.

    See Also
    --------
    AugmentationPipeline : Several augmenters as one.
    AugmentedClassifier : Fit any classifier on augmented copies.

    Notes
    -----
    To write an augmenter, subclass this class. One method draws all random numbers and another applies them, so the
    result depends neither on chunks nor on threads. A subclass may override:

    ``draw(rng, n, shape, y=None)``
        Draw the parameters of ``n`` rows: a dict of arrays with one entry per row.
    ``apply(images, params, value_range)``
        Apply these parameters to some of the rows.
    ``output_shape(shape)``
        Return the shape of the augmented images; the default is ``shape``.
    ``center_images(images, value_range=None)``
        Return the deterministic counterpart, for ``transform``; the default is the identity.
    ``check_parameters()``
        Raise an error for invalid values that ``_parameter_constraints`` cannot express.
    ``wants_images()``
        Return True if rows without ``image_shape`` cause an :class:`ImageShapeWarning`; the default is False.
    ``needs_float``
        True (the default) if ``apply`` requires floats; False if it takes the dtype of X.
    ``keeps_values``
        True if each output value is a value of the same column, 0, or NaN, so that categories stay valid; the default
        is False.
    ``mixes_rows``, ``mix(images, params, read)``
        If ``mixes_rows`` is True (the default is False), ``mix`` is called instead of ``apply``; ``read`` returns other
        rows.

    Examples
    --------
    An augmenter that inverts each image with probability p, in a Pipeline:

    >>> from numbers import Real
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.utils._param_validation import Interval
    >>> from sktricks.augment import BaseAugmenter
    >>> class RandomInvert(BaseAugmenter):
    ...     _parameter_constraints = {
    ...         **BaseAugmenter._parameter_constraints,
    ...         "p": [Interval(Real, 0, 1, closed="both")],
    ...     }
    ...
    ...     def __init__(self, p=0.5, *, image_shape=None, value_range=None, n_jobs=None, random_state=None):
    ...         super().__init__(
    ...             image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state
    ...         )
    ...         self.p = p
    ...
    ...     def draw(self, rng, n, shape, y=None):
    ...         return {"inverted": rng.random(n) < self.p}
    ...
    ...     def apply(self, images, params, value_range):
    ...         inverted = params["inverted"]
    ...         images[inverted] = sum(value_range or (0, 0)) - images[inverted]
    ...         return images
    >>> X, y = load_digits(return_X_y=True)
    >>> invert = RandomInvert(p=0.5, image_shape=(8, 8), value_range=(0, 16), random_state=0)
    >>> (16 - invert.fit_transform(X) == X).all(axis=1).mean().round(1).item()
    0.5
    >>> model = make_pipeline(invert, KNeighborsClassifier()).fit(X, y)
    >>> model.predict(X).shape
    (1797,)
    """

    _parameter_constraints: dict = {
        "image_shape": [Integral, "array-like", None],
        "value_range": ["array-like", None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }
    needs_float: bool = True
    keeps_values: bool = False
    mixes_rows: bool = False
    fuses_as: str | None = None  # adjacent "geometry" and "color" steps are fused, see kernels/_fuse.py
    _has_kernel = False  # True if ``_run``, which never works in place, replaces ``apply``; see _plan.py

    def __init__(self, *, image_shape=None, value_range=None, n_jobs=None, random_state=None):
        self.image_shape = image_shape
        self.value_range = value_range
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> BaseAugmenter:
        """Learn the shape of the images and their value range.

        Parameters
        ----------
        X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
            Images, or rows.
        y : array-like of shape (n,) or (n, targets), default=None
            Targets; used only by augmenters that mix targets.

        Returns
        -------
        self : object
            The augmenter.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the shape of X is invalid.
        """
        self._fit(X, y)
        return self

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None) -> np.ndarray:
        """Fit, and return one augmented copy of X, for training.

        Parameters
        ----------
        X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
            Images, or rows.
        y : array-like of shape (n,) or (n, targets), default=None
            Targets. They stay unchanged: augmenters that mix rows do so within each class.

        Returns
        -------
        X_new : ndarray of the layout and dtype of X
            The augmented copy.
        """
        array, layout = self._fit(X, y)
        groups = self._groups(y, len(array))
        images = self._augment_images(layout.to_images(array), self._make_rng(), self.value_range_, groups=groups)
        return self._contain(layout.restore(images), X)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the deterministic counterpart of ``fit_transform``, for prediction.

        Parameters
        ----------
        X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
            Images, or rows.

        Returns
        -------
        X_new : ndarray of the layout and dtype of X
            X itself; for a crop, the center of each image; for a resized crop, the whole image, resized.
        """
        array, layout = self._check_again(X)
        images = self.center_images(layout.to_images(array), self.value_range_)
        return self._contain(layout.restore(images), X)

    def augment(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> np.ndarray | tuple:
        """Return one augmented copy of X, and of y if it is given; fit first if necessary.

        Parameters
        ----------
        X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
            Images, or rows.
        y : array-like of shape (n,) or (n, targets), default=None
            Targets.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed for this call, instead of the augmenter's own.

        Returns
        -------
        X_new : ndarray of the layout and dtype of X
            The augmented copy.
        y_new : array-like
            Only with y: y itself, or mixed targets if the augmenter mixes them.

        Raises
        ------
        ValueError, TypeError
            If a parameter, the shape of X, or the labels are invalid.
        """
        if not hasattr(self, "n_features_in_"):
            self.fit(X, y)
        array, layout = self._check_again(X)
        if y is not None:
            check_consistent_length(array, y)
        targets = self._encode_target(y)
        groups = self._groups(y, len(array)) if targets is None else None
        rng = self._make_rng() if random_state is None else self._spread_rng(make_rng(random_state))
        new = self._augment_images(layout.to_images(array), rng, self.value_range_, targets, groups)
        images, y_new = (new, y) if targets is None else new
        return layout.restore(images) if y is None else (layout.restore(images), y_new)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input columns; None means those of ``fit``, or x0, x1, ...

        Returns
        -------
        feature_names_out : ndarray of str
            The input names if the shape stays the same, otherwise ``<classname><i>``: randomcrop0, randomcrop1, ...
        """
        check_is_fitted(self)
        shape = self.image_shape_ or (1, self.n_features_in_, 1)
        if self.output_shape(shape) == shape:
            return OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        return ClassNamePrefixFeaturesOutMixin.get_feature_names_out(self, input_features)

    @property
    def _n_features_out(self):
        return int(np.prod(self.output_shape(self.image_shape_ or (1, self.n_features_in_, 1))))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # -- methods that a subclass may override --------------------------------------------------------------------------

    def draw(
        self, rng: np.random.Generator, n: int, shape: tuple[int, int, int], y: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Draw the parameters of all rows.

        Parameters
        ----------
        rng : Generator
            The only source of randomness.
        n : int
            Number of rows.
        shape : tuple of int
            (height, width, channels) of the images.
        y : int ndarray of shape (n,), default=None
            Groups of rows; an augmenter that mixes rows does so within each group.

        Returns
        -------
        params : dict of str to ndarray of shape (n, ...)
            Transform parameters, few numbers per row. For random numbers per pixel, draw one key per row and expand it
            in ``apply``.
        """
        return {}

    def apply(
        self, images: np.ndarray, params: dict[str, np.ndarray], value_range: tuple[float, float] | None
    ) -> np.ndarray:
        """Apply drawn parameters to some of the rows.

        Parameters
        ----------
        images : ndarray of shape (k, height, width, channels)
            The rows, as floats unless ``needs_float`` is False. They may be overwritten.
        params : dict of str to ndarray of shape (k, ...)
            Their parameters, from ``draw``.
        value_range : tuple of float or None
            Values of black and white; None for signals without a range.

        Returns
        -------
        images : ndarray of shape (k, ...)
            The augmented rows, of the shape that ``output_shape`` returns.
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply(images, params, value_range)")

    def mix(
        self,
        images: np.ndarray,
        params: dict[str, np.ndarray],
        read: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Mix some of the rows with others; only called if ``mixes_rows`` is True.

        Parameters
        ----------
        images : ndarray of shape (k, height, width, channels)
            The rows, as in ``apply``.
        params : dict of str to ndarray of shape (k, ...)
            Their parameters, from ``draw``. If targets are mixed as well, ``"partner"`` is the index of the other row,
            and ``"share"`` is the weight of the row itself.
        read : callable
            ``read(indices)`` returns the rows with these indices before this step; do not write to them.

        Returns
        -------
        images : ndarray of shape (k, height, width, channels)
            The mixed rows.
        """
        raise NotImplementedError(f"{type(self).__name__} must define mix(images, params, read)")

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the shape (height, width, channels) of the images after this step, given that before it.

        Parameters
        ----------
        shape : tuple of int
            (height, width, channels) of the images before this step.

        Returns
        -------
        shape : tuple of int
            (height, width, channels) of the images after it.

        Raises
        ------
        ValueError
            If images of this shape are not supported.
        """
        height, width, channels = shape
        return height, width, channels

    def center_images(self, images: np.ndarray, value_range: tuple[float, float] | None = None) -> np.ndarray:
        """Return the deterministic counterpart of images, as ``transform`` does.

        Parameters
        ----------
        images : ndarray of shape (n, height, width, channels)
            The images, which are not modified.
        value_range : tuple of float, default=None
            Values of black and white; None for signals without a range.

        Returns
        -------
        images : ndarray of shape (n, ...)
            Images of the shape that ``output_shape`` returns; a view where possible.
        """
        return images

    def check_parameters(self) -> None:
        """Raise a ValueError or TypeError if a parameter is invalid."""
        values = {name: getattr(self, name) for name in self._parameter_constraints}
        for name, value in values.items():
            check_magnitude(name, value)
        # _validate_params also inspects the signature, which would double the time of this check in each augment call.
        validate_parameter_constraints(self._parameter_constraints, values, caller_name=type(self).__name__)

    def wants_images(self) -> bool:
        """Return True if rows without ``image_shape`` should cause a warning, as for two-dimensional geometry.

        Returns
        -------
        wants_images : bool
            False by default.
        """
        return False

    # -- methods to override in augmenters that mix targets; see transforms/_mix.py ------------------------------------

    def _mixing_target(self):
        """Return the parameter ``target`` of an augmenter that mixes targets, otherwise None."""
        return None

    def _learn_target(self, y, n):
        """Learn the classes, if targets are mixed."""

    def _encode_target(self, y):
        """Return the targets as a float array that can be mixed; None if there is nothing to mix."""
        return None

    def _groups(self, y, n):
        """Return the groups to mix rows within if y must stay unchanged; None if nothing is mixed."""
        return None

    # -- methods that nets and pipelines call, with canonical images and without fitting -------------------------------

    def _check_images(self, shape, value_range=None):
        """Check the parameters against the shape and value range of images; return the shape after this step.

        The augmenter's own ``image_shape`` and ``value_range`` must be None or match.
        """
        self.check_parameters()
        self._check_agrees(tuple(shape), value_range)
        check_fill(getattr(self, "fill", None), value_range)
        return self.output_shape(tuple(shape))

    def _check_agrees(self, shape, value_range):
        """Raise an error unless ``image_shape`` and ``value_range`` are None or match those of the images."""
        if self.image_shape is not None and not fits_image_shape(self.image_shape, shape):
            hint = ", and set it on the outer estimator, which gets the rows" if shape[0] == 1 else ""
            raise ValueError(
                f"image_shape={self.image_shape} of {type(self).__name__} does not match the images, whose shape is "
                f"{shape}: set it to None{hint}"
            )
        if self.value_range is not None and check_value_range(self.value_range) != value_range:
            raise ValueError(
                f"value_range={self.value_range} of {type(self).__name__} does not match the images, whose value range "
                f"is {value_range}: set it to None"
            )

    def _make_rng(self, random_state=None):
        """Return ``rng`` for :meth:`_augment_images`, for all batches; the augmenter's own random state comes first."""
        return self._spread_rng(make_rng(random_state if self.random_state is None else self.random_state))

    def _augment_images(self, images, rng, value_range, targets=None, groups=None):
        """Augment images without checks.

        Parameters
        ----------
        images : ndarray of shape (n, height, width, channels)
            The images, which are not modified.
        rng : Generator or list
            The result of :meth:`_make_rng`.
        value_range : tuple of float or None
            Values of black and white; None for signals without a range.
        targets : float ndarray of shape (n,) or (n, columns), default=None
            Probabilities or values to mix with the weights of the images.
        groups : int ndarray of shape (n,), default=None
            Mix only within these groups; ``targets`` may then be None.

        Returns
        -------
        images : ndarray of the same dtype and of :meth:`output_shape`, or the pair (images, targets)
        """
        shape = images.shape[1:]
        if len(images) > BLOCK_ROWS and targets is None and groups is None and not self.mixes_rows:
            return self._augment_by_blocks(images, rng, value_range)
        plan = self._plan(rng, len(images), shape, groups)
        if targets is None and groups is None and any("partner" in params for _, params in plan):
            raise ValueError(f"{type(self).__name__} mixes targets with images, but got no targets")
        out = apply_plan(plan, images, value_range, self.output_shape(shape), self.n_jobs)
        return out if targets is None else (out, mix_targets(plan, targets))

    def _augment_by_blocks(self, images, rng, value_range):
        """Augment block by block, because the parameters of many small images take more memory than the images."""
        shape, size = images.shape[1:], self.output_shape(images.shape[1:])
        out = np.empty((len(images), *size), images.dtype)
        for start in range(0, len(images), BLOCK_ROWS):
            block, target = images[start : start + BLOCK_ROWS], out[start : start + BLOCK_ROWS]
            apply_plan(self._plan(rng, len(block), shape), block, value_range, size, self.n_jobs, target)
        return out

    def _plan(self, rng, n, shape, groups=None):
        """Draw the plan for ``n`` images of ``shape``: a list of pairs (augmenter, parameters)."""
        return [(self, self.draw(rng, n, shape, groups))]

    def _spread_rng(self, rng):
        """Return the generator of this step; a pipeline returns a list with one generator per step."""
        return rng

    def _check_dtype(self, dtype):
        """Raise an error if this dtype cannot represent ``fill``."""
        check_fill_dtype(getattr(self, "fill", None), dtype)

    # -- helpers of the public methods ---------------------------------------------------------------------------------

    def _fit(self, X, y):
        self.check_parameters()
        array, layout = check_X(self, X, reset=True, image_shape=self.image_shape, expects_images=self.wants_images())
        if layout.image_shape is None and self.value_range is None:
            self.value_range_ = None
        else:
            self.value_range_ = check_value_range(self.value_range, array)
        self._check_images(layout.to_images(array).shape[1:], self.value_range_)
        self._check_dtype(array.dtype)
        if y is not None and self._mixing_target() is not None:
            check_consistent_length(array, y)
        self._learn_target(y, len(array))
        return array, layout

    def _check_again(self, X):
        """Check X, and the parameters, which may have changed since ``fit``; return X and its layout."""
        check_is_fitted(self)
        array, layout = check_X(self, X, reset=False, image_shape=self.image_shape)
        warn_of_other_scale(self, array)
        self._check_images(layout.to_images(array).shape[1:], self.value_range_)
        self._check_dtype(array.dtype)
        return array, layout

    def _contain(self, array, X):
        """Return two-dimensional output in the container chosen by ``set_output``, and images as an array."""
        return array if array.ndim > 2 else _wrap_data_with_container("transform", array, X, self)
