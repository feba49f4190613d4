"""Tables as people have them in, one canonical array out.

The canonical form of a table is an array of floats with the columns of X. A number that is missing is NaN. A category
is its place among the values that ``fit`` found in its column, counted from 1; 0 is a value that was not among them.
Missing categories are a value like any other, None, where ``fit`` found some.

Frames of pandas and polars are asked for what they themselves say of their columns; neither library is imported.
"""

from __future__ import annotations

from numbers import Number

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import validate_data

from .._threads import check_array
from .._validation import check_layout, check_no_paths, check_X, is_time, refuse_equal_names, refuse_times, to_plain

CATEGORIES = ("category", "Categorical", "Enum")  # what pandas and polars call the types of categories


def check_table(estimator, X, *, reset, ensure_min_samples=1):
    """Validate X as :func:`check_X` does, and read its categories and missing numbers.

    Parameters
    ----------
    estimator : estimator
        With the parameters ``categorical_features`` and ``image_shape``. Gets ``is_categorical_`` when ``reset``.
    X : array-like or DataFrame
    reset : bool
        True in ``fit``, False afterwards.
    ensure_min_samples : int

    Returns
    -------
    X : ndarray
        The canonical form of a table, or an array of images.
    layout : Layout
    """
    refuse_equal_names(X)
    if reset:
        estimator.is_categorical_ = find_categorical(X, estimator.categorical_features, estimator.image_shape)
    mask, X = estimator.is_categorical_, to_plain(X)
    if mask is None or issparse(X):  # which check_X refuses
        if not reset and is_frame(X):  # columns of other names are to be told first
            validate_data(estimator, X, reset=False, skip_check_array=True)
        X = read_objects(X, None, estimator, reset)
        shape, how = estimator.image_shape, {"reset": reset, "ensure_min_samples": ensure_min_samples}
        return check_X(estimator, X, image_shape=shape, allow_nan=True, **how)
    X = X if hasattr(X, "shape") else as_objects(X)
    layout = check_layout(estimator, X, tuple(X.shape), reset=reset)
    X = read_objects(X, mask, estimator, reset)
    columns = [values_of(X, place) for place in np.flatnonzero(mask)]
    if reset:
        estimator._categories = [find_categories(values) for values in columns]
    numbers = read_numbers(X, np.flatnonzero(~mask), estimator)
    array = np.empty(X.shape, np.float32 if np.can_cast(numbers.dtype, np.float32) else np.float64)
    array[:, ~mask] = numbers
    for place, values, known in zip(np.flatnonzero(mask), columns, estimator._categories, strict=True):
        array[:, place] = encode(values, known)
    how = {"ensure_all_finite": "allow-nan", "ensure_min_samples": ensure_min_samples}
    return check_array(array, dtype=None, estimator=estimator, input_name="X", **how), layout


# -- which columns -----------------------------------------------------------------------------------------------------


def is_frame(X):
    """Whether X is a table whose columns have names and types."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def find_categorical(X, categorical_features, image_shape=None):
    """Which columns are categories, (n_features,) bool; None where none are, or X has images.

    Parameters
    ----------
    X : array-like or DataFrame
    categorical_features : "from_dtype", None, or a mask, names or numbers of columns
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
            raise ValueError(f"categorical_features is for tables (n, features), and X has the shape {shape}")
        mask = mark(wanted, shape[-1], list(X.columns) if is_frame(X) else None)
    if mask.any() and image_shape is not None:
        raise ValueError(f"categorical_features is for tables, and image_shape={image_shape} makes images of the rows")
    return mask if mask.any() else None


def mark(wanted, n_features, names):
    """A mask, numbers or names of columns as a mask."""
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
                f"categorical_features must hold numbers of columns from 0 to {n_features - 1}, got {wanted.tolist()}"
            )
        return np.isin(np.arange(n_features), wanted)
    if not all(isinstance(name, str) for name in wanted.tolist()):
        raise ValueError(
            "categorical_features must be 'from_dtype', None, or a mask, names or numbers of columns, "
            f"got {wanted.tolist()}"
        )
    if names is None:
        raise ValueError(f"categorical_features has the names {wanted.tolist()}, and the columns of X have none")
    unknown = [name for name in wanted.tolist() if name not in names]
    if unknown:
        raise ValueError(f"categorical_features has {unknown}, the columns of X are {names}")
    return np.isin(names, wanted)


def name_of(dtype):
    """What a library calls the type of a column, whether it gives the type or an instance of it."""
    return getattr(dtype, "name", None) or getattr(dtype, "__name__", type(dtype).__name__)


# -- what is in them ---------------------------------------------------------------------------------------------------


def as_objects(X):
    """A list of rows as an array that keeps numbers numbers where others are strings."""
    return np.asarray(X, dtype=object)


def values_of(X, place):
    """The values of a column, a list."""
    column = _safe_indexing(X, int(place), axis=1)
    return column.to_list() if hasattr(column, "to_list") else column.tolist()


def is_missing(value):
    """Whether a value stands for none: None, NaN, and what pandas has for no time and for nothing at all."""
    return value is None or type(value).__name__ == "NAType" or (not isinstance(value, str) and value != value)


def plain(value):
    """A number of numpy as Python's; None for what is missing."""
    if is_missing(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def find_categories(values):
    """The different values, sorted, None for missing ones at the end."""
    found = {plain(value) for value in distinct(values)}
    known = found - {None}
    try:
        known = sorted(known)
    except TypeError:  # of several kinds
        known = sorted(known, key=lambda value: (type(value).__name__, repr(value)))
    return known + [None] * (None in found)


def encode(values, categories):
    """The place of each value among the categories, from 1; 0 for one that is not among them."""
    places = {value: place for place, value in enumerate(categories, start=1)}
    places = {value: places.get(plain(value), 0) for value in distinct(values)}  # of several NaN each is an own value
    return [places[value] for value in values]


def distinct(values):
    """The set of the values of a column of categories."""
    try:
        return set(values)
    except TypeError as error:
        raise TypeError(f"categorical_features: categories must be values that can be hashed: {error}") from error


def read_numbers(X, places, estimator):
    """Some columns as an array of numbers, NaN where they are missing."""
    if len(places) == 0:
        return np.empty((len(X), 0), np.float32)
    how = {"dtype": "numeric", "ensure_all_finite": "allow-nan", "ensure_min_samples": 0}
    numbers = check_array(_safe_indexing(X, places, axis=1), estimator=estimator, input_name="X", **how)
    return numbers.astype(np.float64) if numbers.dtype == object else numbers  # as polars has booleans with gaps


# -- other values than numbers -----------------------------------------------------------------------------------------


def read_objects(X, mask, estimator, reset):
    """X with its columns of objects as floats, where it is a frame of pandas.

    Columns that are not categorical and hold something else than numbers are an error that names them.
    """
    frame = is_frame(X)
    if not frame and (getattr(getattr(X, "dtype", None), "kind", None) not in ("O", "U") or X.ndim != 2):
        return X
    numeric = [frame and is_numeric(dtype) for dtype in (X.dtypes if frame else range(X.shape[1]))]
    places = np.flatnonzero(~np.array(numeric, bool) & (True if mask is None else ~mask))
    columns = {int(place): values_of(X, place) for place in places}
    names = list(X.columns) if frame else list(range(X.shape[1]))
    refuse_times(None, find_times(names, columns))
    refuse_complex(names, columns)
    odd = {place: find_odd(values, object if frame else str) for place, values in columns.items()}
    odd = {place: value for place, value in odd.items() if value is not None}
    if odd:
        check_no_paths(estimator, list(odd.values()))
        what = ", ".join(f"{names[place]!r} ({value!r})" for place, value in odd.items())
        ours = [names[place] for place in odd]
        declared = [] if mask is None else [names[place] for place in np.flatnonzero(mask)]
        cure = (
            f". If these are categories, say so: {cures(X, estimator, ours, declared)}"
            if reset
            else "; fit had numbers"
        )
        raise ValueError(f"X holds other values than numbers in the column{'s' * (len(odd) > 1)} {what}{cure}")
    if columns and hasattr(X, "iloc"):
        X = X.copy(deep=False)
        for place, values in columns.items():
            X.isetitem(place, np.array([np.nan if is_missing(value) else value for value in values], float))
    return X


def find_times(names, columns):
    """From the name of each column that holds dates or times to the first of them."""
    first = {
        str(names[place]): next((value for value in values if is_time(value) and not is_missing(value)), None)
        for place, values in columns.items()
    }
    return {name: repr(value) for name, value in first.items() if value is not None}


def is_numeric(dtype):
    """Whether a column of this type holds numbers, which may be complex, or booleans, and nothing else but gaps."""
    if hasattr(dtype, "is_numeric"):  # of polars
        return bool(dtype.is_numeric()) or name_of(dtype) == "Boolean"
    return dtype.kind in "biufc"


def refuse_complex(names, columns):
    """Raise an error that names a column with a complex number, in the words of scikit-learn."""
    for place, values in columns.items():
        if any(isinstance(value, complex) for value in values):
            raise ValueError(
                f"Complex data not supported: X must hold real numbers, unlike the column {names[place]!r}"
            )


def find_odd(values, kind):
    """The first value of a kind that is no number; None where there is none."""
    return next((v for v in values if isinstance(v, kind) and not (isinstance(v, Number) or is_missing(v))), None)


def cures(X, estimator, names, declared):
    """What to write so that the columns of these names count as categories too."""
    cure = f"categorical_features={[*declared, *names]}"
    if not is_frame(X) or not isinstance(estimator.categorical_features, str):
        return cure
    if hasattr(X, "iloc"):
        what = repr(names[0] if len(names) == 1 else names)
        return f'X[{what}] = X[{what}].astype("category"), or {cure}'
    return f"X = X.with_columns(pl.col({', '.join(map(repr, names))}).cast(pl.Categorical)), or {cure}"
