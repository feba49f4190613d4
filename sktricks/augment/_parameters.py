"""Checks of parameters of augmenters that scikit-learn's constraints cannot express."""

from __future__ import annotations

from numbers import Real

import numpy as np


def check_interval(name, pair, above, most):
    """Raise an error unless ``pair`` is (low, high) with ``above < low <= high <= most``."""
    try:
        low, high = pair
        valid = isinstance(low, Real) and isinstance(high, Real) and above < low <= high <= most and np.isfinite(high)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        up_to = f" and up to {most}" if np.isfinite(most) else ""
        raise ValueError(f"{name} must be a pair (low, high) with low <= high, above {above}{up_to}, got {pair!r}")


def check_fill(fill, value_range):
    """Raise an error if ``fill`` is infinite, or outside the value range if there is one.

    0 is always allowed: it may be black although the inferred range, the extremes in ``fit``, does not include it.
    """
    if not isinstance(fill, Real) or is_nan(fill):
        return
    low, high = (-np.inf, np.inf) if value_range is None else (min(value_range[0], 0), max(value_range[1], 0))
    if abs(fill) == np.inf or not low <= fill <= high:
        where = "be finite" if value_range is None else f"lie in the value range ({low:g}, {high:g})"
        cure = "" if value_range is None else "; value_range=(low, high) changes the range"
        raise ValueError(f"fill must {where}, got {fill}{cure}")


def is_nan(number):
    """Return True if a number of any type is NaN; numpy.isnan rejects integers of more than 64 bits."""
    return isinstance(number, Real) and number != number


def check_fill_dtype(fill, dtype):
    """Raise an error if ``fill`` is NaN and the dtype cannot represent it."""
    if is_nan(fill) and dtype.kind in "biu":
        raise ValueError(f"fill is NaN, but X is {dtype}: use a finite fill, or convert X to floats")
