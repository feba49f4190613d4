"""Random rectangles, and RandomErasing."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .._base_augmenter import BaseAugmenter
from .._parameters import check_interval
from .._pixel_values import black, from_float
from ..kernels._counter import draw_keys, expand


def box_sides(shape, fraction, aspect_ratio):
    """Return height and width, floats in pixels, of rectangles with these fractions of the area of an image.

    ``aspect_ratio`` is width over height. Sides longer than the image are shortened to it. For a signal, which has no
    height, ``fraction`` is that of the width.
    """
    area = fraction * shape[0] * shape[1]
    sides = [area / aspect_ratio, area * aspect_ratio] if shape[0] > 1 else [np.ones_like(area), area**2]
    return [np.minimum(np.sqrt(side), most) for side, most in zip(sides, shape[:2], strict=True)]


def draw_boxes(rng, shape, fraction, aspect_ratio):
    """Draw rectangles at uniform positions inside images of this shape.

    Returns (n, 4) integers: top, left, height and width. The sides are those of :func:`box_sides`, rounded.
    """
    sides = box_sides(shape, fraction, aspect_ratio)
    height, width = (np.maximum(np.rint(side), 1).astype(np.intp) for side in sides)
    top, left = (
        (rng.random(len(fraction)) * (most - side + 1)).astype(np.intp)
        for side, most in ((height, shape[0]), (width, shape[1]))
    )
    return np.stack([top, left, height, width], axis=1)


def inside(boxes, shape):
    """Return a mask (n, height, width, 1) of the pixels inside the rectangle of each image."""
    (top, left, height, width) = boxes.T[:, :, None]
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    down = (rows >= top) & (rows < top + height)
    right = (columns >= left) & (columns < left + width)
    return (down[:, :, None] & right[:, None, :])[..., None]


class RandomErasing(BaseAugmenter):
    """Erase a random rectangle of each image, with probability ``p`` [1]_.

    The area of the rectangle, as a fraction of the image, is uniform in ``scale``, the logarithm of its aspect ratio is
    uniform in that of ``ratio``, and its position inside the image is uniform. Sides longer than the image are
    shortened to it. ``RandomErasing(p=1, scale=(0.25, 0.25), ratio=(1, 1))`` is Cutout [2]_ with squares of half the
    side. In signals (rows without ``image_shape``) an interval is erased. ``transform`` returns X unchanged.

    Parameters
    ----------
    p : float, default=0.5
        Probability, from 0 to 1.
    scale : pair of float, default=(0.02, 0.33)
        Smallest and largest area of the rectangle, as a fraction of the image, above 0 and up to 1.
    ratio : pair of float, default=(0.3, 3.3)
        Smallest and largest aspect ratio, width over height.
    fill : float or {"mean", "noise"}, default=None
        New pixel values: a number in the value range or 0, the mean of each channel of the image, or uniform noise in
        the value range. NaN requires X as floats. None means black, the low end of the value range.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    CutMix : Paste a rectangle of another image.

    References
    ----------
    .. [1] Z. Zhong, L. Zheng, G. Kang, S. Li, Y. Yang, "Random erasing data augmentation", AAAI 2020.
    .. [2] T. DeVries, G. W. Taylor, "Improved regularization of convolutional neural networks with Cutout",
       arXiv:1708.04552, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import RandomErasing
    >>> X = np.ones((1, 4, 4), dtype=np.uint8)
    >>> print(RandomErasing(p=1, scale=(0.25, 0.25), ratio=(1, 1), random_state=0).fit_transform(X).sum())
    12
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "p": [Interval(Real, 0, 1, closed="both")],
        "scale": ["array-like"],
        "ratio": ["array-like"],
        "fill": [Real, StrOptions({"mean", "noise"}), None],
    }

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple = (0.02, 0.33),
        ratio: tuple = (0.3, 3.3),
        fill: float | str | None = None,
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.fill = fill

    def draw(self, rng, n, shape, y=None):
        fraction = rng.uniform(*self.scale, n)
        aspect_ratio = np.exp(rng.uniform(*np.log(self.ratio), n))
        boxes = draw_boxes(rng, shape, fraction, aspect_ratio)
        return {"chosen": rng.random(n) < self.p, "box": boxes, "key": draw_keys(rng, n)}

    @property
    def needs_float(self):
        """True if pixels are filled with noise or a mean, which are floats."""
        return isinstance(self.fill, str)

    def apply(self, images, params, value_range):
        if self.fill == "noise":
            low, high = value_range
            noise = low + (high - low) * expand(params["key"], images[0].size).reshape(images.shape)
            np.copyto(images, noise, where=inside(params["box"], images.shape[1:]), casting="same_kind")
            return images
        value = black(value_range) if self.fill in (None, "mean") else self.fill
        value = from_float(np.array(float(value)), images.dtype)
        for image, (top, left, height, width) in zip(images, params["box"], strict=True):
            filling = image.mean(axis=(0, 1)) if self.fill == "mean" else value
            image[top : top + height, left : left + width] = filling
        return images

    def check_parameters(self):
        super().check_parameters()
        check_interval("scale", self.scale, 0, 1)
        check_interval("ratio", self.ratio, 0, np.inf)

    def _check_images(self, shape, value_range=None):
        if self.fill == "noise" and value_range is None:
            raise ValueError('fill="noise" requires a value range, but signals have none: set value_range=(low, high)')
        return super()._check_images(shape, value_range)
