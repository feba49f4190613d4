"""Brightness, contrast, saturation and hue.

The four are functions of float images ``(n, height, width, channels)``, which they change in place, and one number an
image. None of them clips, so that one clip at the end is all that is ever lost.
"""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from ._base import BaseAugmenter, black

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights of red, green and blue in a grey value


def _each(values, images):
    """One number an image, to be multiplied with images."""
    return values.astype(images.dtype)[:, None, None, None]


def _scale_about(images, factors, center):
    """``center + (x - center) * factor``."""
    images -= center
    images *= _each(factors, images)
    images += center
    return images


def scale_brightness(images, factors, low=0.0):
    """``low + (x - low) * factor``: black, the low end, stays black."""
    return _scale_about(images, factors, low) if low else np.multiply(images, _each(factors, images), out=images)


def scale_contrast(images, factors):
    """``mean + (x - mean) * factor``, about the mean of the image's own values."""
    # Image by image: the order of a sum over a whole chunk, and so its last bits, could depend on the chunk.
    means = np.array([image.mean(dtype=np.float64) for image in images])
    return _scale_about(images, factors, _each(means, images))


def scale_saturation(images, factors):
    """``grey + (x - grey) * factor``, about the grey value (luma) of each pixel."""
    red, green, blue = (images[..., i : i + 1] * images.dtype.type(weight) for i, weight in enumerate(LUMA))
    return _scale_about(images, factors, red + green + blue)


def turn_hue(images, turns):
    """Turn the hue by a share of a full circle, and keep the largest and the smallest channel of each pixel (HSV)."""
    red, green, blue = (images[..., i] for i in range(3))
    low, high = images.min(axis=-1), images.max(axis=-1)
    chroma = high - low
    safe = np.where(chroma > 0, chroma, 1)
    hue = np.where(
        high == red,
        (green - blue) / safe,
        np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = (hue + 6 * turns.astype(images.dtype)[:, None, None]) % 6
    for channel, (peak, sign) in enumerate([(3, 1), (2, -1), (4, -1)]):
        ramp = (np.abs(hue - peak) - 1.5) * sign + 0.5
        images[..., channel] = low + chroma * np.clip(ramp, 0, 1)
    return images


class ColorJitter(BaseAugmenter):
    """Change the brightness, contrast, saturation and hue of each image at random, in this order.

    Each factor is uniform in ``1 ± strength`` (never below 0). The brightness factor scales the distance to black, the
    low end of the value range; the contrast factor that to the mean of the image's own values after the change of
    brightness; the saturation factor that to the grey value of each pixel. The hue is turned in the sense of HSV. The
    result is clipped to the value range, and rounded if X has integers, once at the end. A strength of 0 leaves its
    property exactly as it is. ``transform`` leaves X as it is.

    Rows without ``image_shape`` are signals; they are not clipped unless ``value_range`` is given.

    Parameters
    ----------
    brightness : float, default=0.2
        Strength, at least 0.
    contrast : float, default=0.2
        Strength, at least 0.
    saturation : float, default=0.0
        Strength, at least 0. Above 0 it needs images of three channels: red, green, blue.
    hue : float, default=0.0
        Largest turn of the hue, as a share of the full circle: from 0 to 0.5. Above 0 it needs three channels.
    image_shape, value_range, n_jobs, random_state
        See :class:`BaseAugmenter`.

    Attributes
    ----------
    image_shape_, value_range_, n_features_in_, feature_names_in_
        See :class:`BaseAugmenter`.

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
        "brightness": [Interval(Real, 0, None, closed="left")],
        "contrast": [Interval(Real, 0, None, closed="left")],
        "saturation": [Interval(Real, 0, None, closed="left")],
        "hue": [Interval(Real, 0, 0.5, closed="both")],
    }

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.0,
        hue: float = 0.0,
        *,
        image_shape: tuple | None = None,
        value_range: tuple | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(image_shape=image_shape, value_range=value_range, n_jobs=n_jobs, random_state=random_state)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def _draw(self, rng, n, shape, y=None):
        # All four are always drawn: a strength set to 0 does not change the draws of the others.
        draws = {
            name: rng.uniform(max(0.0, 1 - strength), 1 + strength, n)
            for name, strength in [
                ("brightness", self.brightness),
                ("contrast", self.contrast),
                ("saturation", self.saturation),
            ]
        }
        return {**draws, "hue": rng.uniform(-self.hue, self.hue, n)}

    def _apply(self, images, params, value_range):
        if self.brightness:
            images = scale_brightness(images, params["brightness"], black(value_range))
        if self.contrast:
            images = scale_contrast(images, params["contrast"])
        if self.saturation:
            images = scale_saturation(images, params["saturation"])
        if self.hue:
            images = turn_hue(images, params["hue"])
        if value_range is None or not (self.brightness or self.contrast or self.saturation or self.hue):
            return images
        return np.clip(images, *value_range, out=images)

    def _output_shape(self, shape):
        for name in ("saturation", "hue"):
            strength = getattr(self, name)
            if strength > 0 and shape[2] != 3:
                raise ValueError(
                    f"{name}={strength} needs images of 3 channels (red, green, blue), X has {shape[2]}; set {name}=0"
                )
        return tuple(shape)
