"""Several augmenters as one.

A pipeline joins the plans of its steps, and the joint plan is applied in one go: a chunk of rows goes through all steps
before the next one starts, adjacent steps of a kind become one pass over the pixels (:mod:`._fuse`), and integer images
are rounded once, after the last step.
"""

from __future__ import annotations

import numpy as np
from sklearn.pipeline import _name_estimators
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import _BaseComposition

from ._base_augmenter import BaseAugmenter
from .transforms._mix import TargetMixing


class CompositeAugmenter(TargetMixing, BaseAugmenter):
    """Base class of augmenters that apply other augmenters, which are read, never fitted or changed."""

    def _augmenters(self):
        """Return the other augmenters, in the order in which they are applied."""
        raise NotImplementedError

    @property
    def mixes_rows(self):
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
        outright = sorted(targets - {"auto"})
        if len(outright) > 1:
            raise ValueError(f"the steps must agree about target, they have {outright}")
        return outright[0] if outright else next(iter(targets), None)


class AugmentationPipeline(CompositeAugmenter, _BaseComposition):
    """Augmenters one after the other, as one augmenter.

    Parameters of the steps are set as in a scikit-learn ``Pipeline``: ``rotate__max_angle``. The steps are read, never
    fitted or changed. They get the images and the value range of the pipeline; an ``image_shape`` or ``value_range`` of
    their own must be None or agree. Draws come from the random state of the pipeline, except for steps that have their
    own.

    Flips, crops, rotations and the like that follow one another become one affine map, and changes of color right
    after them one pass: each pixel is read once, bilinearly, and rounded once, however many steps there are. So what a
    crop cuts off is still there for a rotation after it, whose corners come from the image around the crop where there
    is one, and from the border where the image ends. Steps that name different borders (``border``, ``fill``) stay
    apart. A flip, a crop without padding and a resized crop never look outside and go with any; a resized crop that
    goes with none reads the nearest pixel there.

    ``transform`` is the deterministic counterpart of all steps. With a step that mixes targets, ``augment``,
    ``fit_transform``, ``classes_`` and ``target_`` are as in :class:`MixUp`.

    Parameters
    ----------
    steps : list of (str, augmenter)
        Names and augmenters, in the order in which they are applied.
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    named_steps : Bunch
        The steps by name.
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    make_augmentation_pipeline : Names the steps by itself.

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
        """Parameters of the pipeline, and with ``deep`` its steps and theirs.

        Parameters
        ----------
        deep : bool, default=True
            True returns the steps by name as well, and their parameters as ``<name>__<parameter>``.

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
            raise ValueError("steps must hold at least one pair (name, augmenter), got an empty list")
        for step in self.steps:
            if not (isinstance(step, tuple | list) and len(step) == 2 and isinstance(step[0], str)):
                raise TypeError(
                    f"steps must hold pairs (name, augmenter), got {step!r}; "
                    "make_augmentation_pipeline takes augmenters without names"
                )
            if not isinstance(step[1], BaseAugmenter):
                raise TypeError(f"steps must hold augmenters, got {step[1]!r} as {step[0]!r}")
        names = [name for name, _ in self.steps]
        if len({*names}) < len(names) or any("__" in name or name in self._parameter_constraints for name in names):
            self._validate_names(names)  # raises an error, but inspects the signature first

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
    """Make an :class:`AugmentationPipeline` whose steps are named after their classes, in lower case.

    Parameters
    ----------
    *steps : augmenters
        In the order in which they are applied.
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Returns
    -------
    pipeline : AugmentationPipeline
        Not fitted.

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
