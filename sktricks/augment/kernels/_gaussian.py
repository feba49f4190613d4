"""The weights of a Gaussian kernel, and blurring by them in numpy."""

from __future__ import annotations

import numpy as np

from ._warp import pad

REACH = 3.0  # standard deviations after which the kernel is cut off


def gaussian_weights(sigmas, radius):
    """Return (n, 2 * radius + 1) weights of Gaussian kernels; ``sigmas`` are in pixels, and each row sums to 1."""
    places = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (places / sigmas[:, None]) ** 2)
    weights[np.abs(places) > np.maximum(1, np.ceil(REACH * sigmas))[:, None]] = 0
    return weights / weights.sum(axis=1, keepdims=True)


def blur_with_numpy(images, weights):
    """Return the weighted mean of each pixel and its neighbors, along rows and then columns; mirrored at the border.

    ``images`` are floats, ``weights`` (n, 2 * radius + 1), an odd number for each image.
    """
    radius = weights.shape[1] // 2
    weights = weights.astype(images.dtype).T[..., None, None, None]
    for axis in (1, 2):
        side = images.shape[axis]
        if side == 1:
            continue  # a signal has neighbors in one direction
        reach = [radius if a == axis else 0 for a in (1, 2)]
        padded = pad(images, reach, reach, "reflect")
        total = images * weights[radius]
        for k in range(radius):
            first, second = (_window(padded, axis, start, side) for start in (k, 2 * radius - k))
            total += (first + second) * weights[k]
        images = total
    return images


def _window(images, axis, start, side):
    return images[:, start : start + side] if axis == 1 else images[:, :, start : start + side]
