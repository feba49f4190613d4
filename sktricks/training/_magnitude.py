"""Raise errors for finite numbers that are out of range for the dtype of a net's computation."""

from __future__ import annotations

import numpy as np
import torch


def check_table(estimator, X):
    """Raise an error that names a column of a table with numbers too large for the module.

    Parameters
    ----------
    estimator : BaseNet
        It contains the net.
    X : ndarray of shape (n, features) or images
        Canonical rows; images are checked elsewhere.
    """
    if X.ndim != 2:
        return
    mask = getattr(estimator, "is_categorical_", None)
    places = np.arange(X.shape[1]) if mask is None else np.flatnonzero(~mask)
    numbers = X if mask is None else X[:, places]
    mean, scale = moments_of_default(estimator._net.module_) if estimator._has_default_module else (0.0, 1.0)
    wrong = first_out_of_range(numbers, mean, scale, torch.finfo(estimator._dtype).max)
    if wrong is None:
        return
    column, value = wrong
    names = getattr(estimator, "feature_names_in_", None)
    name = places[column] if names is None else repr(str(names[places[column]]))
    by = " after standardization by the training rows" if estimator._has_default_module else ""
    raise ValueError(
        f"X must contain numbers of at most {torch.finfo(estimator._dtype).max:.2g}{by}, since the net computes in "
        f"{str(estimator._dtype).removeprefix('torch.')}, got {value:.3g} in column {name}: divide the column by a "
        "constant before fit, or clip its values"
    )


def moments_of_default(module):
    """Return the mean and the scale of each column, as learned by the default module."""
    return module.standardize.mean.cpu().numpy(), module.standardize.scale.cpu().numpy()


def first_out_of_range(X, mean, scale, largest):
    """Return the first column in which a standardized number exceeds ``largest``, and that number, or None."""
    if not len(X):
        return None
    low, high = np.fmin.reduce(X), np.fmax.reduce(X)  # these functions ignore NaN
    with np.errstate(all="ignore"):
        far = np.maximum(high - mean, mean - low) / scale
        if (far <= largest).all():
            return None
        wrong = ~(far <= largest) & ~np.isnan(low)
    if not wrong.any():
        return None
    column = int(wrong.argmax())
    return column, max(low[column], high[column], key=abs)


def check_targets(y, scaled):
    """Raise an error if finite targets become infinite when scaled and cast to the dtype of the loss."""
    if scaled.is_floating_point() and not torch.isfinite(scaled).all():
        largest = torch.finfo(scaled.dtype).max
        raise ValueError(
            f"y must contain numbers of at most {largest:.2g}, since the loss is computed in "
            f"{str(scaled.dtype).removeprefix('torch.')} and receives y unchanged, got {np.abs(y).max():.3g}: divide y "
            "by a constant, or use a loss that standardizes y: 'squared_error', 'absolute_error' or 'huber'"
        )
