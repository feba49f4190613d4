"""Random flips, crops and rotations, and the base class of geometric augmenters, which draw affine maps.

Flips and crops move pixels and are exact in any dtype; all others interpolate.
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..._parameter_checks import as_pair
from .._base_augmenter import BaseAugmenter
from .._pixel_values import black
from ..kernels._warp import BORDERS, flip_maps, linear_maps, pad, rotations, shift_maps

MAX_SIDE = 16384  # pixels; larger images would not fit into memory
BORDER_CONSTRAINTS = {
    "border": [StrOptions(set(BORDERS))],
    "fill": [Interval(Real, None, None, closed="neither"), None],
}


def read_size(size, shape):
    """Return ``size`` as (height, width); None is the size of the images, an int sets both, or the width of signals."""
    if size is None:
        return tuple(shape[:2])
    sides = (1 if shape[0] == 1 else size, size) if isinstance(size, Integral) else as_pair(size)
    if len(sides) != 2 or not all(isinstance(side, Integral) and 0 < side <= MAX_SIDE for side in sides):
        raise ValueError(
            f"size must be None, an int from 1 to {MAX_SIDE} or a pair (height, width) of them, got {size!r}"
        )
    return int(sides[0]), int(sides[1])


def is_for_images(size):
    """Return False for a size (1, width), which is for signals."""
    return np.ndim(size) == 0 or list(np.ravel(size)[:1]) != [1]


def crop_center(images, size, border="constant", fill=0.0):
    """Crop the center of the images, as a view; images smaller than ``size`` are padded on all sides first."""
    surplus = [side - wanted for side, wanted in zip(images.shape[1:3], size, strict=True)]
    margins = [max(0, -(pixels // 2)) for pixels in surplus]
    top, left = (pixels // 2 + margin for pixels, margin in zip(surplus, margins, strict=True))
    return pad(images, margins, margins, border, fill)[:, top : top + size[0], left : left + size[1]]


class GeometricAugmenter(BaseAugmenter):
    """Base class of geometric augmenters: affine maps from output to input, which can be fused."""

    fuses_as = "geometry"
    moves_whole_pixels = False

    def to_maps(self, params, shape):
        """Return affine maps for drawn parameters; None if images of this shape stay unchanged.

        Parameters
        ----------
        params : dict of str to ndarray of shape (n, ...)
            The result of :meth:`draw`.
        shape : tuple of int
            (height, width, channels) of the images.

        Returns
        -------
        maps : ndarray of shape (n, 2, 3), or None
            One affine map per row, from output to input pixels.
        """
        return params["map"]

    def find_border(self, shape, value_range):
        """Return the values of pixels outside the images; None if the step reads no such pixels.

        Parameters
        ----------
        shape : tuple of int
            (height, width, channels) of the images.
        value_range : tuple of float or None
            Values of black and white; None for signals without a range.

        Returns
        -------
        border : tuple or None
            The mode, such as ``"constant"`` or ``"reflect"``, and the fill value.
        """
        return self.border, black(value_range) if self.fill is None else float(self.fill)


class RandomFlip(GeometricAugmenter):
    """Flip each image with probability ``p``.

    ``transform`` returns X unchanged. Rows without ``image_shape`` are signals: a horizontal flip reverses them, a
    vertical one has no effect and causes a warning.

    Parameters
    ----------
    p : float, default=0.5
        Probability of a flip, from 0 to 1.
    direction : {"horizontal", "vertical"}, default="horizontal"
        Swap left and right, or top and bottom.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    RandomRotation : Rotate each image about its center.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import RandomFlip
    >>> X = np.array([[[0, 1], [2, 3]]], dtype=np.uint8)
    >>> RandomFlip(p=1).fit_transform(X)
    array([[[1, 0],
            [3, 2]]], dtype=uint8)
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "p": [Interval(Real, 0, 1, closed="both")],
        "direction": [StrOptions({"horizontal", "vertical"})],
    }
    moves_whole_pixels = True

    def __init__(
        self,
        p: float = 0.5,
        direction: str = "horizontal",
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.p = p
        self.direction = direction

    def draw(self, rng, n, shape, y=None):
        return {"flipped": rng.random(n) < self.p}

    def to_maps(self, params, shape):
        return flip_maps(params["flipped"], 1 if self.direction == "horizontal" else 0, shape)

    def find_border(self, shape, value_range):
        return None

    def wants_images(self):
        return self.direction == "vertical"


class RandomCrop(GeometricAugmenter):
    """Crop a window at a random position of each image.

    The image is padded on every side first; all positions of the window inside the padded image are equally likely.
    ``transform`` crops the center (rounded toward the upper left). Rows without ``image_shape`` are signals: they are
    padded and cropped along their only axis, with a warning unless ``size`` is ``(1, width)``.

    Parameters
    ----------
    size : int or pair of int, default=None
        Height and width of the window in pixels; an int sets both. None means the size of the image.
    padding : int, default=0
        Pixels added on every side, at most the shorter side of the image.
    border : {"constant", "edge", "reflect"}, default="constant"
        Values of the padding: ``fill``, the nearest pixel, or the image mirrored at its outermost pixels.
    fill : float, default=None
        Value of a constant border, in the value range or 0. None means black, the low end of the value range.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    RandomResizedCrop : Crop windows of random size, and resize them.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import RandomCrop
    >>> X = np.random.default_rng(0).random((10, 32, 32, 3), dtype=np.float32)
    >>> RandomCrop(28, padding=4).fit_transform(X).shape
    (10, 28, 28, 3)
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "size": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "padding": [Interval(Integral, 0, None, closed="left")],
        **BORDER_CONSTRAINTS,
    }
    moves_whole_pixels = True

    def __init__(
        self,
        size: int | tuple | None = None,
        padding: int = 0,
        *,
        border: str = "constant",
        fill: float | None = None,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.size = size
        self.padding = padding
        self.border = border
        self.fill = fill

    def draw(self, rng, n, shape, y=None):
        (height, width, _), (rows, columns) = self.output_shape(shape), self._paddings(shape)
        top, left = shape[0] + 2 * rows - height, shape[1] + 2 * columns - width
        return {"top": rng.integers(0, top + 1, n), "left": rng.integers(0, left + 1, n)}

    def to_maps(self, params, shape):
        rows, columns = self._paddings(shape)
        return shift_maps(params["top"] - rows, params["left"] - columns)

    def find_border(self, shape, value_range):
        return super().find_border(shape, value_range) if any(self._paddings(shape)) else None

    def center_images(self, images, value_range=None):
        border = GeometricAugmenter.find_border(self, images.shape[1:], value_range)
        return np.ascontiguousarray(crop_center(images, read_size(self.size, images.shape[1:]), *border))

    def output_shape(self, shape):
        height, width = read_size(self.size, shape)
        rows, columns = self._paddings(shape)
        most = shape[1] if shape[0] == 1 else min(shape[:2])
        if self.padding > most:
            raise ValueError(
                f"padding must be at most {most}, the shorter side of the images, got {self.padding}: otherwise a "
                "window could lie outside the image"
            )
        if height > shape[0] + 2 * rows or width > shape[1] + 2 * columns:
            raise ValueError(
                f"size={self.size} is larger than the padded images: {shape[0]} x {shape[1]} pixels and "
                f"padding={self.padding} on every side"
            )
        return height, width, shape[2]

    def wants_images(self):
        return is_for_images(self.size)

    def _paddings(self, shape):
        """Return the numbers of rows and columns of padding; a signal gets no extra rows."""
        return (0 if shape[0] == 1 else int(self.padding)), int(self.padding)


class RandomRotation(GeometricAugmenter):
    """Rotate each image about its center by a random angle.

    The angle is uniform between ``-max_angle`` and ``max_angle``; positive angles are counter-clockwise. Interpolation
    is bilinear. ``transform`` returns X unchanged. Rows without ``image_shape`` are signals, which cannot be rotated:
    they stay unchanged, with a warning.

    Parameters
    ----------
    max_angle : float, default=15
        Largest angle in degrees, from 0 to 180.
    border : {"constant", "edge", "reflect"}, default="constant"
        Values outside the image: ``fill``, the nearest pixel, or the image mirrored at its outermost pixels.
    fill : float, default=None
        Value of a constant border, in the value range or 0. None means black, the low end of the value range.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    RandomAffine : Rotate, shift, scale and shear each image.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks.augment import RandomRotation
    >>> X, _ = load_digits(return_X_y=True)
    >>> RandomRotation(10, image_shape=(8, 8), random_state=0).fit_transform(X).shape
    (1797, 64)
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "max_angle": [Interval(Real, 0, 180, closed="both")],
        **BORDER_CONSTRAINTS,
    }

    def __init__(
        self,
        max_angle: float = 15,
        *,
        border: str = "constant",
        fill: float | None = None,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.max_angle = max_angle
        self.border = border
        self.fill = fill

    def draw(self, rng, n, shape, y=None):
        # Computed for all rows at once, because the last bits of numpy's sine may depend on the length of a chunk.
        return {"map": linear_maps(rotations(rng.uniform(-self.max_angle, self.max_angle, n)), shape)}

    def to_maps(self, params, shape):
        return None if shape[0] == 1 else params["map"]

    def wants_images(self):
        return True
