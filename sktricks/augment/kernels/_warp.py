"""Affine maps, and images read where a map sends the pixels of the output.

A map is (2, 3): it takes row and column of a pixel of the output to a place in the input. Maps are composed before
anything is read, so that each pixel is read once however many steps there were, and what a step would have cut off is
still there for the steps after it.

The border says what lies outside the image: ``"constant"`` one value, ``"edge"`` the nearest pixel, ``"reflect"`` the
image mirrored at its outermost pixels (the names of :func:`numpy.pad`).
"""

from __future__ import annotations

import numpy as np

from .._pixel_values import from_float

BORDERS = ("constant", "edge", "reflect")
IDENTITY = np.eye(2, 3)


def new_maps(n):
    """Room for ``n`` maps, filled with zeros; the numbers of one kind lie together, since most work is on one kind."""
    return np.zeros((2, 3, n)).transpose(2, 0, 1)


def shift_maps(top, left):
    """Windows whose upper left pixel is at these places."""
    maps = new_maps(len(top))
    maps[:, 0, 0] = maps[:, 1, 1] = 1
    maps[:, 0, 2], maps[:, 1, 2] = top, left
    return maps


def flip_maps(flipped, axis, shape):
    """The axis (0 rows, 1 columns) reversed where ``flipped``."""
    maps = new_maps(len(flipped))
    maps[:, 1 - axis, 1 - axis] = 1
    maps[:, axis, axis] = np.where(flipped, -1, 1)
    maps[:, axis, 2] = np.where(flipped, shape[axis] - 1, 0)
    return maps


def resize_maps(top, left, height, width, size):
    """Windows (height, width) at (top, left), in pixels and their fractions, enlarged or shrunk to ``size``."""
    maps = new_maps(len(top))
    for axis, (start, side) in enumerate([(top, height), (left, width)]):
        step = side / size[axis]
        maps[:, axis, axis] = step
        maps[:, axis, 2] = start + (step - 1) / 2  # the corners of the windows meet, not the middles of their pixels
    return maps


def linear_maps(linear, shape, shift=(0.0, 0.0)):
    """``center + linear @ (out - center - shift)``: linear (n, 2, 2) maps about the center, of a shifted image."""
    center = [(side - 1) / 2 for side in shape[:2]]
    down, right = (center[axis] + shift[axis] for axis in range(2))
    maps = new_maps(len(linear))
    maps[:, :, :2] = linear
    for axis in range(2):
        # No matrix product: the order of its sums may depend on the number of rows.
        maps[:, axis, 2] = center[axis] - (linear[:, axis, 0] * down + linear[:, axis, 1] * right)
    return maps


def rotations(angles):
    """(n, 2, 2), in rows and columns, of a turn by these angles in degrees, counter-clockwise as seen."""
    angles = np.deg2rad(angles)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)


def compose(first, second):
    """The map of two steps: ``first`` and then ``second``, whose input is the output of the first."""
    first, second = (maps.transpose(1, 2, 0) for maps in (first, second))
    joined = first[:, :1] * second[0] + first[:, 1:2] * second[1]
    joined[:, 2] += first[:, 2]
    return joined.transpose(2, 0, 1)


def move(images, maps, size, border, fill):
    """Read each image where its map, a flip and a shift by whole pixels, sends the pixels of the output."""
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
    """Images with this many more rows and columns at their start and end."""
    if not (np.any(before) or np.any(after)):
        return images
    if border == "reflect":  # by places, since older versions of numpy mirror wrongly what is far away
        for axis, (first, last) in enumerate(zip(before, after, strict=True), start=1):
            side = images.shape[axis]
            places = _hold(np.arange(-first, side + last), side, border)
            images = np.take(images, np.minimum(places, side - 1), axis=axis)
        return images
    values = {"constant_values": from_float(np.array(float(fill)), images.dtype)} if border == "constant" else {}
    return np.pad(images, ((0, 0), *zip(before, after, strict=True), (0, 0)), mode=border, **values)


def warp(images, maps, size, border="constant", fill=0.0):
    """Read each image where its map sends the pixels of the output, bilinearly.

    Parameters
    ----------
    images : float ndarray of shape (n, height, width, channels)
    maps : float64 ndarray of shape (n, 2, 3)
    size : (height, width) of the output
    border : {"constant", "edge", "reflect"}
    fill : float
        What lies outside, for ``"constant"``.
    """
    n, height, width, channels = images.shape
    # A ring of fill makes four taps right everywhere; further out all is fill, so that places are held on the ring.
    ringed = np.full((n, height + 2, width + 2, channels), fill, dtype=images.dtype)
    ringed[:, 1:-1, 1:-1] = images
    pixels = ringed.reshape(-1, channels)
    y0, wy = _split(_hold(_places(maps[:, 0], size), height, border), height, images.dtype, channels)
    x0, wx = _split(_hold(_places(maps[:, 1], size), width, border), width, images.dtype, channels)
    tap = y0 * (width + 2)
    tap += x0
    tap += (np.arange(n) * (height + 2) * (width + 2))[:, None, None]
    above = _between(np.take(pixels, tap, axis=0), np.take(pixels[1:], tap, axis=0), wx)
    tap += width + 2
    below = _between(np.take(pixels, tap, axis=0), np.take(pixels[1:], tap, axis=0), wx)
    return _between(above, below, wy)


def _places(row, size):
    """One coordinate of where a map sends the pixels of the output: (n, height, width)."""
    a, b, c = row.T[:, :, None, None]
    return a * np.arange(size[0])[:, None] + (b * np.arange(size[1]) + c)


def _hold(places, side, border):
    """Places brought to where the border says that they are read, on the image or on its ring."""
    if border == "reflect":
        period = 2 * max(1, side - 1)
        places %= period
        return np.minimum(np.minimum(places, period - places, out=places), side - 1, out=places)
    return np.clip(places, *((-1, side) if border == "constant" else (0, side - 1)), out=places)


def _split(places, side, dtype, channels):
    """Places in the image as an index into the ringed one, and for each channel the weight of the pixel after it."""
    whole = np.minimum(np.floor(places), side - 1)
    weights = np.empty((*places.shape, channels), dtype)
    weights[..., 0] = places - whole
    for channel in range(1, channels):  # quicker than broadcasting, here and wherever they are used
        weights[..., channel] = weights[..., 0]
    return whole.astype(np.intp) + 1, weights


def _between(first, second, weight):
    """``first + (second - first) * weight``, in place: exactly ``first`` where the weight is 0."""
    second -= first
    second *= weight
    first += second
    return first
