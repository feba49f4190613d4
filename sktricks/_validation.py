"""Validate images or rows, and convert them to one canonical form.

The canonical form is ``(n, height, width, channels)``, a view of the input where numpy can make one. :func:`check_X`
validates X as scikit-learn does and describes it by a :class:`~sktricks._layout.Layout`, which converts X to the
canonical form and results back to the layout of X.

``input_name`` is the name of the argument in errors, such as ``"X_val"``.
"""

from __future__ import annotations

import datetime
import re
from os import PathLike

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import validate_data

from ._layout import find_layout, warn_of_rows
from ._threads import check_array
from ._warnings import OneHotTargetWarning, warn

CHANNELS = {1: "gray", 3: "color", 4: "transparent"}
IMAGE_NAME = re.compile(r"\.(avif|bmp|gif|hei[cf]|jfif|jp2|jpe?g?|p[bgnp]m|png|tiff?|webp)$", re.IGNORECASE)
# Parts of numpy's and scikit-learn's errors about values that are not numbers, which do not name X.
NOT_NUMERIC = ("float()", "dtype='numeric'", "could not convert", "array element")
TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


# -- X -----------------------------------------------------------------------------------------------------------------


def check_X(
    estimator,
    X,
    *,
    reset,
    image_shape=None,
    expects_images=False,
    ensure_min_samples=1,
    allow_nan=False,
    input_name="X",
):
    """Validate X, a table or images, as scikit-learn does.

    Parameters
    ----------
    estimator : estimator
        With ``reset``, its ``n_features_in_`` (height x width x channels for images), ``feature_names_in_`` and
        ``image_shape_`` are set; otherwise X is compared with them.
    X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
    reset : bool
        True in ``fit``, False afterwards.
    image_shape : tuple or None
        Shape of images that are passed as rows: (height, width), (height, width, channels), or the side of a square.
    expects_images : bool
        With ``reset``, issue an :class:`ImageShapeWarning` if X has rows and ``image_shape`` is None.
    ensure_min_samples : int
    allow_nan : bool
        Accept NaN in a table; images must not have NaN.
    input_name : str
        The name of X in errors.

    Returns
    -------
    X : ndarray
    layout : Layout
    """
    refuse_times(X, input_name=input_name)
    refuse_equal_names(X, input_name)
    X = to_plain(X)
    is_checked = is_surely_finite(X)
    how = {"reset": reset, "image_shape": image_shape, "input_name": input_name}
    if is_checked and X.ndim > 2 and len(X) >= ensure_min_samples:  # finite images need no other check
        return X, check_layout(estimator, X[:1].reshape(1, -1), X.shape, **how)
    finite = not is_checked and ("allow-nan" if allow_nan and image_shape is None else True)
    if is_checked and X.ndim == 2 and len(X) >= ensure_min_samples and X.size:  # nor does a finite table
        array = X
    else:
        array = to_plain(to_numbers(estimator, X, finite, ensure_min_samples, input_name))
    if allow_nan and array.ndim > 2 and not is_checked:
        check_finite(estimator, array, input_name)
    rows = X if array.ndim == 2 else array.reshape(len(array), -1)  # a DataFrame also has column names
    layout = check_layout(estimator, rows, array.shape, **how)
    if reset and expects_images and layout.image_shape is None:
        warn_of_rows(estimator, layout.n_features)
    return array, layout


def to_numbers(estimator, X, finite, ensure_min_samples, input_name):
    """Return X as a numeric array with any number of dimensions; ``finite`` is passed as ``ensure_all_finite``."""
    how = {"allow_nd": True, "ensure_all_finite": finite, "ensure_min_samples": ensure_min_samples}
    how |= {"estimator": estimator, "input_name": input_name}
    try:
        array = check_array(X, **how)
        # For polars, scikit-learn may return an array of objects unchecked.
        return check_array(array, **how) if array.dtype == object else array
    except (ValueError, TypeError) as error:
        check_no_paths(estimator, X, input_name)
        if "inhomogeneous" in str(error):
            raise ValueError(describe_shapes({np.shape(row) for row in X}, input_name)) from error
        if any(text in str(error) for text in NOT_NUMERIC):
            raise type(error)(f"{input_name} must hold numbers: {error}") from error
        raise


def describe_shapes(shapes, input_name):
    """Return the message of an error about rows or images of different shapes, with the cure."""
    some = ", ".join(map(str, sorted(shapes)[:3]))
    text = f"{input_name} must hold rows or images of the same shape, got {some}: "
    if not all(len(shape) == 2 or (len(shape) == 3 and shape[2] in CHANNELS) for shape in shapes):
        return text + "make all of the same shape"
    kinds = sorted({CHANNELS[shape[2] if len(shape) == 3 else 1] for shape in shapes})
    others = " and resize all to the same size" if len({shape[:2] for shape in shapes}) > 1 else ""
    if len(kinds) > 1:
        return f"{text}some are {' and some are '.join(kinds)}. Convert all to one of these{others}"
    return text + ("resize all to the same size" if others else "either all must have an axis of channels, or none")


def to_plain(X):
    """Convert an array to a dtype that torch supports, with NaN where it is masked; return any other X unchanged."""
    if not isinstance(X, np.ndarray):
        return X
    if X.dtype.kind == "f" and X.dtype.itemsize > 8:
        X = X.astype(np.float64)
    if not X.dtype.isnative:
        X = X.astype(X.dtype.newbyteorder("="))
    if isinstance(X, np.ma.MaskedArray):
        masked = X.dtype.kind in "biuf" and np.ma.getmaskarray(X).any()
        X = X.astype(np.result_type(X.dtype, np.float32)).filled(np.nan) if masked else X.data
    return X


def check_layout(estimator, rows, shape, *, reset, image_shape=None, input_name="X"):
    """Return the layout of an X of this shape, and set it on the estimator, or compare it with that of ``fit``.

    ``rows`` are X flattened to rows, or any number of them, with column names if X has any.
    """
    if not reset:
        fitted = estimator.image_shape_  # later changes of the parameter have no effect
        if len(shape) == 2:
            check_columns(estimator, rows, reset=False, input_name=input_name)
            image_shape = None if image_shape is None else fitted
        else:
            image_shape = fitted if fitted == (*shape[1:], 1)[:3] else None
    layout = find_layout(shape, image_shape, input_name)
    if reset:
        check_columns(estimator, rows, reset=True, input_name=input_name)
        estimator.image_shape_ = layout.image_shape
    elif estimator.image_shape_ != layout.image_shape:
        found = layout.image_shape or f"rows of {layout.n_features} columns"
        raise ValueError(
            f"{type(estimator).__name__} was fitted on images of shape {estimator.image_shape_}, but {input_name} has "
            f"{found}{describe_resizing(estimator)}"
        )
    return layout


def describe_resizing(estimator):
    """Return the cure for images of another shape: estimators that take image files resize them."""
    is_for_files = hasattr(estimator, "backbone") and estimator.image_shape_ is not None
    return ". Image files are resized, arrays are not: pass the files, or resize the arrays" if is_for_files else ""


def check_columns(estimator, rows, *, reset, input_name="X"):
    """Set the number and the names of the columns, or compare them with those of ``fit``, as scikit-learn does."""
    nameless = type(rows) is np.ndarray and not hasattr(estimator, "feature_names_in_")
    if not reset and nameless and rows.shape[1] == getattr(estimator, "n_features_in_", None):
        return  # the same check by scikit-learn takes a hundred times as long
    try:
        validate_data(estimator, rows, reset=reset, skip_check_array=True)
    except ValueError as error:  # scikit-learn always calls the input X
        raise ValueError(re.sub("^X has", f"{input_name} has", str(error))) from None


# -- values that are not finite numbers --------------------------------------------------------------------------------


def is_time(value):
    """Return True for a date, a time or a duration; pandas types subclass Python's, except Period."""
    return isinstance(value, TIMES) or type(value).__name__ == "Period"


def refuse_times(X, found=None, input_name="X"):
    """Raise an error if X, or a column of it, contains dates or times.

    Parameters
    ----------
    X : array-like or DataFrame
    found : dict or None
        Columns that are already known to contain dates or times: names and one value each. None searches X.
    input_name : str
        The name of X in errors.
    """
    if found is None and hasattr(X, "columns") and hasattr(X, "dtypes"):
        pairs = zip(map(str, X.columns), X.dtypes, strict=True)
        found = {name: dtype for name, dtype in pairs if is_dtype_of_times(dtype)}
    dtype = getattr(X, "dtype", None)
    if found:
        columns = ", ".join(map(repr, found))
        where = f"the column{'s' * (len(found) > 1)} {columns} hold{'s' * (len(found) == 1)} dates or times"
    elif getattr(dtype, "kind", None) in ("m", "M"):
        where, found = "has dates or times", {"": dtype}
    else:
        return
    raise ValueError(
        f"{input_name} must hold numbers, but {where} ({next(iter(found.values()))}): convert them to a number of "
        "seconds or days since a reference date, or to parts such as month and weekday"
    )


def is_dtype_of_times(dtype):
    """Return True for a dtype of dates, times or durations in pandas or polars."""
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", type(dtype).__name__)
    return getattr(dtype, "kind", None) in ("m", "M") or name.lower().startswith(("period", "date", "time", "duration"))


def refuse_equal_names(X, input_name="X"):
    """Raise an error if a DataFrame has duplicate column names, which only pandas allows."""
    columns = getattr(X, "columns", None)
    if not getattr(columns, "is_unique", True):
        equal = columns[columns.duplicated()].unique().tolist()
        raise ValueError(
            f"{input_name} must have unique column names, got {equal} more than once: rename these columns"
        )


def check_no_paths(estimator, X, input_name="X"):
    """Raise an error that recommends :class:`ImageLoader` if one of the first rows of X has the path of an image."""
    for value in first_values(X):
        if isinstance(value, PathLike) or (isinstance(value, str) and IMAGE_NAME.search(value)):
            name = type(estimator).__name__
            if hasattr(estimator, "backbone"):  # such estimators read image files themselves
                n_columns = getattr(X, "shape", None) or np.shape(X)
                raise ValueError(
                    f"{input_name} of {name} must be one column of image files, got {n_columns[-1]} columns: pass only "
                    "the column of files"
                )
            raise ValueError(
                f"{input_name} of {name} must hold numbers, got the path of an image file: {str(value)!r}. ImageLoader "
                f"reads files: make_pipeline(ImageLoader(size=(height, width)), {name}(...))"
            )


def first_values(X):
    """Return the values in the first rows of a list, array or DataFrame; an empty list for any other type."""
    if isinstance(X, str | PathLike):
        return [X]
    if isinstance(X, list | tuple):
        return [value for row in X[:9] for value in (row if isinstance(row, list | tuple) else [row])]
    rows = np.atleast_1d(X)[:9] if isinstance(X, np.ndarray) else X.head(9) if hasattr(X, "head") else []
    return np.asarray(rows, dtype=object).ravel()


def is_surely_finite(X):
    """Return True for an array of integers, or of floats with a finite sum of squares.

    This is faster than scikit-learn's check. False is inconclusive: the squares of large numbers may overflow.
    """
    if type(X) is not np.ndarray:
        return False
    if X.dtype.kind in "biu":
        return True
    if X.dtype not in (np.float32, np.float64) or not X.flags.c_contiguous:
        return False
    numbers = X.reshape(-1)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(numbers @ numbers))


def check_finite(estimator, X, input_name="X"):
    """Raise scikit-learn's error if an array has NaN or infinity."""
    if not is_surely_finite(X):
        assert_all_finite(X, estimator_name=type(estimator).__name__, input_name=input_name)


# -- y -----------------------------------------------------------------------------------------------------------------


def warn_of_one_hot(estimator, y):
    """Warn if a multilabel target, 0/1 columns (n, labels), looks like one-hot classes."""
    if len(y) >= 5 and y.shape[1] > 1 and (y.sum(axis=1) == 1).all():
        warn(
            f"y of {type(estimator).__name__} has 0/1 columns with exactly one 1 in each row, which are treated as "
            "independent labels (multilabel): if each row has one class, pass y.argmax(axis=1)",
            OneHotTargetWarning,
        )
