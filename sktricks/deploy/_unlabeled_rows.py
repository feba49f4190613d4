"""Check unlabeled rows against the labeled ones, and append them."""

from __future__ import annotations

import importlib

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.utils.validation import _num_samples

from ..tables._frames import is_frame, is_pandas

NUMBERS = "one number each"  # used in an error message


def check_unlabeled(X, X_unlabeled):
    """Raise an error unless the rows of ``X_unlabeled`` have the same form as those of X."""
    if X_unlabeled is None:
        return
    if is_frame(X) != is_frame(X_unlabeled) or issparse(X) != issparse(X_unlabeled):
        expected, got = (type(one).__name__ for one in (X, X_unlabeled))
        raise TypeError(f"X_unlabeled must have the type of X, {expected}, got {got}")
    if _num_samples(X_unlabeled) == 0:
        raise ValueError("X_unlabeled must have at least one row, got none: omit it")
    if shape_of_rows(X) != shape_of_rows(X_unlabeled):
        expected, got = describe_rows(X), describe_rows(X_unlabeled)
        hint = ": sample_weight is the argument after X_unlabeled" if got == NUMBERS else ""
        raise ValueError(f"X_unlabeled must have rows like those of X, {expected}, got {got}{hint}")
    if is_frame(X):
        if list(X.columns) != list(X_unlabeled.columns):
            raise ValueError(
                f"X_unlabeled must have the columns of X in the same order, {list(X.columns)[:10]}, "
                f"got {list(X_unlabeled.columns)[:10]}"
            )
        return
    kinds = [getattr(getattr(one, "dtype", None), "kind", None) for one in (X, X_unlabeled)]
    if kinds[0] != kinds[1] and "u" in kinds and "f" in kinds:
        raise TypeError(
            f"X_unlabeled must have values on the scale of X, which is {X.dtype}, got {X_unlabeled.dtype}: convert "
            "both to the same dtype"
        )


def describe_rows(X):
    """Return a description of the rows for an error."""
    shape = shape_of_rows(X)
    if shape:
        return f"of shape {shape}"
    return NUMBERS if np.asarray(X).dtype.kind in "biuf" else "one file or string each"


def shape_of_rows(X):
    """Return the shape of one row."""
    return tuple((X.shape if hasattr(X, "shape") else np.shape(X))[1:])


def stack_rows(X, X_unlabeled):
    """Return X with the unlabeled rows appended, in the type of X; categories that X lacks become missing."""
    if X_unlabeled is None:
        return X
    if issparse(X):
        return vstack([X, X_unlabeled], format="csr")
    if not is_frame(X):
        return np.concatenate([as_array(X), as_array(X_unlabeled)])
    library = importlib.import_module(type(X).__module__.partition(".")[0])
    if not is_pandas(X):
        return library.concat([X, X_unlabeled], how="vertical_relaxed")
    X_unlabeled = X_unlabeled.copy(deep=False)
    for name, dtype in X.dtypes.items():
        if str(dtype) == "category":  # two columns with different categories would become objects
            own = X_unlabeled[name].astype("category").cat
            X_unlabeled[name] = own.set_categories(dtype.categories, ordered=dtype.ordered)
    return library.concat([X, X_unlabeled], ignore_index=True)


def as_array(X):
    """Return X as an array; file contents become objects, since arrays of bytes would drop trailing zeros."""
    array = np.asarray(X)
    return np.asarray(X, dtype=object) if array.dtype.kind == "S" else array
