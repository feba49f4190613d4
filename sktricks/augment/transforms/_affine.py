"""Random affine transformations and random resized crops."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

from .._base_augmenter import BaseAugmenter
from .._parameters import check_interval
from .._plan import apply_plan
from ..kernels._warp import linear_maps, resize_maps, rotations
from ._erase import box_sides
from ._geometry import BORDER_CONSTRAINTS, GeometricAugmenter, is_for_images, read_size


def affine_linear(angles, scales, shears):
    """Return (n, 2, 2) matrices, from output to input, that scale, shear (along the rows) and rotate an image.

    ``angles`` and ``shears`` are in degrees.
    """
    linear = rotations(angles) / scales[:, None, None]
    linear[:, 1] -= np.tan(np.deg2rad(shears))[:, None] * linear[:, 0]
    return linear


class RandomAffine(GeometricAugmenter):
    """Rotate, shift, scale and shear each image at random, by one affine transformation about its center.

    All parameters are drawn uniformly: the angle within ``± max_angle``, the shear within ``± shear``, the scale factor
    within ``1 ± scale``, and the vertical and horizontal shift within ``± shift`` of the side. Interpolation is
    bilinear. ``transform`` returns X unchanged. Rows without ``image_shape`` are signals, which are shifted and scaled
    along their only axis, with a warning that they are not rotated or sheared.

    Parameters
    ----------
    max_angle : float, default=10
        Largest angle in degrees, from 0 to 180; positive angles are counter-clockwise.
    shift : float, default=0.1
        Largest shift, as a fraction of the height and of the width, from 0 to 1.
    scale : float, default=0.1
        Largest relative change of size, from 0 to below 1.
    shear : float, default=5
        Largest shear in degrees, from 0 to below 90: each row of pixels moves sideways by ``tan(shear)`` times its
        distance from the center.
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
    RandomRotation : Only rotate each image.
    RandomResizedCrop : Crop windows of random size, and resize them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks.augment import RandomAffine
    >>> X, _ = load_digits(return_X_y=True)
    >>> RandomAffine(scale=0.2, image_shape=(8, 8), random_state=0).fit_transform(X).shape
    (1797, 64)
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "max_angle": [Interval(Real, 0, 180, closed="both")],
        "shift": [Interval(Real, 0, 1, closed="both")],
        "scale": [Interval(Real, 0, 1, closed="left")],
        "shear": [Interval(Real, 0, 90, closed="left")],
        **BORDER_CONSTRAINTS,
    }

    def __init__(
        self,
        max_angle: float = 10,
        shift: float = 0.1,
        scale: float = 0.1,
        shear: float = 5,
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
        self.shift = shift
        self.scale = scale
        self.shear = shear
        self.border = border
        self.fill = fill

    def draw(self, rng, n, shape, y=None):
        angle, down, right, size, shear = rng.uniform(-1, 1, (5, n))
        scales = 1 + self.scale * size
        if shape[0] == 1:
            linear = np.tile(np.eye(2), (n, 1, 1))
            linear[:, 1, 1] /= scales
            down = np.zeros(n)
        else:
            linear = affine_linear(self.max_angle * angle, scales, self.shear * shear)
        shift = [self.shift * fraction * side for fraction, side in ((down, shape[0]), (right, shape[1]))]
        return {"map": linear_maps(linear, shape, shift)}

    def wants_images(self):
        return self.max_angle > 0 or self.shear > 0


class RandomResizedCrop(GeometricAugmenter):
    """Crop a window of random size and aspect ratio from each image, and resize it.

    The area of the window, as a fraction of the image, is uniform in ``scale``, the logarithm of its aspect ratio is
    uniform in that of ``ratio``, and its position is uniform. Sides longer than the image are shortened to it.
    Interpolation is bilinear, without anti-aliasing: pixels are skipped where a window shrinks to less than half.

    ``transform`` resizes the whole image. Rows without ``image_shape`` are signals, which are cropped along their only
    axis, with a warning unless ``size`` is None or ``(1, width)``.

    Parameters
    ----------
    size : int or pair of int, default=None
        Height and width of the output in pixels; an int sets both. None keeps the size of the image.
    scale : pair of float, default=(0.08, 1.0)
        Smallest and largest area of the window, as a fraction of the image, above 0 and up to 1.
    ratio : pair of float, default=(0.75, 1.333)
        Smallest and largest aspect ratio, width over height.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    RandomCrop : Crop windows of one size, without resizing.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import RandomResizedCrop
    >>> X = np.random.default_rng(0).random((10, 40, 32, 3), dtype=np.float32)
    >>> RandomResizedCrop(24, scale=(0.3, 1)).fit_transform(X).shape
    (10, 24, 24, 3)
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "size": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "scale": ["array-like"],
        "ratio": ["array-like"],
    }

    def __init__(
        self,
        size: int | tuple | None = None,
        scale: tuple = (0.08, 1.0),
        ratio: tuple = (0.75, 1.333),
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.size = size
        self.scale = scale
        self.ratio = ratio

    def draw(self, rng, n, shape, y=None):
        fraction = rng.uniform(*self.scale, n)
        aspect_ratio = np.exp(rng.uniform(*np.log(self.ratio), n))
        down, right = rng.random((2, n))
        height, width = box_sides(shape, fraction, aspect_ratio)
        top, left = down * (shape[0] - height), right * (shape[1] - width)
        return {"map": resize_maps(top, left, height, width, read_size(self.size, shape))}

    def find_border(self, shape, value_range):
        return None  # it reads at most half a pixel outside the image

    def center_images(self, images, value_range=None):
        shape, output = images.shape[1:], self.output_shape(images.shape[1:])
        whole = [np.full(len(images), value, dtype=float) for value in (0, 0, *shape[:2])]
        return apply_plan([(self, {"map": resize_maps(*whole, output[:2])})], images, value_range, output, self.n_jobs)

    def check_parameters(self):
        super().check_parameters()
        check_interval("scale", self.scale, 0, 1)
        check_interval("ratio", self.ratio, 0, np.inf)

    def output_shape(self, shape):
        return *read_size(self.size, shape), shape[2]

    def wants_images(self):
        return self.size is not None and is_for_images(self.size)
