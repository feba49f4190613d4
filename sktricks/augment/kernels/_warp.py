"""Create affine maps, and transform images by them.

A map is a (2, 3) matrix from the row and column of an output pixel to a position in the input. The maps of several
steps are composed before any pixel is read: each pixel is then read once, and pixels that one step would crop are still
available to later steps.

The border defines the values outside the image: one constant (``"constant"``), the nearest pixel (``"edge"``), or the
image mirrored at its outermost pixels (``"reflect"``), as in :func:`numpy.pad`.
"""

from __future__ import annotations

import numpy as np

from .._pixel_values import from_float

BORDERS = ("constant", "edge", "reflect")
IDENTITY = np.eye(2, 3)


def new_maps(n):
    """Return ``n`` maps of zeros; each coefficient is contiguous over the maps, since most code uses one at a time."""
    return np.zeros((2, 3, n)).transpose(2, 0, 1)


def shift_maps(top, left):
    """Return maps that crop a window with its upper left pixel at (top, left)."""
    maps = new_maps(len(top))
    maps[:, 0, 0] = maps[:, 1, 1] = 1
    maps[:, 0, 2], maps[:, 1, 2] = top, left
    return maps


def flip_maps(flipped, axis, shape):
    """Return maps that reverse an axis (0: rows, 1: columns) where ``flipped`` is True."""
    maps = new_maps(len(flipped))
    maps[:, 1 - axis, 1 - axis] = 1
    maps[:, axis, axis] = np.where(flipped, -1, 1)
    maps[:, axis, 2] = np.where(flipped, shape[axis] - 1, 0)
    return maps


def resize_maps(top, left, height, width, size):
    """Return maps that crop a window (height, width) at (top, left), all floats, and resize it to ``size``."""
    maps = new_maps(len(top))
    for axis, (start, side) in enumerate([(top, height), (left, width)]):
        step = side / size[axis]
        maps[:, axis, axis] = step
        # This aligns the outer edges of the windows, not the centers of their outermost pixels.
        maps[:, axis, 2] = start + (step - 1) / 2
    return maps


def linear_maps(linear, shape, shift=(0.0, 0.0)):
    """Return the maps ``center + linear @ (out - center - shift)`` for (n, 2, 2) linear maps about the center."""
    center = [(side - 1) / 2 for side in shape[:2]]
    down, right = (center[axis] + shift[axis] for axis in range(2))
    maps = new_maps(len(linear))
    maps[:, :, :2] = linear
    for axis in range(2):
        # Not a matrix product, because its order of summation may depend on the number of rows.
        maps[:, axis, 2] = center[axis] - (linear[:, axis, 0] * down + linear[:, axis, 1] * right)
    return maps


def rotations(angles):
    """Return (n, 2, 2) matrices, in (row, column) coordinates, of counter-clockwise rotations by angles in degrees."""
    angles = np.deg2rad(angles)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)


def compose(first, second):
    """Compose maps: apply ``first`` to the image, then ``second`` to the result."""
    first, second = (maps.transpose(1, 2, 0) for maps in (first, second))
    joined = first[:, :1] * second[0] + first[:, 1:2] * second[1]
    joined[:, 2] += first[:, 2]
    return joined.transpose(2, 0, 1)


def move(images, maps, size, border, fill):
    """Transform each image by a map that consists of flips and shifts by whole pixels."""
    whole = np.rint(maps[:, :, 2]).astype(np.intp)
    signs = np.rint(np.stack([maps[:, 0, 0], maps[:, 1, 1]], axis=1)).astype(np.intp)
    last = whole + signs * (np.array(size) - 1)
    low, high = np.minimum(whole, last), np.maximum(whole, last)
    before = np.maximum(0, -low.min(axis=0))
    after = np.maximum(0, high.max(axis=0) - (np.array(images.shape[1:3]) - 1))
    images = pad(images, before, after, border, fill)
    low = low + before
    out = np.empty((len(images), *size, images.shape[3]), dtype=images.dtype)
    for image, new, (top, left), (down, right) in zip(images, out, low, signs, strict=True):
        new[::down, ::right] = image[top : top + size[0], left : left + size[1]]
    return out


def pad(images, before, after, border="constant", fill=0.0):
    """Pad images with these numbers of rows and columns before and after."""
    if not (np.any(before) or np.any(after)):
        return images
    if border == "reflect":  # by indices, because older versions of numpy.pad reflect wide margins incorrectly
        for axis, (first, last) in enumerate(zip(before, after, strict=True), start=1):
            side = images.shape[axis]
            indices = _apply_border(np.arange(-first, side + last), side, border)
            images = np.take(images, np.minimum(indices, side - 1), axis=axis)
        return images
    values = {"constant_values": from_float(np.array(float(fill)), images.dtype)} if border == "constant" else {}
    return np.pad(images, ((0, 0), *zip(before, after, strict=True), (0, 0)), mode=border, **values)


def warp(images, maps, size, border="constant", fill=0.0):
    """Transform each image by its map, with bilinear interpolation.

    Parameters
    ----------
    images : float ndarray of shape (n, height, width, channels)
    maps : float64 ndarray of shape (n, 2, 3)
    size : (height, width) of the output
    border : {"constant", "edge", "reflect"}
    fill : float
        Value outside the image if ``border`` is ``"constant"``.
    """
    n, height, width, channels = images.shape
    # With one row or column of fill on each side, the four neighbors of each position exist. Everything further outside
    # is fill, so positions are clipped to that margin.
    padded = np.full((n, height + 2, width + 2, channels), fill, dtype=images.dtype)
    padded[:, 1:-1, 1:-1] = images
    pixels = padded.reshape(-1, channels)
    y0, wy = _split(_apply_border(_positions(maps[:, 0], size), height, border), height, images.dtype, channels)
    x0, wx = _split(_apply_border(_positions(maps[:, 1], size), width, border), width, images.dtype, channels)
    tap = y0 * (width + 2)
    tap += x0
    tap += (np.arange(n) * (height + 2) * (width + 2))[:, None, None]
    above = _interpolate(np.take(pixels, tap, axis=0), np.take(pixels[1:], tap, axis=0), wx)
    tap += width + 2
    below = _interpolate(np.take(pixels, tap, axis=0), np.take(pixels[1:], tap, axis=0), wx)
    return _interpolate(above, below, wy)


def _positions(row, size):
    """Return one coordinate of the input position of each output pixel, (n, height, width), from a row of the maps."""
    a, b, c = row.T[:, :, None, None]
    return a * np.arange(size[0])[:, None] + (b * np.arange(size[1]) + c)


def _apply_border(positions, side, border):
    """Replace positions outside the image, in place, by those that the border reads: in the image or its margin."""
    if border == "reflect":
        period = 2 * max(1, side - 1)
        positions %= period
        return np.minimum(np.minimum(positions, period - positions, out=positions), side - 1, out=positions)
    return np.clip(positions, *((-1, side) if border == "constant" else (0, side - 1)), out=positions)


def _split(positions, side, dtype, channels):
    """Split positions into the index of a pixel of the padded image, and the weight of the next pixel per channel."""
    whole = np.minimum(np.floor(positions), side - 1)
    weights = np.empty((*positions.shape, channels), dtype)
    weights[..., 0] = positions - whole
    for channel in range(1, channels):  # faster than broadcasting, here and where the weights are used
        weights[..., channel] = weights[..., 0]
    return whole.astype(np.intp) + 1, weights


def _interpolate(first, second, weight):
    """Compute ``first + (second - first) * weight`` in place, which is exactly ``first`` where the weight is 0."""
    second -= first
    second *= weight
    first += second
    return first
