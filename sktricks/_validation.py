"""Images or rows in, one canonical form out.

The canonical form of images is ``(n, height, width, channels)``, a view of what the user gave wherever numpy can make
one. :func:`check_X` validates X as scikit-learn does and describes it by a :class:`~sktricks._layout.Layout`, which
makes the canonical form and brings a result back to the layout that came in.

Checks take the name of the argument, such as ``input_name="X_val"``, for their errors.
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
NO_NUMBERS = ("float()", "dtype='numeric'", "could not convert", "array element")  # in errors that do not name X
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
    """Validate X as scikit-learn does, images included.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` (of images height x width x channels), ``feature_names_in_`` and ``image_shape_`` when
        ``reset``, and is compared with them otherwise.
    X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
    reset : bool
        True in ``fit``, False afterwards.
    image_shape : tuple or None
        (height, width), (height, width, channels) or the side of a square, of images that come as rows.
    expects_images : bool
        Warn with :class:`ImageShapeWarning` in ``fit`` if rows come without ``image_shape``.
    ensure_min_samples : int
    allow_nan : bool
        Accept NaN in a table; pixels are never missing.
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
    if is_checked and X.ndim > 2 and len(X) >= ensure_min_samples:  # an array of images with nothing left to check
        return X, check_layout(estimator, X[:1].reshape(1, -1), X.shape, **how)
    finite = not is_checked and ("allow-nan" if allow_nan and image_shape is None else True)
    if is_checked and X.ndim == 2 and len(X) >= ensure_min_samples and X.size:  # nor has a table, and this is faster
        array = X
    else:
        array = to_plain(to_numbers(estimator, X, finite, ensure_min_samples, input_name))
    if allow_nan and array.ndim > 2 and not is_checked:
        check_finite(estimator, array, input_name)
    rows = X if array.ndim == 2 else array.reshape(len(array), -1)  # a DataFrame has the names of its columns
    layout = check_layout(estimator, rows, array.shape, **how)
    if reset and expects_images and layout.image_shape is None:
        warn_of_rows(estimator, layout.n_features)
    return array, layout


def to_numbers(estimator, X, finite, ensure_min_samples, input_name):
    """Return X as an array of numbers of any number of dimensions; ``finite`` is ``ensure_all_finite``."""
    how = {"allow_nd": True, "ensure_all_finite": finite, "ensure_min_samples": ensure_min_samples}
    how |= {"estimator": estimator, "input_name": input_name}
    try:
        array = check_array(X, **how)
        return check_array(array, **how) if array.dtype == object else array  # scikit-learn lets those of polars pass
    except (ValueError, TypeError) as error:
        check_no_paths(estimator, X, input_name)
        if "inhomogeneous" in str(error):
            raise ValueError(describe_shapes({np.shape(row) for row in X}, input_name)) from error
        if any(text in str(error) for text in NO_NUMBERS):
            raise type(error)(f"{input_name} must hold numbers: {error}") from error
        raise


def describe_shapes(shapes, input_name):
    """Return the error about rows or images of several shapes, and what to do about them."""
    some = ", ".join(map(str, sorted(shapes)[:3]))
    text = f"{input_name} must hold rows or images of one shape, got {some}: "
    if not all(len(shape) == 2 or (len(shape) == 3 and shape[2] in CHANNELS) for shape in shapes):
        return text + "bring them to one size"
    kinds = sorted({CHANNELS[shape[2] if len(shape) == 3 else 1] for shape in shapes})
    others = " and to one size" if len({shape[:2] for shape in shapes}) > 1 else ""
    if len(kinds) > 1:
        return f"{text}some are {' and some are '.join(kinds)}. Convert all to one of these{others}"
    return text + ("bring them to one size" if others else "all must have an axis of channels, or none")


def to_plain(X):
    """Return an array with numbers of a type that torch knows, and NaN where it is masked; any other X as it is."""
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
    """Return the layout of an X of this shape, learned by the estimator or compared with what it was fitted on.

    ``rows`` are X flattened to rows, or any number of rows like them; they have the names of the columns.
    """
    if not reset:
        fitted = estimator.image_shape_  # which counts from now on, whatever the parameter is set to
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
            f"{type(estimator).__name__} was fitted on images of shape {estimator.image_shape_}, {input_name} has "
            f"{found}{describe_resizing(estimator)}"
        )
    return layout


def describe_resizing(estimator):
    """Return the end of an error about images of another shape: only some estimators take files, which are resized."""
    is_for_files = hasattr(estimator, "backbone") and estimator.image_shape_ is not None
    return ". Image files are resized, arrays are not: pass the files, or resize the arrays" if is_for_files else ""


def check_columns(estimator, rows, *, reset, input_name="X"):
    """Learn the number and the names of the columns, or compare them with those of ``fit``, as scikit-learn does."""
    nameless = type(rows) is np.ndarray and not hasattr(estimator, "feature_names_in_")
    if not reset and nameless and rows.shape[1] == getattr(estimator, "n_features_in_", None):
        return  # scikit-learn would find the same in a hundred times the time
    try:
        validate_data(estimator, rows, reset=reset, skip_check_array=True)
    except ValueError as error:  # scikit-learn's own check always calls them those of X
        raise ValueError(re.sub("^X has", f"{input_name} has", str(error))) from None


# -- what is no number, or no finite one -------------------------------------------------------------------------------


def is_time(value):
    """Return True for a date, a time or a duration; pandas derives its own from Python's, except periods."""
    return isinstance(value, TIMES) or type(value).__name__ == "Period"


def refuse_times(X, found=None, input_name="X"):
    """Raise an error if an array or columns of a DataFrame hold dates or times, or if ``found`` names such columns.

    Parameters
    ----------
    X : array-like or DataFrame
    found : dict or None
        From the names of columns to one of their values.
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
        "seconds or days since some date, or to parts such as month and weekday"
    )


def is_dtype_of_times(dtype):
    """Return True for the types of dates, times and durations of pandas and polars."""
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", type(dtype).__name__)
    return getattr(dtype, "kind", None) in ("m", "M") or name.lower().startswith(("period", "date", "time", "duration"))


def refuse_equal_names(X, input_name="X"):
    """Raise an error if columns of a DataFrame have the same name, which only pandas allows."""
    columns = getattr(X, "columns", None)
    if not getattr(columns, "is_unique", True):
        equal = columns[columns.duplicated()].unique().tolist()
        raise ValueError(
            f"{input_name} must have a different name for each column, got {equal} more than once: rename them"
        )


def check_no_paths(estimator, X, input_name="X"):
    """Raise an error that names :class:`ImageLoader` if one of the first rows of X holds the path of an image file."""
    for value in first_values(X):
        if isinstance(value, PathLike) or (isinstance(value, str) and IMAGE_NAME.search(value)):
            name = type(estimator).__name__
            if hasattr(estimator, "backbone"):  # which reads files itself
                n_columns = getattr(X, "shape", None) or np.shape(X)
                raise ValueError(
                    f"{input_name} of {name} must be one column of image files, got {n_columns[-1]} columns: pass the "
                    "column of the files alone"
                )
            raise ValueError(
                f"{input_name} of {name} must hold numbers, got the path of an image file: {str(value)!r}. ImageLoader "
                f"reads files: make_pipeline(ImageLoader(size=(height, width)), {name}(...))"
            )


def first_values(X):
    """Return the values in the first rows of a list, array, or DataFrame, and nothing of anything else."""
    if isinstance(X, str | PathLike):
        return [X]
    if isinstance(X, list | tuple):
        return [value for row in X[:9] for value in (row if isinstance(row, list | tuple) else [row])]
    rows = np.atleast_1d(X)[:9] if isinstance(X, np.ndarray) else X.head(9) if hasattr(X, "head") else []
    return np.asarray(rows, dtype=object).ravel()


def is_surely_finite(X):
    """Return True for an array of integers, or with a finite sum of squares, which is faster than scikit-learn's check.

    An array of large finite numbers may have an infinite sum.
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
    """Raise an error in scikit-learn's words if an array has NaN or infinity."""
    if not is_surely_finite(X):
        assert_all_finite(X, estimator_name=type(estimator).__name__, input_name=input_name)


# -- y -----------------------------------------------------------------------------------------------------------------


def warn_of_one_hot(estimator, y):
    """Warn if 0/1 columns, (n, labels), that count as several labels look like one-hot classes."""
    if len(y) >= 5 and y.shape[1] > 1 and (y.sum(axis=1) == 1).all():
        warn(
            f"y of {type(estimator).__name__} has 0/1 columns with exactly one 1 in each row, which are treated as "
            "independent labels (multilabel): if each row has one class, pass y.argmax(axis=1)",
            OneHotTargetWarning,
        )
