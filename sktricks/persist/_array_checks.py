"""Helper functions for checks of fitted scikit-learn objects."""

from __future__ import annotations

import numpy as np

from ._codec import require


def attribute(value, name, *types):
    """Return an attribute of a fitted object, after checking that its type is exactly one of these."""
    found = vars(value).get(name)
    kinds = " or ".join(kind.__name__ for kind in types)
    require(type(found) in types, f"{type(value).__name__}.{name} must be of type {kinds}, got {type(found).__name__}")
    return found


def n_features_of(value):
    """Return the number of features of a fitted estimator."""
    n_features = attribute(value, "n_features_in_", int, np.int64)
    require(n_features >= 1, f"{type(value).__name__}.n_features_in_ must be at least 1, got {n_features}")
    return n_features


def is_array(value, dtype, ndim):
    """Return True for a plain array of this dtype and number of dimensions."""
    return type(value) is np.ndarray and value.dtype == dtype and value.ndim == ndim


def within(indices, start, stop):
    """Return True if all indices lie in ``range(start, stop)``."""
    return len(indices) == 0 or (int(indices.min()) >= start and int(indices.max()) < stop)
