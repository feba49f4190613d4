"""A policy: one change an image, out of many.

Its geometry and its changes of brightness, contrast and saturation are maps and factors like those of any other
augmenter, and are joined with them; what is left is a function of an image, below.
"""

from __future__ import annotations

import numpy as np

from .._base_augmenter import BaseAugmenter
from ..kernels._color_factors import NEUTRAL
from ..kernels._warp import linear_maps, rotations
from ._color import ColorJitter
from ._geometry import RandomRotation

GEOMETRY = ("shear along rows", "shear along columns", "shift down", "shift right", "rotate")
TONES = ("brightness", "contrast", "saturation")
REST = ("sharpen", "posterize", "solarize", "stretch", "equalize")
CHANGES = ("identity", *GEOMETRY, *TONES, *REST)
LEVELS = 256  # of gray, for what counts them


def policy_maps(changes, strengths, shape):
    """(n, 2, 3) maps of the geometric changes at these strengths (-1 to 1); all other rows stay where they are."""

    def where(name, values, other=0.0):
        return np.where(changes == CHANGES.index(name), values, other)

    linear = rotations(where("rotate", 135.0 * strengths))
    linear[:, 1, 0] -= where("shear along rows", 0.99 * strengths)
    linear[:, 0, 1] -= where("shear along columns", 0.99 * strengths)
    reach = [min(32, side // 2) for side in shape[:2]]
    shift = [where(f"shift {name}", strengths * most) for name, most in zip(("down", "right"), reach, strict=True)]
    return linear_maps(linear, shape, shift)


def sharpen(image, strength):
    """``smooth + (x - smooth) * (1 + strength)``, about the mean of a pixel's neighborhood; the rim stays."""
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
    """Eight down to two bits of each value, which are shares of white."""
    kept = 2 ** (8 - round(6 * abs(strength)))
    return np.floor(np.rint(image * (LEVELS - 1)) * kept / LEVELS) * (LEVELS / kept) / (LEVELS - 1)


def solarize(image, strength):
    """The negative of what is as bright as a threshold, which falls from white to black."""
    return np.where(image >= 1 - abs(strength), 1 - image, image)


def stretch(image, strength=None):
    """Each channel brought from black to white."""
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    return np.where(high > low, (image - low) / np.where(high > low, high - low, 1), image)


def equalize(image, strength=None):
    """Each channel by its histogram: of the pixels above its darkest level, the share up to the level of each."""
    out = image.copy()
    for channel in range(image.shape[2]):
        levels = np.rint(image[..., channel] * (LEVELS - 1)).astype(np.intp)
        up_to = np.bincount(levels.ravel(), minlength=LEVELS).cumsum()
        darkest = up_to[levels.min()]
        if darkest < levels.size:
            out[..., channel] = (up_to[levels] - darkest) / (levels.size - darkest)
    return out


FUNCTIONS = {
    "sharpen": sharpen,
    "posterize": posterize,
    "solarize": solarize,
    "stretch": stretch,
    "equalize": equalize,
}


class TrivialAugment(BaseAugmenter):
    """One random change an image, of random strength: nothing to tune [1]_.

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
        tones = np.tile(NEUTRAL, (n, 1))
        for place, name in enumerate(TONES):
            rows = (changes == CHANGES.index(name)) & (name != "saturation" or shape[2] == 3)
            tones[rows, place] += 0.99 * strengths[rows]
        return {"change": changes, "strength": strengths, "map": policy_maps(changes, strengths, shape), "tones": tones}

    def _plan(self, rng, n, shape, groups=None):
        params = self.draw(rng, n, shape)
        colors = dict(zip((*TONES, "hue"), params["tones"].T, strict=True))
        rest = {**params, "chosen": params["change"] >= CHANGES.index(REST[0])}
        return [(RandomRotation(), {"map": params["map"]}), (ColorJitter(), colors), (self, rest)]

    def apply(self, images, params, value_range):
        if value_range is None:
            return images  # a signal, of which nothing is black or white
        low, high = value_range
        for image, change, strength in zip(images, params["change"], params["strength"], strict=True):
            share = (image.clip(low, high) - low) / (high - low)
            image[:] = low + FUNCTIONS[CHANGES[change]](share, strength) * (high - low)
        return np.clip(images, low, high, out=images)

    def wants_images(self):
        return True
