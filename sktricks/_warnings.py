"""Warnings that point at the line of the user's code."""

import sys
import warnings

BETWEEN = {"sktricks", "sklearn", "skorch", "joblib"}  # packages whose frames lie between the user's line and a warning


def warn(message, category):
    """Issue a warning at the nearest line outside of sktricks and what it is built on.

    Parameters
    ----------
    message : str
    category : type
        A subclass of :class:`UserWarning`.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
