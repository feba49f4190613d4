"""Compute the weights of Gaussian kernels, and blur images in numpy."""

from __future__ import annotations

import numpy as np

from ._warp import pad

TRUNCATE = 3.0  # standard deviations, as in scipy.ndimage


def gaussian_weights(sigmas, radius):
    """Return (n, 2 * radius + 1) weights of Gaussian kernels; ``sigmas`` are in pixels, and each row sums to 1."""
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigmas[:, None]) ** 2)
    weights[np.abs(offsets) > np.maximum(1, np.ceil(TRUNCATE * sigmas))[:, None]] = 0
    return weights / weights.sum(axis=1, keepdims=True)


def blur_with_numpy(images, weights):
    """Convolve float images with symmetric kernels (n, 2 * radius + 1) along both axes; mirror them at the border."""
    radius = weights.shape[1] // 2
    weights = weights.astype(images.dtype).T[..., None, None, None]
    for axis in (1, 2):
        side = images.shape[axis]
        if side == 1:
            continue  # a signal is blurred along its only axis
        margins = [radius if a == axis else 0 for a in (1, 2)]
        padded = pad(images, margins, margins, "reflect")
        total = images * weights[radius]
        for k in range(radius):
            first, second = (_window(padded, axis, start, side) for start in (k, 2 * radius - k))
            total += (first + second) * weights[k]
        images = total
    return images


def _window(images, axis, start, side):
    return images[:, start : start + side] if axis == 1 else images[:, :, start : start + side]
