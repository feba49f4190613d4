"""What an ensemble warns of, and at which line."""

import sys
import warnings

OURS = "sktricks", "sklearn"


class MissingClassesWarning(UserWarning):
    """A fold trains without some of the classes, and its models cannot predict them."""


class RowsWithoutPredictionWarning(UserWarning):
    """The splitter leaves rows without an out-of-fold prediction, and nothing is learned from them."""


class SampleWeightIgnoredWarning(UserWarning):
    """Some members take no ``sample_weight`` and are fitted without it."""


class SmallToleranceWarning(UserWarning):
    """The tolerance of a cascade is too small for its rows, and no row is decided early."""


def warn(message, category):
    """Warn at the line of the caller's code, however deep in ours and scikit-learn's the reason was found."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
