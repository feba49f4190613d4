"""Columns of X that a stack passes to its final estimator in addition to the members' predictions."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import _num_samples


def pass_through(X, passthrough):
    """Return the columns of X that ``passthrough`` selects, (n, columns), dense or sparse; None for False.

    Parameters
    ----------
    X : array-like
    passthrough : bool, columns or callable
        True selects all columns of a table; names, indices, a slice or a mask select some; a callable computes columns
        from X, a table or images.
    """
    passthrough = bool(passthrough) if isinstance(passthrough, np.bool_) else passthrough
    if passthrough is False:
        return None
    (X,) = indexable(X)  # converts sparse formats that cannot be indexed by row, as fit does
    if callable(passthrough):
        return _check_rows(_call(passthrough, X), X)
    X = X if hasattr(X, "shape") else np.asarray(X)
    if len(X.shape) != 2:
        raise ValueError(
            f"passthrough={passthrough!r} requires rows, got X of shape {tuple(X.shape)}: pass a callable that returns "
            "rows, such as lambda X: X.reshape(len(X), -1)"
        )
    if passthrough is True:
        return X
    try:
        return _safe_indexing(X, as_key(passthrough), axis=1)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        if X.shape[1] == 0:  # the message of scikit-learn
            raise ValueError(
                f"Found array with 0 feature(s) (shape={tuple(X.shape)}) while a minimum of 1 is required by "
                f"passthrough={passthrough!r}"
            ) from error
        raise ValueError(f"passthrough={passthrough!r} does not fit X of {X.shape[1]} columns: {error}") from error


def as_key(columns):
    """Return columns as an index that keeps the axis: a single column as a list of one."""
    return (
        [columns] if isinstance(columns, str | Integral) else list(columns) if isinstance(columns, tuple) else columns
    )


def passed_names(passthrough, names, n_columns):
    """Return the names of the passed columns, given the ``names`` of the columns of X."""
    if callable(passthrough):
        return [f"passthrough{column}" for column in range(n_columns)]
    if passthrough is True:
        return list(names)
    key = as_key(passthrough)
    if not isinstance(key, slice) and all(isinstance(column, str) for column in key):
        return list(key)
    return list(np.asarray(names, dtype=object)[key])


def join_columns(columns, passed):
    """Concatenate predictions and passed columns, sparse if the latter are sparse."""
    if passed is None:
        return columns
    if sparse.issparse(passed):
        return sparse.hstack([columns, passed], format=passed.format)
    return np.hstack([columns, passed])


def _call(passthrough, X):
    try:
        return passthrough(X)
    except TypeError as error:
        raise TypeError(f"passthrough={passthrough!r} must be a function of X, but raised an error: {error}") from error


def _check_rows(passed, X):
    passed = passed if hasattr(passed, "shape") else np.asarray(passed)
    passed = indexable(passed)[0] if len(passed.shape) else passed
    if len(passed.shape) != 2 or passed.shape[0] != _num_samples(X):
        raise ValueError(
            f"passthrough must return ({_num_samples(X)}, columns), one row per row of X, "
            f"got an array of shape {tuple(passed.shape)}"
        )
    return passed
