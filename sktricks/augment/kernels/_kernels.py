"""The pixel kernels :func:`move`, :func:`transform`, :func:`blur` and :func:`add_noise`, compiled or in numpy.

The extension ``_compiled`` (``_kernels.cpp`` and the files beside it) is built with the package if there is a C and C++
compiler. It releases the GIL, and its results equal those of numpy up to rounding. Set the environment variable
``SKTRICKS_KERNEL=numpy`` before the first use of an augmenter to disable it; :func:`sktricks.show_versions` prints
which is in use.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np

from .._pixel_values import from_float, to_float
from ._color_factors import change_colors
from ._counter import expand_normal
from ._gaussian import blur_with_numpy
from ._warp import BORDERS, warp
from ._warp import move as move_with_numpy

FAST = (np.dtype(np.uint8), np.dtype(np.float32))
LARGEST = float(np.finfo(np.float32).max)
LARGEST_IMAGE = 2**30  # pixels, because the compiled loops use 32-bit indices


def load_compiled():
    """Return the compiled extension and None, or None and the reason why it is not used."""
    choice = os.environ.get("SKTRICKS_KERNEL", "")
    if choice not in ("", "numpy", "compiled"):
        raise ValueError(f"the environment variable SKTRICKS_KERNEL must be numpy or compiled, got {choice!r}")
    if choice == "numpy":
        return None, "by SKTRICKS_KERNEL"
    try:
        from . import _compiled
    except ImportError as error:
        if choice == "compiled":
            raise
        why = error if find_spec("sktricks.augment.kernels._compiled") else "the package was built without it"
        return None, f"not compiled: {why}"
    return _compiled, None


compiled, reason = load_compiled()


def describe():
    """Return which kernels are in use: ``"compiled"``, or ``"numpy"`` with the reason."""
    return "compiled" if compiled else f"numpy ({reason})"


def is_fast(images):
    """Return True if the compiled kernels support this dtype, size and number of channels."""
    known = images.dtype in FAST and images.shape[3] <= 4
    return compiled is not None and known and images.shape[1] * images.shape[2] < LARGEST_IMAGE


def move(images, maps, size, border, fill, out=None):
    """Transform each image by a map that consists of flips and shifts by whole pixels.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels), of any dtype
    maps : float64 ndarray of shape (n, 2, 3)
    size : (height, width) of the output
    border : {"constant", "edge", "reflect"}
    fill : float
    out : ndarray or None
        Array for the result. It is returned if the result was written to it.
    """
    if compiled is None:
        return move_with_numpy(images, maps, size, border, fill)
    n, height, width, channels = images.shape
    if out is None or out.dtype != images.dtype:
        out = np.empty((n, *size, channels), dtype=images.dtype)
    pixel = np.full(channels, from_float(np.array(float(fill)), images.dtype))
    shapes = (n, height, width, pixel.nbytes, *size)
    compiled.move(*_bytes(images, out, maps, pixel), shapes, BORDERS.index(border))
    return out


def transform(images, maps, factors, size, border, fill, exact, value_range, out=None):
    """Transform each image by its map, with bilinear interpolation, and change its colors.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
    maps : float64 ndarray of shape (n, 2, 3), or None for no transformation
    factors : float64 ndarray of shape (n, stages, 4), or None
        See :func:`._color_factors.change_colors`.
    size, border, fill, out
        See :func:`move`.
    exact : bool
        True if the maps consist of flips and shifts by whole pixels.
    value_range : tuple of float or None

    Returns
    -------
    images : ndarray
        ``out`` if it could be used, otherwise an array of floats.
    """
    if exact and maps is not None:
        images, maps = move(images if fill == int(fill) else to_float(images), maps, size, border, fill), None
    if not is_fast(images):
        return transform_with_numpy(images, maps, factors, size, border, fill, value_range)
    n, height, width, channels = images.shape
    out = _output_array((n, *size, channels), out)
    stages = 0 if factors is None else factors.shape[1]
    low, high = value_range or (0.0, 1.0)
    compiled.transform(
        *_bytes(images, out, np.empty(0) if maps is None else maps, np.empty(0) if factors is None else factors),
        (n, height, width, channels, stages, *size),
        (BORDERS.index(border), fill, int(value_range is not None), low, high),
        _are_float(images, out),
    )
    return out


def transform_with_numpy(images, maps, factors, size, border, fill, value_range):
    """Compute :func:`transform` for any dtype and number of channels, as floats."""
    images = to_float(images.copy()) if maps is None else warp(to_float(images), maps, size, border, fill)
    for stage in range(0 if factors is None else factors.shape[1]):
        images = change_colors(images, factors[:, stage], value_range)
    return images


def blur(images, weights, out=None):
    """Convolve each image with its kernel along both axes; mirror it at the border.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
    weights : float64 ndarray of shape (n, 2 * radius + 1)
        Symmetric kernels.
    out : ndarray or None
        Array for the result.

    Returns
    -------
    images : ndarray
        ``out`` if it could be used, otherwise an array of floats.
    """
    if compiled is None or images.dtype not in FAST:
        return blur_with_numpy(to_float(images), weights)
    radius = weights.shape[1] // 2
    out = _output_array(images.shape, out)
    half = np.ascontiguousarray(weights[:, : radius + 1], dtype=np.float32)
    compiled.blur(*_bytes(images, out, half), (*images.shape, radius), _are_float(images, out))
    return out


def add_noise(images, keys, std, value_range, out=None):
    """Add normal noise with this standard deviation to images, and clip them to the value range if there is one.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
    keys : uint64 ndarray of shape (n,)
        The noise of a row depends only on its key.
    std : float
    value_range : tuple of float or None
    out : ndarray or None
        Array for the result.

    Returns
    -------
    images : ndarray
        ``out`` if it could be used, otherwise an array of floats.
    """
    n, size = len(images), images[0].size
    if compiled is None or images.dtype not in FAST:
        noise = expand_normal(keys, size).reshape(images.shape)
        images = to_float(images)
        images = images + (noise * std).astype(images.dtype)
        return images if value_range is None else np.clip(images, *value_range, out=images)
    out = _output_array(images.shape, out)
    limits = value_range or (-LARGEST, LARGEST)
    compiled.add_noise(*_bytes(images, out, keys), (n, size), (std, *limits), _are_float(images, out))
    return out


def _output_array(shape, out):
    """Return ``out`` if the compiled kernels can write to it, otherwise a new float32 array."""
    return np.empty(shape, np.float32) if out is None or out.dtype not in FAST else out


def _are_float(*arrays):
    return tuple(int(array.dtype == np.float32) for array in arrays)


def _bytes(images, out, *others):
    """Return all arrays as contiguous bytes; ``out`` is not copied, since it is written to."""
    read = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (images, *others)]
    return read[0], out.reshape(-1).view(np.uint8), *read[1:]
