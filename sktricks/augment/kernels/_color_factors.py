"""Change brightness, contrast, saturation and hue.

Each function takes float images ``(n, height, width, channels)``, which it changes in place, and one factor per image.
None of them clips: values are clipped once, after all changes.
"""

from __future__ import annotations

import numpy as np

from .._pixel_values import black

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights of red, green and blue in a gray value
NEUTRAL = (1.0, 1.0, 1.0, 0.0)  # brightness, contrast, saturation, hue: the factors that change nothing


def _each(values, images):
    """Reshape one number per image so that it broadcasts against images."""
    return values.astype(images.dtype)[:, None, None, None]


def _scale_about(images, factors, center):
    """Compute ``center + (x - center) * factor`` in place."""
    images -= center
    images *= _each(factors, images)
    images += center
    return images


def scale_brightness(images, factors, low=0.0):
    """Compute ``low + (x - low) * factor`` in place: black, the low end, stays black."""
    return _scale_about(images, factors, low) if low else np.multiply(images, _each(factors, images), out=images)


def scale_contrast(images, factors):
    """Compute ``mean + (x - mean) * factor`` in place, with the mean of all values of the image."""
    # Converted to float64 first: numpy's buffered conversion would make the order of summation depend on the chunk.
    means = images.reshape(len(images), -1).astype(np.float64, copy=False).mean(axis=1)
    return _scale_about(images, factors, _each(means, images))


def scale_saturation(images, factors):
    """Compute ``gray + (x - gray) * factor`` in place, with the gray value (luma) of each pixel."""
    red, green, blue = (images[..., i : i + 1] * images.dtype.type(weight) for i, weight in enumerate(LUMA))
    return _scale_about(images, factors, red + green + blue)


def turn_hue(images, turns):
    """Rotate the hue (HSV) by a fraction of a full turn, in place; keep the extremes of the channels of each pixel."""
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


def change_colors(images, factors, value_range):
    """Change the colors in place by ``factors`` (n, 4): brightness, contrast, saturation, and rotation of the hue.

    Neutral factors are skipped, and images with only neutral factors are not clipped.
    """
    steps = [
        lambda some, values: scale_brightness(some, values, black(value_range)),
        scale_contrast,
        scale_saturation,
        turn_hue,
    ]
    for step, values, neutral in zip(steps, factors.T, NEUTRAL, strict=True):
        images = _where(values != neutral, images, lambda some, rows, s=step, v=values: s(some, v[rows]))
    if value_range is None:
        return images
    return _where((factors != NEUTRAL).any(axis=1), images, lambda some, rows: np.clip(some, *value_range, out=some))


def _where(chosen, images, function):
    """Apply a function to the chosen images in place; the result of a row does not depend on the other rows."""
    if chosen.all():
        return function(images, slice(None))
    if chosen.any():
        images[chosen] = function(images[chosen], chosen)
    return images
