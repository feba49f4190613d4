"""AugmentationPipeline: several augmenters as one.

A pipeline concatenates the plans of its steps. All steps are applied to one chunk of rows before the next chunk,
adjacent geometric and color steps are fused into one pass over the pixels (:mod:`._fuse`), and integer images are
rounded once, after the last step.
"""

from __future__ import annotations

import numpy as np
from sklearn.pipeline import _name_estimators
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import _BaseComposition

from ._base_augmenter import BaseAugmenter
from .transforms._mix import TargetMixing


class CompositeAugmenter(TargetMixing, BaseAugmenter):
    """Base class of augmenters that apply other augmenters, without fitting or changing them."""

    def _augmenters(self):
        """Return the other augmenters in order of application."""
        raise NotImplementedError

    @property
    def mixes_rows(self):
        """True if any of the augmenters mixes rows."""
        return any(augmenter.mixes_rows for augmenter in self._augmenters())

    def check_parameters(self):
        self._check_own_parameters()
        for augmenter in self._augmenters():
            augmenter.check_parameters()

    def _check_own_parameters(self):
        super().check_parameters()

    def _check_images(self, shape, value_range=None):
        self._check_own_parameters()
        self._check_agrees(tuple(shape), value_range)
        for augmenter in self._augmenters():
            shape = augmenter._check_images(shape, value_range)
        return shape

    def _check_dtype(self, dtype):
        for augmenter in self._augmenters():
            augmenter._check_dtype(dtype)

    def output_shape(self, shape):
        for augmenter in self._augmenters():
            shape = augmenter.output_shape(shape)
        return tuple(shape)

    def center_images(self, images, value_range=None):
        for augmenter in self._augmenters():
            images = augmenter.center_images(images, value_range)
        return images

    def wants_images(self):
        return any(augmenter.wants_images() for augmenter in self._augmenters())

    def _mixing_target(self):
        targets = {augmenter._mixing_target() for augmenter in self._augmenters()} - {None}
        explicit = sorted(targets - {"auto"})
        if len(explicit) > 1:
            raise ValueError(f"target must be the same in all steps, got {explicit}")
        return explicit[0] if explicit else next(iter(targets), None)


class AugmentationPipeline(CompositeAugmenter, _BaseComposition):
    """A sequence of augmenters, as one augmenter.

    Parameters of the steps are set as in a scikit-learn ``Pipeline``: ``rotate__max_angle``. The steps are never fitted
    or changed. They use the image shape and the value range of the pipeline; their own ``image_shape`` and
    ``value_range`` must be None or match. Draws come from the random state of the pipeline, except for steps that have
    their own.

    Adjacent geometric steps, such as flips, crops and rotations, are fused into one affine transformation, and color
    steps that follow them into the same pass: each pixel is read once, bilinearly, and rounded once, however many steps
    there are. Therefore pixels that a crop removes are still available to a rotation after it: the corners of the
    rotated crop show the image around the crop, and the border only where the image ends. Steps with different borders
    (``border``, ``fill``) are not fused. A flip, a crop without padding and a resized crop read no pixels outside the
    image, and are fused with any border; a resized crop on its own uses the nearest pixel there.

    ``transform`` is the deterministic counterpart of all steps. With a step that mixes targets, ``augment``,
    ``fit_transform``, ``classes_`` and ``target_`` are as in :class:`MixUp`.

    Parameters
    ----------
    steps : list of (str, augmenter)
        Names and augmenters, in the order in which they are applied.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    named_steps : Bunch
        The steps by name.
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    make_augmentation_pipeline : Generates the names of the steps.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks.augment import AugmentationPipeline, ColorJitter, RandomCrop, RandomRotation
    >>> X, _ = load_digits(return_X_y=True)
    >>> steps = [("rotate", RandomRotation(10)), ("crop", RandomCrop(padding=1)), ("color", ColorJitter())]
    >>> pipeline = AugmentationPipeline(steps, image_shape=(8, 8), random_state=0)
    >>> pipeline.set_params(rotate__max_angle=5).fit_transform(X).shape
    (1797, 64)
    """

    _parameter_constraints: dict = {**BaseAugmenter._parameter_constraints, "steps": [list, tuple]}

    def __init__(
        self,
        steps: list,
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.steps = steps

    @property
    def named_steps(self) -> Bunch:
        """The steps by name."""
        return Bunch(**dict(self.steps))

    def get_params(self, deep: bool = True) -> dict:
        """Return the parameters of the pipeline and, if ``deep``, its steps and their parameters.

        Parameters
        ----------
        deep : bool, default=True
            Also return the steps by name, and their parameters as ``<name>__<parameter>``.

        Returns
        -------
        params : dict
            Names and values.
        """
        return self._get_params("steps", deep=deep)

    def set_params(self, **params) -> AugmentationPipeline:
        """Set parameters of the pipeline, whole steps by name, or parameters of steps.

        Parameters
        ----------
        **params : dict
            Names, as :meth:`get_params` lists them, and values.

        Returns
        -------
        self : object
            The pipeline.
        """
        self._set_params("steps", **params)
        return self

    def _augmenters(self):
        return [augmenter for _, augmenter in self.steps]

    def _check_own_parameters(self):
        super()._check_own_parameters()
        if not self.steps:
            raise ValueError("steps must contain at least one pair (name, augmenter), got an empty list")
        for step in self.steps:
            if not (isinstance(step, tuple | list) and len(step) == 2 and isinstance(step[0], str)):
                raise TypeError(
                    f"steps must contain pairs (name, augmenter), got {step!r}; "
                    "make_augmentation_pipeline takes augmenters without names"
                )
            if not isinstance(step[1], BaseAugmenter):
                raise TypeError(f"steps must contain augmenters, got {step[1]!r} as {step[0]!r}")
        names = [name for name, _ in self.steps]
        if len({*names}) < len(names) or any("__" in name or name in self._parameter_constraints for name in names):
            self._validate_names(names)  # raises the error; not called always, since it inspects the signature

    def _spread_rng(self, rng):
        return [augmenter._make_rng(rng) for augmenter in self._augmenters()]

    def _plan(self, rng, n, shape, groups=None):
        rngs = rng if isinstance(rng, list) else self._spread_rng(rng)
        plan = []
        for augmenter, own in zip(self._augmenters(), rngs, strict=True):
            plan += augmenter._plan(own, n, shape, groups)
            shape = augmenter.output_shape(shape)
        return plan


def make_augmentation_pipeline(
    *steps: BaseAugmenter,
    image_shape: int | tuple | None = None,
    value_range: tuple | None = None,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> AugmentationPipeline:
    """Create an :class:`AugmentationPipeline` whose steps are named after their classes, in lower case.

    Parameters
    ----------
    *steps : augmenters
        Augmenters, in the order in which they are applied.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Returns
    -------
    pipeline : AugmentationPipeline
        The pipeline, not fitted.

    Examples
    --------
    >>> from sktricks.augment import RandomFlip, RandomRotation, make_augmentation_pipeline
    >>> list(make_augmentation_pipeline(RandomFlip(), RandomRotation(10)).named_steps)
    ['randomflip', 'randomrotation']
    """
    return AugmentationPipeline(
        _name_estimators(steps),
        image_shape=image_shape,
        value_range=value_range,
        n_jobs=n_jobs,
        random_state=random_state,
    )
