"""Pixel values: integers as floats and back, and which of them is black."""

from __future__ import annotations

import numpy as np


def to_float(images):
    """Images as floats wide enough to hold them: float32 for up to 16 bits, float64 for wider integers."""
    if np.issubdtype(images.dtype, np.floating) and images.dtype.itemsize >= 4:
        return images
    return images.astype(np.float64 if images.dtype.itemsize > 2 else np.float32)


def from_float(images, dtype):
    """Images in ``dtype``: rounded and held within its limits if it is an integer one, which has no NaN."""
    dtype = np.dtype(dtype)
    if images.dtype == dtype:
        return images
    if dtype.kind == "b":
        return images >= 0.5
    if dtype.kind in "iu":
        low, high = (float(limit) for limit in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        if dtype.itemsize == 8:
            high = np.nextafter(high, 0)  # 2**63 - 1 is no float64, and 2**63 would overflow
        images = images.astype(np.float64) if dtype.itemsize >= 4 else images  # a float32 has no 2**31 - 1
        images = np.clip(np.rint(images), low, high)
    try:
        with np.errstate(invalid="raise"):
            return images.astype(dtype)
    except FloatingPointError:
        raise ValueError(f"fill is NaN, but X is {dtype}: use a finite fill, or X as floats") from None


def black(value_range):
    """What lies outside an image: the low end of its range; 0 for a signal, which has none."""
    return 0.0 if value_range is None else value_range[0]
