"""Checks of parameters that scikit-learn's constraints cannot express."""

from __future__ import annotations

from numbers import Integral


def check_verbose(verbose):
    """Raise an error unless ``verbose``, of a function, is what estimators take."""
    if not (isinstance(verbose, Integral) and verbose >= 0):
        raise ValueError(f"verbose must be an int of at least 0, or a bool, got {verbose!r}")


def as_pair(value):
    """Return an iterable as a tuple, and an empty tuple for any other value."""
    try:
        return tuple(value)
    except TypeError:
        return ()


def check_magnitude(name, value):
    """Raise an error if a parameter is an integer that is too large for a float."""
    try:
        float(value if isinstance(value, int) else 0)
    except OverflowError:
        raise ValueError(f"{name} must be below 1e308, got an integer of {len(str(value))} digits") from None
