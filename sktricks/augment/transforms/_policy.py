"""TrivialAugment: a policy that applies one random operation to each image.

Geometric and color operations are maps and factors, which are fused with those of other augmenters. The other
operations are the functions of an image below.
"""

from __future__ import annotations

import numpy as np

from .._base_augmenter import BaseAugmenter
from ..kernels._color_factors import NEUTRAL
from ..kernels._warp import linear_maps, rotations
from ._color import FACTORS, ColorJitter
from ._geometry import RandomRotation

GEOMETRY = ("shear along rows", "shear along columns", "shift down", "shift right", "rotate")
COLORS = FACTORS[:3]  # all but the hue
LEVELS = 256  # gray levels, for posterize and equalize


def policy_maps(changes, strengths, shape):
    """Return (n, 2, 3) maps for geometric operations at these strengths (-1 to 1), and the identity for all others."""

    def where(name, values):
        return np.where(changes == CHANGES.index(name), values, 0.0)

    linear = rotations(where("rotate", 135.0 * strengths))
    linear[:, 1, 0] -= where("shear along rows", 0.99 * strengths)
    linear[:, 0, 1] -= where("shear along columns", 0.99 * strengths)
    limits = [min(32, side // 2) for side in shape[:2]]
    shift = [where(f"shift {name}", strengths * most) for name, most in zip(("down", "right"), limits, strict=True)]
    return linear_maps(linear, shape, shift)


def sharpen(image, strength):
    """Return ``smooth + (x - smooth) * (1 + strength)``, with a local mean ``smooth``; border pixels stay unchanged."""
    height, width = image.shape[:2]
    smooth = image.copy()
    total = 5 * image[1:-1, 1:-1]  # weight 5 for the center and 1 for its neighbors, as in Pillow
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                total = total + image[down : down + height - 2, right : right + width - 2]
    smooth[1:-1, 1:-1] = total / 13
    smooth[1:-1, 1:-1] += (image[1:-1, 1:-1] - smooth[1:-1, 1:-1]) * (1 + strength)
    return smooth


def posterize(image, strength):
    """Keep between eight and two bits of each value; values are fractions of white."""
    kept = 2 ** (8 - round(6 * abs(strength)))
    return np.floor(np.rint(image * (LEVELS - 1)) * kept / LEVELS) * (LEVELS / kept) / (LEVELS - 1)


def solarize(image, strength):
    """Invert all values at or above a threshold, which decreases from white to black with the strength."""
    return np.where(image >= 1 - abs(strength), 1 - image, image)


def stretch(image, strength=None):
    """Stretch each channel to the range from black to white."""
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    return np.where(high > low, (image - low) / np.where(high > low, high - low, 1), image)


def equalize(image, strength=None):
    """Equalize the histogram of each channel by its cumulative distribution, without the darkest level."""
    out = image.copy()
    for channel in range(image.shape[2]):
        levels = np.rint(image[..., channel] * (LEVELS - 1)).astype(np.intp)
        up_to = np.bincount(levels.ravel(), minlength=LEVELS).cumsum()
        darkest = up_to[levels.min()]
        if darkest < levels.size:
            out[..., channel] = (up_to[levels] - darkest) / (levels.size - darkest)
    return out


FUNCTIONS = {function.__name__: function for function in (sharpen, posterize, solarize, stretch, equalize)}
CHANGES = ("identity", *GEOMETRY, *COLORS, *FUNCTIONS)


class TrivialAugment(BaseAugmenter):
    """Apply one random operation with random strength to each image, with nothing to tune [1]_.

    Each image gets one of fourteen operations with equal probability: identity, shear along rows or columns (up to
    0.99), vertical or horizontal shift (up to 32 pixels or half a side), rotation (up to 135°), brightness, contrast,
    saturation or sharpness (up to ± 0.99), posterize, solarize, autocontrast, or equalize. The strength is drawn
    uniformly, and so is its sign. This is the wide search space of the paper. On gray images the saturation operation
    has no effect. ``transform`` returns X unchanged.

    It is for images; rows require ``image_shape``.

    Parameters
    ----------
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    RandomApply : Apply an augmenter to some of the rows.

    References
    ----------
    .. [1] S. G. Müller, F. Hutter, "TrivialAugment: Tuning-free yet state-of-the-art data augmentation", ICCV 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks.augment import TrivialAugment
    >>> X, _ = load_digits(return_X_y=True)
    >>> TrivialAugment(image_shape=(8, 8), random_state=0).fit_transform(X).shape
    (1797, 64)
    """

    def draw(self, rng, n, shape, y=None):
        changes = rng.integers(0, len(CHANGES), n)
        strengths = rng.uniform(-1, 1, n)
        factors = np.tile(NEUTRAL, (n, 1))
        for index, name in enumerate(COLORS):
            rows = (changes == CHANGES.index(name)) & (name != "saturation" or shape[2] == 3)
            factors[rows, index] += 0.99 * strengths[rows]
        maps = policy_maps(changes, strengths, shape)
        return {"change": changes, "strength": strengths, "map": maps, "tones": factors}

    def _plan(self, rng, n, shape, groups=None):
        params = self.draw(rng, n, shape)
        colors = dict(zip(FACTORS, params["tones"].T, strict=True))
        rest = {**params, "chosen": params["change"] >= CHANGES.index("sharpen")}
        return [(RandomRotation(), {"map": params["map"]}), (ColorJitter(), colors), (self, rest)]

    def apply(self, images, params, value_range):
        if value_range is None:
            return images  # signals have no black and white
        low, high = value_range
        for image, change, strength in zip(images, params["change"], params["strength"], strict=True):
            unit = (image.clip(low, high) - low) / (high - low)
            image[:] = low + FUNCTIONS[CHANGES[change]](unit, strength) * (high - low)
        return np.clip(images, low, high, out=images)

    def wants_images(self):
        return True
