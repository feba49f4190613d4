"""Validate tables, and convert them to a canonical array.

The canonical form of a table is a float array with the columns of X. A missing number is NaN. A category is encoded as
its index, starting at 1, among the values of its column in ``fit``; 0 means a value that did not occur in ``fit``. A
missing category is a value like any other, None, if it occurred in ``fit``.

The names and dtypes of columns are read from the DataFrame itself, without importing pandas or polars.
"""

from __future__ import annotations

from numbers import Number

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from .._threads import check_array
from .._validation import (
    check_columns,
    check_layout,
    check_no_paths,
    check_X,
    is_time,
    refuse_equal_names,
    refuse_times,
    to_plain,
)

CATEGORIES = ("category", "Categorical", "Enum")  # names of categorical dtypes in pandas and polars


def check_table(estimator, X, *, reset, ensure_min_samples=1, input_name="X"):
    """Validate X as :func:`check_X` does, and encode its categories and missing numbers.

    Parameters
    ----------
    estimator : estimator
        An estimator with the parameters ``categorical_features`` and ``image_shape``. With ``reset``, its
        ``is_categorical_`` is set.
    X : array-like or DataFrame
    reset : bool
        True in ``fit``, False afterwards.
    ensure_min_samples : int
    input_name : str
        The name of X in errors.

    Returns
    -------
    X : ndarray
        The canonical form of a table, or an array of images.
    layout : Layout
    """
    refuse_equal_names(X, input_name)
    if reset:
        estimator.is_categorical_ = find_categorical(X, estimator.categorical_features, estimator.image_shape)
    mask, X = estimator.is_categorical_, to_plain(X)
    if mask is None or issparse(X):  # check_X rejects sparse matrices
        if not reset and is_frame(X):  # so that an error about column names comes first
            check_columns(estimator, X, reset=False, input_name=input_name)
        X = read_objects(X, None, estimator, reset, input_name)
        how = {"image_shape": estimator.image_shape, "ensure_min_samples": ensure_min_samples, "allow_nan": True}
        try:
            return check_X(estimator, X, reset=reset, input_name=input_name, **how)
        except ValueError as error:
            if isinstance(X, list | tuple) and "bytes/strings" in str(error):  # to raise an error with a cure
                read_objects(as_objects(X), None, estimator, reset, input_name)
            raise
    X = X if hasattr(X, "shape") else as_objects(X)
    layout = check_layout(estimator, X, tuple(X.shape), reset=reset, input_name=input_name)
    X = read_objects(X, mask, estimator, reset, input_name)
    columns = [values_of(X, index) for index in np.flatnonzero(mask)]
    if reset:
        estimator._categories = [find_categories(values) for values in columns]
    how = {"ensure_all_finite": "allow-nan", "estimator": estimator, "input_name": input_name}
    numbers = read_numbers(X, np.flatnonzero(~mask), how)
    array = np.empty(X.shape, np.float32 if np.can_cast(numbers.dtype, np.float32) else np.float64)
    array[:, ~mask] = numbers
    for index, values, known in zip(np.flatnonzero(mask), columns, estimator._categories, strict=True):
        array[:, index] = encode(values, known)
    return check_array(array, dtype=None, ensure_min_samples=ensure_min_samples, **how), layout


# -- categorical columns -----------------------------------------------------------------------------------------------


def is_frame(X):
    """Return True for a DataFrame: a table whose columns have names and dtypes."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def is_pandas(X):
    """Return True for a pandas DataFrame, False for a polars DataFrame."""
    return hasattr(X, "iloc")


def is_polars(X):
    """Return True for a polars DataFrame, in which missing values are None."""
    return is_frame(X) and not is_pandas(X)


def find_categorical(X, categorical_features, image_shape=None):
    """Return a mask of the categorical columns, (n_features,); None if there are none, or X has images.

    Parameters
    ----------
    X : array-like or DataFrame
    categorical_features : "from_dtype", None, or a mask, names or indices of columns
        As in scikit-learn's HistGradientBoosting.
    image_shape : tuple or None
    """
    if categorical_features is None:
        return None
    if isinstance(categorical_features, str):
        mask = np.array([name_of(dtype) in CATEGORIES for dtype in X.dtypes] if is_frame(X) else [], bool)
    else:
        wanted = np.asarray(categorical_features)
        shape = tuple(X.shape) if hasattr(X, "shape") else np.shape(as_objects(X))
        if len(shape) != 2 and wanted.size:
            raise ValueError(f"categorical_features is for tables (n, features), but X has the shape {shape}")
        mask = to_mask(wanted, shape[-1], list(X.columns) if is_frame(X) else None)
    if mask.any() and image_shape is not None:
        raise ValueError(
            f"categorical_features and image_shape cannot be combined, got image_shape={image_shape}: rows are either "
            "tables or images"
        )
    return mask if mask.any() else None


def to_mask(wanted, n_features, names):
    """Convert a mask, indices or names of columns to a mask."""
    if wanted.ndim != 1:
        raise ValueError(f"categorical_features must have one dimension, got an array of shape {wanted.shape}")
    if wanted.size == 0:
        return np.zeros(n_features, bool)
    if wanted.dtype.kind == "b":
        if len(wanted) != n_features:
            raise ValueError(f"categorical_features is a mask of {len(wanted)} columns, X has {n_features}")
        return wanted
    if wanted.dtype.kind in "iu":
        if wanted.min() < 0 or wanted.max() >= n_features:
            raise ValueError(
                f"categorical_features must be column indices from 0 to {n_features - 1}, got {wanted.tolist()}"
            )
        return np.isin(np.arange(n_features), wanted)
    if not all(isinstance(name, str) for name in wanted.tolist()):
        raise ValueError(
            "categorical_features must be 'from_dtype', None, or a mask, names or indices of columns, "
            f"got {wanted.tolist()}"
        )
    if names is None:
        raise ValueError(
            f"categorical_features has the names {wanted.tolist()}, but the columns of X have no names: pass indices"
        )
    unknown = [name for name in wanted.tolist() if name not in names]
    if unknown:
        raise ValueError(f"categorical_features must be names of columns of X, {names}, got {unknown}")
    return np.isin(names, wanted)


def name_of(dtype):
    """Return the name of a dtype, given as a type or an instance."""
    return getattr(dtype, "name", None) or getattr(dtype, "__name__", type(dtype).__name__)


# -- values ------------------------------------------------------------------------------------------------------------


def as_objects(X):
    """Convert a list of rows to an object array, so that numbers next to strings stay numbers."""
    return np.asarray(X, dtype=object)


def values_of(X, index):
    """Return the values of a column as a list."""
    column = _safe_indexing(X, int(index), axis=1)
    return column.to_list() if hasattr(column, "to_list") else column.tolist()


def is_missing(value):
    """Return True for None, NaN, and pandas.NA."""
    return value is None or type(value).__name__ == "NAType" or (not isinstance(value, str) and value != value)


def to_python(value):
    """Convert a numpy scalar to a Python value, and a missing value to None."""
    if is_missing(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def find_categories(values):
    """Return the sorted distinct values, with None at the end if values are missing."""
    found = {to_python(value) for value in distinct(values)}
    known = found - {None}
    try:
        known = sorted(known)
    except TypeError:  # values of several types
        known = sorted(known, key=lambda value: (type(value).__name__, repr(value)))
    return known + [None] * (None in found)


def encode(values, categories):
    """Return the code of each value: its index among the categories, starting at 1; 0 for an unknown value."""
    known = {value: code for code, value in enumerate(categories, start=1)}
    codes = {value: known.get(to_python(value), 0) for value in distinct(values)}  # a set may contain several NaN
    return [codes[value] for value in values]


def distinct(values):
    """Return the set of the values of a categorical column."""
    try:
        return set(values)
    except TypeError as error:
        raise TypeError(f"categorical_features: categories must be hashable: {error}") from error


def read_numbers(X, indices, how):
    """Return some columns as a numeric array with NaN for missing values; ``how`` are arguments of check_array."""
    if len(indices) == 0:
        return np.empty((len(X), 0), np.float32)
    numbers = check_array(_safe_indexing(X, indices, axis=1), dtype="numeric", ensure_min_samples=0, **how)
    return numbers.astype(np.float64) if numbers.dtype == object else numbers  # polars: booleans with missing values


# -- values that are not numbers ---------------------------------------------------------------------------------------


def read_objects(X, mask, estimator, reset, input_name="X"):
    """Convert the object columns of a pandas DataFrame to floats; return any other X unchanged.

    Raise an error that names all numeric columns with values other than numbers.
    """
    frame = is_frame(X)
    if not frame and (getattr(getattr(X, "dtype", None), "kind", None) not in ("O", "U") or X.ndim != 2):
        return X
    numeric = [frame and is_numeric(dtype) for dtype in (X.dtypes if frame else range(X.shape[1]))]
    indices = np.flatnonzero(~np.array(numeric, bool) & (True if mask is None else ~mask))
    columns = {int(index): values_of(X, index) for index in indices}
    names = list(X.columns) if frame else list(range(X.shape[1]))
    refuse_times(None, find_times(names, columns), input_name)
    refuse_complex(names, columns, input_name)
    odd = {index: find_odd(values, object if frame else str) for index, values in columns.items()}
    odd = {index: value for index, value in odd.items() if value is not None}
    if odd:
        check_no_paths(estimator, list(odd.values()), input_name)
        what = ", ".join(f"{names[index]!r} ({value!r})" for index, value in odd.items())
        cure = "; fit had numbers"
        if reset:
            declared = [names[index] for index in np.flatnonzero(mask)] if mask is not None else []
            numbers = [index for index in odd if holds_numbers(columns[index])]
            others = [names[index] for index in odd if index not in numbers]
            if others and not frame:  # an array is converted as a whole
                numbers, others = [], [names[index] for index in odd]
            cure = f". {conversion_code(X, [names[index] for index in numbers])}" if numbers else ""
            if others:
                cure += f". If {others} are" if numbers else ". If these are"
                cure += f" categories, declare them: {declaration_code(X, estimator, others, declared)}"
        raise ValueError(
            f"{input_name} has values that are not numbers in the column{'s' * (len(odd) > 1)} {what}{cure}"
        )
    if columns and is_pandas(X):
        X = X.copy(deep=False)
        for index, values in columns.items():
            X.isetitem(index, np.array([np.nan if is_missing(value) else value for value in values], float))
    return X


def find_times(names, columns):
    """Return the first date or time in each column that has any, as a dict by column name."""
    first = {
        str(names[index]): next((value for value in values if is_time(value) and not is_missing(value)), None)
        for index, values in columns.items()
    }
    return {name: repr(value) for name, value in first.items() if value is not None}


def is_numeric(dtype):
    """Return True for a dtype of numbers, including complex ones, or booleans, with or without missing values."""
    if hasattr(dtype, "is_numeric"):  # polars
        return bool(dtype.is_numeric()) or name_of(dtype) == "Boolean"
    return dtype.kind in "biufc"


def refuse_complex(names, columns, input_name="X"):
    """Raise an error that names a column with complex numbers, starting like scikit-learn's error."""
    for index, values in columns.items():
        if any(isinstance(value, complex) for value in values):
            raise ValueError(
                f"Complex data not supported: {input_name} has complex numbers in the column {names[index]!r}"
            )


def find_odd(values, kind):
    """Return the first value of this type that is neither a number nor missing, or None."""
    return next((v for v in values if isinstance(v, kind) and not (isinstance(v, Number) or is_missing(v))), None)


def holds_numbers(values):
    """Return True if all strings of a column can be converted to numbers."""
    return all(is_number(value) for value in values if isinstance(value, str))


def is_number(text):
    """Return True for a string such as "1.5"."""
    try:
        return "_" not in text and float(text) is not None
    except ValueError:
        return False


def conversion_code(X, names):
    """Return a sentence with the code that converts columns of strings to numbers."""
    if not is_frame(X):
        code = "np.asarray(X, dtype=float)"
    elif not is_pandas(X):
        code = f"X.with_columns(pl.col({', '.join(map(repr, names))}).cast(pl.Float64))"
    else:
        return f"These strings are numbers, convert them: X[{names}] = X[{names}].apply(pd.to_numeric)"
    return f"These strings are numbers, convert them: X = {code}"


def declaration_code(X, estimator, names, declared):
    """Return the code that declares the columns with these names as categories, too."""
    cure = f"categorical_features={[*declared, *names]}"
    if not is_frame(X) or not isinstance(estimator.categorical_features, str):
        return cure
    if is_pandas(X):
        what = repr(names[0] if len(names) == 1 else names)
        return f'X[{what}] = X[{what}].astype("category"), or {cure}'
    return f"X = X.with_columns(pl.col({', '.join(map(repr, names))}).cast(pl.Categorical)), or {cure}"
