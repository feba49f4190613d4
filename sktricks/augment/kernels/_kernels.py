"""The loops over pixels, :func:`move`, :func:`transform`, :func:`blur` and :func:`add_noise`: compiled, or in numpy.

The extension ``_compiled`` (``_kernels.cpp`` and the files beside it) is built with the package if there is a C and C++
compiler, and lets other threads run. It gives the same as numpy within rounding. Set the environment variable
``SKTRICKS_KERNEL=numpy`` before the first use of an augmenter to do without it; :func:`sktricks.show_versions` says
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
LARGEST_IMAGE = 2**30  # pixels, which the compiled loops count in 32 bits


def load_compiled():
    """The compiled extension and None; or None and why there is none."""
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
    """Which loops are in use: ``"compiled"``, or ``"numpy"`` and why."""
    return "compiled" if compiled else f"numpy ({reason})"


def is_fast(images):
    """Return True if images of this dtype, size and number of channels go through the compiled loops."""
    known = images.dtype in FAST and images.shape[3] <= 4
    return compiled is not None and known and images.shape[1] * images.shape[2] < LARGEST_IMAGE


def move(images, maps, size, border, fill, out=None):
    """Read each image where its map, a flip and a shift by whole pixels, sends the pixels of the output.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels), of any dtype
    maps : float64 ndarray of shape (n, 2, 3)
    size : (height, width) of the output
    border : {"constant", "edge", "reflect"}
    fill : float
    out : ndarray or None
        Where the result may go; it has gone there if ``out`` is what is returned.
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
    """Read each image where its map sends the pixels of the output, bilinearly, and change its colors.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
    maps : float64 ndarray of shape (n, 2, 3), or None for the pixels as they are
    factors : float64 ndarray of shape (n, stages, 4), or None
        See :func:`._color_factors.change_colors`.
    size, border, fill, out
        See :func:`move`.
    exact : bool
        True if the maps are flips and shifts by whole pixels.
    value_range : tuple of float or None

    Returns
    -------
    images : ndarray
        ``out``, or floats.
    """
    if exact and maps is not None:
        images, maps = move(images if fill == int(fill) else to_float(images), maps, size, border, fill), None
    if not is_fast(images):
        return transform_with_numpy(images, maps, factors, size, border, fill, value_range)
    n, height, width, channels = images.shape
    out = _room((n, *size, channels), out)
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
    """:func:`transform` for any dtype and number of channels; floats."""
    images = to_float(images.copy()) if maps is None else warp(to_float(images), maps, size, border, fill)
    for stage in range(0 if factors is None else factors.shape[1]):
        images = change_colors(images, factors[:, stage], value_range)
    return images


def blur(images, weights, out=None):
    """The weighted mean of each pixel and its neighbors, along rows and then columns; mirrored at the border.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
    weights : float64 ndarray of shape (n, 2 * radius + 1), symmetric
    out
        As in :func:`transform`, which says what comes back as well.
    """
    if compiled is None or images.dtype not in FAST:
        return blur_with_numpy(to_float(images), weights)
    radius = weights.shape[1] // 2
    out = _room(images.shape, out)
    half = np.ascontiguousarray(weights[:, : radius + 1], dtype=np.float32)
    compiled.blur(*_bytes(images, out, half), (*images.shape, radius), _are_float(images, out))
    return out


def add_noise(images, keys, std, value_range, out=None):
    """Images with normal noise of this standard deviation, clipped to the range if there is one.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
    keys : uint64 ndarray of shape (n,)
        Each row's noise depends on its key alone.
    std : float
    value_range : tuple of float or None
    out
        As in :func:`blur`.
    """
    n, size = len(images), images[0].size
    if compiled is None or images.dtype not in FAST:
        noise = expand_normal(keys, size).reshape(images.shape)
        images = to_float(images)
        images = images + (noise * std).astype(images.dtype)
        return images if value_range is None else np.clip(images, *value_range, out=images)
    out = _room(images.shape, out)
    limits = value_range or (-LARGEST, LARGEST)
    compiled.add_noise(*_bytes(images, out, keys), (n, size), (std, *limits), _are_float(images, out))
    return out


def _room(shape, out):
    """``out``, if the compiled loops can write to it, or a new array of float32."""
    return np.empty(shape, np.float32) if out is None or out.dtype not in FAST else out


def _are_float(*arrays):
    return tuple(int(array.dtype == np.float32) for array in arrays)


def _bytes(images, out, *others):
    """Contiguous memory of all, of which ``out`` is to be written to."""
    read = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (images, *others)]
    return read[0], out.reshape(-1).view(np.uint8), *read[1:]
