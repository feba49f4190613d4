"""A policy: one change per image, out of many.

Its geometry and its changes of brightness, contrast and saturation are maps and factors like those of any other
augmenter, and are joined with them. The other changes are functions of an image, below.
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
LEVELS = 256  # of gray, for posterize and equalize


def policy_maps(changes, strengths, shape):
    """Return (n, 2, 3) maps of the geometric changes at these strengths (-1 to 1); the identity for other changes."""

    def where(name, values):
        return np.where(changes == CHANGES.index(name), values, 0.0)

    linear = rotations(where("rotate", 135.0 * strengths))
    linear[:, 1, 0] -= where("shear along rows", 0.99 * strengths)
    linear[:, 0, 1] -= where("shear along columns", 0.99 * strengths)
    reach = [min(32, side // 2) for side in shape[:2]]
    shift = [where(f"shift {name}", strengths * most) for name, most in zip(("down", "right"), reach, strict=True)]
    return linear_maps(linear, shape, shift)


def sharpen(image, strength):
    """Return ``smooth + (x - smooth) * (1 + strength)``, about the mean of a pixel's neighbors; the rim is kept."""
    height, width = image.shape[:2]
    smooth = image.copy()
    total = 5 * image[1:-1, 1:-1]  # weights 1 around and 5 in the middle
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                total = total + image[down : down + height - 2, right : right + width - 2]
    smooth[1:-1, 1:-1] = total / 13
    smooth[1:-1, 1:-1] += (image[1:-1, 1:-1] - smooth[1:-1, 1:-1]) * (1 + strength)
    return smooth


def posterize(image, strength):
    """Keep eight down to two bits of each value; values are fractions of white."""
    kept = 2 ** (8 - round(6 * abs(strength)))
    return np.floor(np.rint(image * (LEVELS - 1)) * kept / LEVELS) * (LEVELS / kept) / (LEVELS - 1)


def solarize(image, strength):
    """Invert all values that reach a threshold, which falls from white to black with the strength."""
    return np.where(image >= 1 - abs(strength), 1 - image, image)


def stretch(image, strength=None):
    """Stretch each channel to the range from black to white."""
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    return np.where(high > low, (image - low) / np.where(high > low, high - low, 1), image)


def equalize(image, strength=None):
    """Equalize the histogram of each channel: the fraction of its pixels, but for the darkest, up to each level."""
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
    """Apply one random change of random strength to each image: nothing to tune [1]_.

    Each image gets one of fourteen changes, all equally likely: none, a shear along rows or columns (up to 0.99), a
    shift down or to the right (up to 32 pixels or half a side), a rotation (up to 135°), more or less brightness,
    contrast, saturation or sharpness (up to 0.99), fewer bits (posterize), a negative of its bright parts (solarize),
    the full range of gray (autocontrast), or an even histogram (equalize). The strength is uniform, the sign too. That
    is the paper's wide search space. On gray images the change of saturation does nothing. ``transform`` leaves X as
    it is.

    It is for images; rows need ``image_shape``.

    Parameters
    ----------
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

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
            return images  # a signal, which has no black and white
        low, high = value_range
        for image, change, strength in zip(images, params["change"], params["strength"], strict=True):
            unit = (image.clip(low, high) - low) / (high - low)
            image[:] = low + FUNCTIONS[CHANGES[change]](unit, strength) * (high - low)
        return np.clip(images, low, high, out=images)

    def wants_images(self):
        return True
