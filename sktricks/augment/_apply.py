"""RandomApply: apply an augmenter to some of the rows."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from ._base_augmenter import BaseAugmenter
from ._pipeline import CompositeAugmenter


class RandomApply(CompositeAugmenter):
    """Apply another augmenter to each row with probability ``p``; the other rows stay unchanged.

    The augmenter is never fitted or changed, and draws from the random state of this one unless it has its own. It must
    keep the shape of the images. ``transform`` is that of the augmenter. If the augmenter mixes targets, those of the
    other rows stay unchanged, too.

    Parameters
    ----------
    augmenter : augmenter
        The augmenter to apply; an :class:`AugmentationPipeline` is applied as a whole or not at all.
    p : float, default=0.5
        Probability, from 0 to 1.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    AugmentationPipeline : Several augmenters as one.
    TrivialAugment : Apply one of many operations to each image.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import GaussianBlur, RandomApply
    >>> X = np.random.default_rng(0).random((6, 8, 8))
    >>> X_new = RandomApply(GaussianBlur(sigma=1), p=0.5, random_state=0).fit_transform(X)
    >>> (X_new == X).all(axis=(1, 2)).tolist()
    [False, True, False, True, True, False]
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "augmenter": [BaseAugmenter],
        "p": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        augmenter: BaseAugmenter,
        p: float = 0.5,
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.augmenter = augmenter
        self.p = p

    def _augmenters(self):
        return [self.augmenter]

    def _check_images(self, shape, value_range=None):
        output = super()._check_images(shape, value_range)
        if output != tuple(shape):
            raise ValueError(
                f"augmenter of RandomApply must keep the shape of the images: {type(self.augmenter).__name__} changes "
                f"{tuple(shape)} to {output}"
            )
        return output

    def _spread_rng(self, rng):
        return [rng, self.augmenter._make_rng(rng)]

    def _plan(self, rng, n, shape, groups=None):
        own, inner = rng if isinstance(rng, list) else self._spread_rng(rng)
        chosen = own.random(n) < self.p
        return [(step, _for_rows(chosen, params)) for step, params in self.augmenter._plan(inner, n, shape, groups)]


def _for_rows(chosen, params):
    """Restrict the parameters of a step to the chosen rows; other rows mix with themselves, which changes nothing."""
    if "partner" in params:
        rows = np.arange(len(chosen))
        return {
            **params,
            "partner": np.where(chosen, params["partner"], rows),
            "share": np.where(chosen, params["share"], 1.0),
        }
    return {**params, "chosen": chosen & params.get("chosen", True)}
