"""The value range of pixels, given or inferred: the values of black and white. Warn of pixels that do not fit it."""

from __future__ import annotations

from numbers import Real

import numpy as np

from ._warnings import ValueRangeWarning, warn


def check_value_range(value_range, X=None):
    """Return ``value_range`` as two floats; None is inferred from the dtype and the values of X."""
    if value_range is None:
        return guess_value_range(X)
    try:
        low, high = value_range
        valid = isinstance(low, Real) and isinstance(high, Real) and np.isfinite([low, high]).all() and low < high
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(f"value_range must be None or a pair (low, high) with low < high, got {value_range!r}")
    value_range = float(low), float(high)
    if isinstance(X, np.ndarray) and X.size and exceeds(sampled_extremes(X)[1], value_range):
        warn(
            f"value_range=({low:g}, {high:g}) does not fit X, which has pixels up to {sampled_extremes(X)[1]:.3g}: set "
            "value_range to the values of black and white in X",
            ValueRangeWarning,
        )
    return value_range


def guess_value_range(X):
    """Return (0, 255) for integers; for floats (0, 1) or (0, 255) if they are within it, otherwise their extremes.

    Integers outside 0 to 255, such as 16-bit images, also get their extremes: (0, 255) would clip nearly all of them.
    """
    if X.dtype == bool:
        return 0.0, 1.0
    if X.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(X.min()), float(X.max())
    integers = np.issubdtype(X.dtype, np.integer)
    if low >= 0 and high <= 1 and not integers:
        return 0.0, 1.0
    if low >= 0 and high <= 255 and (integers or high > 16):
        return 0.0, 255.0
    return low, high if high > low else low + 1.0


def warn_of_other_scale(estimator, X, input_name="X"):
    """Warn if the pixels of X are on another scale than those that an estimator was fitted on.

    There is no warning if ``value_range`` was given, for tables, or for files, which are always read as 0 to 255.
    """
    value_range = getattr(estimator, "value_range_", None)
    if value_range is None or estimator.value_range is not None or not isinstance(X, np.ndarray) or X.size == 0:
        return
    if is_on_other_scale(X, value_range):
        (low, high), (smallest, largest) = value_range, sampled_extremes(X)
        warn(
            f"{type(estimator).__name__} was fitted on pixels from {low:g} to {high:g}, but {input_name} has pixels "
            f"from {smallest:.3g} to {largest:.3g}: rescale {input_name}, or set value_range if its scale is right",
            ValueRangeWarning,
        )


def is_on_other_scale(X, value_range):
    """Return True if pixels cannot have this range: far above it, negative, or far too small in dtype or value.

    Images that are dark or use a small part of the range are not on another scale.
    """
    low, high = value_range
    smallest, largest = sampled_extremes(X)
    if not -np.inf < smallest <= largest < np.inf:  # NaN and infinity raise an error elsewhere
        return False
    if exceeds(largest, value_range) or (low == 0 and high in (1, 255) and smallest <= -high / 2):
        return True
    if X.dtype.kind in "biu":
        most = 1 if X.dtype == bool else np.iinfo(X.dtype).max
        return 16 * most < high
    return high >= 16 and 0 < largest <= 1 and bool(X.max() <= 1) and bool((X % 1).any())


def exceeds(largest, value_range):
    """Return True if a pixel is so far above a range that it must be on another scale."""
    low, high = value_range
    return largest >= low + 16 * (high - low)


def sampled_extremes(X):
    """Return the smallest and the largest value in at most 16 evenly spaced rows, enough to tell the scale."""
    some = X[:: -(-len(X) // 16)]
    return float(some.min()), float(some.max())
