"""Convert pixel values between integers and floats, and return the value of black."""

from __future__ import annotations

import numpy as np


def to_float(images):
    """Convert images to floats that represent them exactly: float32 for up to 16 bits, float64 for wider integers."""
    if np.issubdtype(images.dtype, np.floating) and images.dtype.itemsize >= 4:
        return images
    return images.astype(np.float64 if images.dtype.itemsize > 2 else np.float32)


def from_float(images, dtype):
    """Convert images to ``dtype``; for an integer dtype, round and clip to its limits, and reject NaN."""
    dtype = np.dtype(dtype)
    if images.dtype == dtype:
        return images
    if dtype.kind == "b":
        return images >= 0.5
    if dtype.kind in "iu":
        low, high = (float(limit) for limit in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        if dtype.itemsize == 8:
            high = np.nextafter(high, 0)  # float64 cannot represent 2**63 - 1, and 2**63 overflows
        images = images.astype(np.float64) if dtype.itemsize >= 4 else images  # float32 cannot represent 2**31 - 1
        images = np.clip(np.rint(images), low, high)
    try:
        with np.errstate(invalid="raise"):
            return images.astype(dtype)
    except FloatingPointError:
        raise ValueError(f"fill is NaN, but X is {dtype}: use a finite fill, or convert X to floats") from None


def black(value_range):
    """Return the value of black: the low end of the value range, or 0 for a signal without a range."""
    return 0.0 if value_range is None else value_range[0]
