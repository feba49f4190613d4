"""Random brightness, contrast, saturation and hue, and random grayscale."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from .._base_augmenter import BaseAugmenter
from ..kernels._color_factors import NEUTRAL

FACTORS = ("brightness", "contrast", "saturation", "hue")


class ColorAugmenter(BaseAugmenter):
    """Base class of augmenters that change the colors of each image by four factors, which can be fused."""

    fuses_as = "color"

    def to_factors(self, params, shape):
        """Return the color factors for drawn parameters.

        Parameters
        ----------
        params : dict of str to ndarray of shape (n, ...)
            The result of :meth:`draw`.
        shape : tuple of int
            (height, width, channels) of the images.

        Returns
        -------
        factors : ndarray of shape (n, 4)
            Factors of brightness, contrast and saturation, and rotation of the hue.
        """
        raise NotImplementedError


class ColorJitter(ColorAugmenter):
    """Change the brightness, contrast, saturation and hue of each image at random, in this order.

    Each factor is uniform in ``1 ± strength`` (never below 0). The brightness factor scales the distance of each value
    to black, the low end of the value range; the contrast factor scales the distance to the mean of the image after the
    change of brightness; the saturation factor scales the distance to the gray value of the pixel. The hue is rotated
    in HSV space. The result is clipped to the value range, and rounded if X has integers, once at the end. With a
    strength of 0 the property does not change at all. ``transform`` returns X unchanged.

    Rows without ``image_shape`` are signals; they are not clipped unless ``value_range`` is given.

    Parameters
    ----------
    brightness : float, default=0.2
        Strength, from 0 to 100.
    contrast : float, default=0.2
        Strength, from 0 to 100.
    saturation : float, default=0.0
        Strength, from 0 to 100. Above 0, images must have three channels: red, green, blue.
    hue : float, default=0.0
        Largest rotation of the hue, as a fraction of a full turn, from 0 to 0.5. Above 0, images must have three
        channels.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    RandomGrayscale : Remove the colors of some images.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import ColorJitter
    >>> X = np.full((3, 2, 2), 100, dtype=np.uint8)
    >>> ColorJitter(brightness=0.5, random_state=0).fit_transform(X)[:, 0, 0].tolist()
    [53, 134, 57]
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "brightness": [Interval(Real, 0, 100, closed="both")],
        "contrast": [Interval(Real, 0, 100, closed="both")],
        "saturation": [Interval(Real, 0, 100, closed="both")],
        "hue": [Interval(Real, 0, 0.5, closed="both")],
    }

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.0,
        hue: float = 0.0,
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def draw(self, rng, n, shape, y=None):
        # All four are always drawn, so that setting one strength to 0 does not change the draws of the others.
        strengths = {name: getattr(self, name) for name in FACTORS[:3]}
        draws = {name: rng.uniform(max(0.0, 1 - most), 1 + most, n) for name, most in strengths.items()}
        return {**draws, "hue": rng.uniform(-self.hue, self.hue, n)}

    def to_factors(self, params, shape):
        return np.stack([params[name] for name in FACTORS], axis=1)

    def output_shape(self, shape):
        for name in ("saturation", "hue"):
            strength = getattr(self, name)
            if strength > 0 and shape[2] != 3:
                raise ValueError(
                    f"{name}={strength} requires images of 3 channels (red, green, blue), X has {shape[2]}: set "
                    f"{name}=0"
                )
        return tuple(shape)


class RandomGrayscale(ColorAugmenter):
    """Convert each image to gray with probability ``p``.

    Red, green and blue are replaced by the gray value of the pixel, 0.299 red + 0.587 green + 0.114 blue. Images of one
    channel stay unchanged. ``transform`` returns X unchanged.

    Parameters
    ----------
    p : float, default=0.1
        Probability, from 0 to 1.
    image_shape, value_range, n_jobs, random_state : optional
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

    See Also
    --------
    ColorJitter : Change brightness, contrast, saturation and hue.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks.augment import RandomGrayscale
    >>> X = np.full((1, 2, 2, 3), [200, 100, 0], dtype=np.uint8)
    >>> RandomGrayscale(p=1).fit_transform(X)[0, 0, 0].tolist()
    [118, 118, 118]
    """

    _parameter_constraints: dict = {
        **BaseAugmenter._parameter_constraints,
        "p": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        p: float = 0.1,
        *,
        image_shape: int | tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.p = p

    def draw(self, rng, n, shape, y=None):
        return {"grey": rng.random(n) < self.p}

    def to_factors(self, params, shape):
        factors = np.tile(NEUTRAL, (len(params["grey"]), 1))
        if shape[2] == 3:
            factors[params["grey"], 2] = 0
        return factors

    def output_shape(self, shape):
        if shape[2] not in (1, 3):
            raise ValueError(f"RandomGrayscale requires images of 1 or 3 channels, X has {shape[2]}")
        return tuple(shape)
