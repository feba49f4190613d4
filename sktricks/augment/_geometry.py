"""Flips, crops and rotations.

A flip and a crop move pixels and are exact in any dtype. A rotation interpolates: it is an affine map from the pixels
of the output to places in the input, at which :func:`warp` reads.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseAugmenter, black


def flip(images, chosen, axis):
    """Reverse the chosen images along an axis, in place."""
    images[chosen] = np.flip(images[chosen], axis)
    return images


def pad(images, rows, columns):
    """Images with this many more rows and columns of zeros on every side."""
    return np.pad(images, ((0, 0), (rows, rows), (columns, columns), (0, 0))) if rows or columns else images


def crop(images, top, left, size):
    """A window of ``size`` (height, width) of each image, at its own offsets."""
    height, width = size
    out = np.empty((len(images), height, width, images.shape[3]), dtype=images.dtype)
    for image, window, y, x in zip(images, out, top, left, strict=True):
        window[:] = image[y : y + height, x : x + width]
    return out


def crop_center(images, size):
    """The middle of the images, a view; of images smaller than ``size``, in the middle of zeros."""
    spare = [side - wanted for side, wanted in zip(images.shape[1:3], size, strict=True)]
    margins = [max(0, -(room // 2)) for room in spare]
    top, left = (room // 2 + margin for room, margin in zip(spare, margins, strict=True))
    return pad(images, *margins)[:, top : top + size[0], left : left + size[1]]


def rotation_maps(angles, shape):
    """The affine map (2, 3) from output to input, row and column, of a turn about the centre, counter-clockwise.

    ``angles`` is in degrees; the maps are (n, 2, 3).
    """
    angles = np.deg2rad(angles)
    cos, sin = np.cos(angles), np.sin(angles)
    linear = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    center = np.array([(shape[0] - 1) / 2, (shape[1] - 1) / 2])
    # out - center is turned, and center added again. No matrix product: its sums may depend on the number of rows.
    offset = center - (linear[:, :, 0] * center[0] + linear[:, :, 1] * center[1])
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def warp(images, maps, fill):
    """Read each image where its map sends the pixels of the output, bilinearly; outside there is ``fill``.

    Parameters
    ----------
    images : float ndarray of shape (n, height, width, channels)
    maps : float64 ndarray of shape (n, 2, 3)
    fill : float
    """
    n, height, width, channels = images.shape
    # A ring of fill makes four taps right everywhere; further out all is fill, so that places are held on the ring.
    ringed = np.full((n, height + 2, width + 2, channels), fill, dtype=images.dtype)
    ringed[:, 1:-1, 1:-1] = images
    pixels = ringed.reshape(-1, channels)
    y0, wy = _split(_place(maps[:, 0], height, width), height, images.dtype)
    x0, wx = _split(_place(maps[:, 1], height, width), width, images.dtype)
    y0 += np.arange(n)[:, None, None] * (height + 2)
    tap = y0 * (width + 2) + x0
    above = _between(np.take(pixels, tap, axis=0), np.take(pixels, tap + 1, axis=0), wx)
    tap += width + 2
    below = _between(np.take(pixels, tap, axis=0), np.take(pixels, tap + 1, axis=0), wx)
    return _between(above, below, wy)


def _place(row, height, width):
    """One coordinate of where a map sends the pixels of the output: (n, height, width)."""
    a, b, c = row.T[:, :, None, None]
    return a * np.arange(height)[:, None] + (b * np.arange(width) + c)


def _split(place, side, dtype):
    """Places in the image as an index into the ringed one, and the weight of the pixel after it."""
    np.clip(place, -1, side, out=place)
    index = np.minimum(np.floor(place), side - 1)
    return index.astype(np.intp) + 1, (place - index).astype(dtype)[..., None]


def _between(first, second, weight):
    """``first + (second - first) * weight``, in place: exactly ``first`` where the weight is 0."""
    second -= first
    second *= weight
    first += second
    return first


class RandomFlip(BaseAugmenter):
    """Mirror each image with probability ``p``.

    ``transform`` leaves X as it is. Rows without ``image_shape`` are signals: a horizontal flip reverses them, a
    vertical one does nothing and warns.

    Parameters
    ----------
    p : float, default=0.5
        Probability of a flip, from 0 to 1.
    direction : {"horizontal", "vertical"}, default="horizontal"
        Left and right, or top and bottom, change places.
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

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
    _needs_float = False

    def __init__(
        self,
        p: float = 0.5,
        direction: str = "horizontal",
        *,
        image_shape: tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.p = p
        self.direction = direction

    def _draw(self, rng, n, shape, y=None):
        return {"flipped": rng.random(n) < self.p}

    def _apply(self, images, params, value_range):
        return flip(images, params["flipped"], 2 if self.direction == "horizontal" else 1)

    def _wants_images(self):
        return self.direction == "vertical"


class RandomCrop(BaseAugmenter):
    """Cut a window out of each image, at a random place.

    The image is padded with zeros on every side first; offsets are uniform over all places of the window, both ends
    included. ``transform`` takes the centre (the upper and left of two, where there are two). Rows without
    ``image_shape`` are signals: they are padded and cropped in their one direction, with a warning unless ``size`` is
    ``(1, width)``.

    Parameters
    ----------
    size : int or pair of int, default=None
        Height and width of the window in pixels; an int is both, None the size of the image.
    padding : int, default=0
        Pixels of zeros added on every side.
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

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
    }
    _needs_float = False

    def __init__(
        self,
        size: int | tuple | None = None,
        padding: int = 0,
        *,
        image_shape: tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.size = size
        self.padding = padding

    def _draw(self, rng, n, shape, y=None):
        room = np.add(shape[:2], np.multiply(2, self._paddings(shape))) - self._output_shape(shape)[:2]
        return {"top": rng.integers(0, room[0] + 1, n), "left": rng.integers(0, room[1] + 1, n)}

    def _apply(self, images, params, value_range):
        padded = pad(images, *self._paddings(images.shape[1:]))
        return crop(padded, params["top"], params["left"], self._output_shape(images.shape[1:])[:2])

    def _center_images(self, images, value_range=None):
        return np.ascontiguousarray(crop_center(images, self._output_shape(images.shape[1:])[:2]))

    def _output_shape(self, shape):
        height, width = self._window(shape)
        rows, columns = self._paddings(shape)
        if height > shape[0] + 2 * rows or width > shape[1] + 2 * columns:
            raise ValueError(
                f"size={self.size} is larger than the images with their padding: "
                f"{shape[0]} x {shape[1]} pixels and padding={self.padding} on every side"
            )
        return height, width, shape[2]

    def _wants_images(self):
        return np.ndim(self.size) == 0 or list(self.size)[:1] != [1]  # a window (1, width) is meant for signals

    def _window(self, shape):
        if self.size is None:
            return tuple(shape[:2])
        if isinstance(self.size, Integral):
            return (1 if shape[0] == 1 else int(self.size)), int(self.size)
        size = tuple(self.size)
        if len(size) != 2 or not all(isinstance(side, Integral) and side > 0 for side in size):
            raise ValueError(f"size must be None, a positive int or a pair (height, width) of them, got {self.size!r}")
        return int(size[0]), int(size[1])

    def _paddings(self, shape):
        """Rows and columns of padding; a signal has no rows to add."""
        return (0 if shape[0] == 1 else int(self.padding)), int(self.padding)


class RandomRotation(BaseAugmenter):
    """Turn each image about its centre by a random angle.

    The angle is uniform between ``-max_angle`` and ``max_angle``; positive is counter-clockwise. Values between the
    pixels are read bilinearly. What comes in from outside the image has the low end of the value range: black, 0 in
    most images. ``transform`` leaves X as it is. Rows without ``image_shape`` are signals, which cannot be turned: they
    stay as they are, with a warning.

    Parameters
    ----------
    max_angle : float, default=15
        Largest angle in degrees, from 0 to 180.
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

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
    }

    def __init__(
        self,
        max_angle: float = 15,
        *,
        image_shape: tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.max_angle = max_angle

    def _draw(self, rng, n, shape, y=None):
        # The sines are taken here, of all rows at once: in a chunk their last bits could depend on its length.
        return {"map": rotation_maps(rng.uniform(-self.max_angle, self.max_angle, n), shape)}

    def _apply(self, images, params, value_range):
        return images if images.shape[1] == 1 else warp(images, params["map"], black(value_range))

    def _wants_images(self):
        return True
