"""Images or rows in, one canonical form out.

The canonical form of images is ``(n, height, width, channels)``, a view of what the user gave wherever numpy can make
one. :func:`check_X` validates X as scikit-learn does and describes it by a :class:`Layout`; :meth:`Layout.to_images`
makes the canonical form and :meth:`Layout.restore` brings a result back to the layout that came in.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from math import prod
from numbers import Integral, Real
from os import PathLike

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import validate_data

from ._threads import check_array
from ._warnings import ImageShapeWarning, OneHotTargetWarning, ValueRangeWarning, warn

IMAGE_NAME = re.compile(r"\.(avif|bmp|gif|hei[cf]|jfif|jp2|jpe?g?|p[bgnp]m|png|tiff?|webp)$", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How X came: ``ndim`` 2, 3 or 4, and ``image_shape`` (height, width, channels), None for a table."""

    ndim: int
    image_shape: tuple | None
    n_features: int

    def to_images(self, X):
        """``(n, height, width, channels)``; a table is a signal of one channel, ``(n, 1, features, 1)``."""
        return X.reshape(len(X), *(self.image_shape or (1, self.n_features, 1)))

    def restore(self, images):
        """Canonical images in the layout of X; the height and width may have changed."""
        if self.ndim == 2:
            return images.reshape(len(images), -1)
        return images[..., 0] if self.ndim == 3 else images


def as_pair(value):
    """Return the items of a value as a tuple, an empty one if it has none."""
    try:
        return tuple(value)
    except TypeError:
        return ()


def check_magnitude(name, value):
    """Raise an error if a parameter is an integer that no float can hold."""
    try:
        float(value if isinstance(value, int) else 0)
    except OverflowError:
        raise ValueError(f"{name} must be below 1e308, got an integer of {len(str(value))} digits") from None


def check_image_shape(image_shape):
    """``image_shape`` as (height, width, channels), whatever of (H, W) and (H, W, C) was given."""
    expected = "a pair (height, width) or a triple (height, width, channels) of integers"
    try:
        shape = tuple(image_shape)
    except TypeError:
        raise ValueError(f"image_shape must be {expected}, got {image_shape!r}") from None
    if len(shape) not in (2, 3) or not all(isinstance(side, Integral) for side in shape):
        raise ValueError(f"image_shape must be {expected}, got {image_shape!r}")
    height, width, channels = (int(side) for side in (*shape, 1)[:3])
    if height < 2 or width < 2 or channels < 1:
        raise ValueError(
            f"image_shape needs a height and a width of at least 2 and at least 1 channel, got {image_shape!r}"
        )
    return height, width, channels


def fits_image_shape(image_shape, shape):
    """Return True if ``image_shape`` describes images of this shape; a pair leaves the channels open."""
    checked = check_image_shape(image_shape)
    n_given = len(tuple(image_shape))
    return checked[:n_given] == tuple(shape)[:n_given]


def check_n_columns(image_shape, n_columns):
    """Raise an error unless rows of so many columns hold images of this shape, given as a triple."""
    if prod(image_shape) == n_columns:
        return
    height, width, channels = image_shape
    hint = next((c for c in (3, 4) if channels == 1 and height * width * c == n_columns), None)
    hint = f": images of {hint} channels need image_shape=({height}, {width}, {hint})" if hint else ""
    plain = image_shape[:2] if channels == 1 else image_shape
    raise ValueError(f"image_shape={plain} needs {prod(image_shape)} columns, X has {n_columns}{hint}")


def check_orientation(shape):
    """Raise an error if an X of this shape looks like one image, or like images whose channels come first.

    No image is two, three or four pixels high, ten or a hundred wide, and has tens of channels. With more rows than
    that, channels come first only where height and width are equal, as they are in most batches.
    """
    if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > 4:
        raise ValueError(
            f"X of shape {tuple(shape)} looks like one color image. Pass a batch of images, "
            "(n, height, width, channels): X[None] makes a batch of one"
        )
    if len(shape) == 4 and min(shape[2:]) >= 8 and (shape[1] <= 4 or shape[1] < shape[2] == shape[3]):
        really = f"; if they are {shape[1]} pixels high and have {shape[3]} channels: image_shape={tuple(shape[1:])}"
        raise ValueError(
            f"X of shape {tuple(shape)} looks like images whose channels come first. Pass "
            f"(n, height, width, channels): X.transpose(0, 2, 3, 1){really if shape[1] > 1 else ''}"
        )


def find_layout(shape, image_shape=None):
    """The :class:`Layout` of an X of this shape, or an error that says what does not fit."""
    if len(shape) == 2:
        image_shape = None if image_shape is None else check_image_shape(image_shape)
        if image_shape is not None:
            check_n_columns(image_shape, shape[1])
        return Layout(2, image_shape, shape[1])
    if len(shape) not in (3, 4):
        raise ValueError(
            "X must be (n, features), (n, height, width) or (n, height, width, channels), "
            f"got {len(shape)} dimensions: {tuple(shape)}"
        )
    found = (*shape[1:], 1)[:3]
    fits = image_shape is not None and fits_image_shape(image_shape, found)
    if not fits:
        check_orientation(shape)
    if min(found[:2]) < 2 or found[2] < 1:
        raise ValueError(f"X needs images with a height and a width of at least 2, got {tuple(shape)}")
    if image_shape is not None and not fits:
        raise ValueError(f"X must hold images of image_shape={tuple(image_shape)}, got images of shape {found}")
    return Layout(len(shape), found, prod(found))


NO_NUMBERS = ("float()", "dtype='numeric'", "could not convert", "array element")  # in errors that do not name X


def check_X(estimator, X, *, reset, image_shape=None, warn=False, ensure_min_samples=1, allow_nan=False, look=True):
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
        How rows are to be read.
    warn : bool
        Warn with :class:`ImageShapeWarning` where rows come without ``image_shape``.
    ensure_min_samples : int
    allow_nan : bool
        Whether numbers of a table may be missing; pixels never are.
    look : bool
        Whether to look for NaN and infinity in an array; whoever does not has to call :func:`check_finite` later.

    Returns
    -------
    X : ndarray
    layout : Layout
    """
    refuse_times(X)
    refuse_equal_names(X)
    X = to_plain(X)
    looked = is_surely_finite(X) if look else type(X) is np.ndarray and X.dtype.kind in "biuf"
    if looked and X.ndim > 2 and len(X) >= ensure_min_samples:  # an array of images, in which no more can be wrong
        return X, check_layout(estimator, X[:1].reshape(1, -1), X.shape, reset=reset, image_shape=image_shape)
    how = {
        "allow_nd": True,
        "ensure_all_finite": not looked and ("allow-nan" if allow_nan and image_shape is None else True),
        "ensure_min_samples": ensure_min_samples,
        "estimator": estimator,
        "input_name": "X",
    }
    try:
        array = check_array(X, **how)
        if array.dtype == object:  # which scikit-learn lets pass where polars has it
            array = check_array(array, **how)
    except (ValueError, TypeError) as error:
        check_no_paths(estimator, X)
        if "inhomogeneous" not in str(error):
            if any(text in str(error) for text in NO_NUMBERS):
                raise type(error)(f"X must hold numbers: {error}") from error
            raise
        shapes = ", ".join(map(str, sorted({np.shape(row) for row in X})[:3]))
        raise ValueError(f"X must hold rows or images of one shape, got {shapes}: bring them to one size") from error
    array = to_plain(array)
    if allow_nan and array.ndim > 2 and not looked:
        assert_all_finite(array, estimator_name=type(estimator).__name__, input_name="X")
    rows = X if array.ndim == 2 else array.reshape(len(array), -1)  # of a DataFrame the names are wanted
    layout = check_layout(estimator, rows, array.shape, reset=reset, image_shape=image_shape)
    if reset and warn and layout.image_shape is None:
        warn_of_rows(estimator, layout.n_features)
    return array, layout


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


TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


def is_time(value):
    """True for a date, a time or a duration; pandas derives its own from Python's, but for periods."""
    return isinstance(value, TIMES) or type(value).__name__ == "Period"


def refuse_times(X, found=None):
    """Raise an error if an array or columns of a DataFrame hold dates or times, or if ``found`` names such columns.

    Parameters
    ----------
    X : array-like or DataFrame
    found : dict or None
        From the names of columns to one of their values.
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
        f"X must hold numbers, but {where} ({next(iter(found.values()))}): convert them to a number of seconds or days "
        "since some date, or to parts such as month and weekday"
    )


def refuse_equal_names(X):
    """Raise an error if columns of a DataFrame have the same name, which only pandas allows."""
    columns = getattr(X, "columns", None)
    if not getattr(columns, "is_unique", True):
        equal = columns[columns.duplicated()].unique().tolist()
        raise ValueError(f"X must have a different name for each column, got {equal} more than once: rename them")


def is_dtype_of_times(dtype):
    """True for the types of dates, times and durations of pandas and polars."""
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", type(dtype).__name__)
    return getattr(dtype, "kind", None) in ("m", "M") or name.lower().startswith(("period", "date", "time", "duration"))


def check_no_paths(estimator, X):
    """Raise an error that names :class:`ImageLoader` if one of the first rows of X holds the path of an image file."""
    for value in first_values(X):
        if isinstance(value, PathLike) or (isinstance(value, str) and IMAGE_NAME.search(value)):
            name = type(estimator).__name__
            raise ValueError(
                f"X of {name} must hold numbers, got the path of an image file: {str(value)!r}. ImageLoader reads "
                f"files: make_pipeline(ImageLoader(size=(height, width)), {name}(...))"
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
    """Whether an array has integers, or a finite sum of squares, which takes less time than scikit-learn's look."""
    if type(X) is not np.ndarray:
        return False
    if X.dtype.kind in "biu":
        return True
    if X.dtype not in (np.float32, np.float64) or not X.flags.c_contiguous:
        return False
    numbers = X.reshape(-1)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(numbers @ numbers))


def check_finite(estimator, X):
    """An error in scikit-learn's words if an array has NaN or infinity."""
    if not is_surely_finite(X):
        assert_all_finite(X, estimator_name=type(estimator).__name__, input_name="X")


def check_layout(estimator, rows, shape, *, reset, image_shape=None):
    """The :class:`Layout` of an X of this shape, learned by the estimator or compared with what it was fitted on.

    ``rows`` are X flattened to rows, or any number of rows like them; they have the names of the columns.
    """
    if not reset and len(shape) == 2:
        validate_data(estimator, rows, reset=False, skip_check_array=True)
        fitted = estimator.image_shape_
        if image_shape is not None and fitted is not None and fits_image_shape(image_shape, fitted):
            image_shape = fitted  # A pair does not tell the channels of rows.
    layout = find_layout(shape, image_shape)
    if reset:
        validate_data(estimator, rows, reset=True, skip_check_array=True)
        estimator.image_shape_ = layout.image_shape
    elif estimator.image_shape_ != layout.image_shape:
        raise ValueError(
            f"{type(estimator).__name__} was fitted on images of shape {estimator.image_shape_}, "
            f"X has {layout.image_shape or f'rows of {layout.n_features} columns'}"
        )
    return layout


def warn_of_rows(estimator, n_features):
    """Say that rows came without ``image_shape``, with a guess where the columns make a square."""
    sides = [(channels, round((n_features / channels) ** 0.5)) for channels in (1, 3)]
    guesses = [
        f"({side}, {side})" if channels == 1 else f"({side}, {side}, 3)"
        for channels, side in sides
        if side > 1 and side * side * channels == n_features
    ]
    hint = f"; if the rows are square images, image_shape={guesses[0]}" if guesses else ""
    warn(
        f"{type(estimator).__name__} got rows of {n_features} columns and no image_shape, "
        f"and reads each as a signal, on which two-dimensional geometry does nothing{hint}",
        ImageShapeWarning,
    )


def check_value_range(value_range, X=None):
    """``value_range`` as two floats; None is told from X: its dtype, and of floats the values."""
    if value_range is None:
        return guess_value_range(X)
    try:
        low, high = value_range
        valid = isinstance(low, Real) and isinstance(high, Real) and np.isfinite([low, high]).all() and low < high
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(f"value_range must be None or a pair (low, high) with low < high, got {value_range!r}")
    value_range = float(low), float(high)
    if isinstance(X, np.ndarray) and X.size and exceeds(sampled_extremes(X)[1], value_range):
        warn(
            f"value_range=({low:g}, {high:g}) does not fit X, which has pixels up to {sampled_extremes(X)[1]:.3g}: set "
            "value_range to the values of black and white in X",
            ValueRangeWarning,
        )
    return value_range


def guess_value_range(X):
    """(0, 255) of integers; of floats (0, 1) or (0, 255) if they lie in it, else their extremes.

    Integers outside 0 to 255, such as 16-bit images, have their extremes too: (0, 255) would clip them to nothing.
    """
    if X.dtype == bool:
        return 0.0, 1.0
    if X.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(X.min()), float(X.max())
    integers = np.issubdtype(X.dtype, np.integer)
    if low >= 0 and high <= 1 and not integers:
        return 0.0, 1.0
    if low >= 0 and high <= 255 and (integers or high > 16):
        return 0.0, 255.0
    return low, high if high > low else low + 1.0


def warn_of_other_scale(estimator, X):
    """Warn if the pixels of X are on another scale than those that an estimator was fitted on.

    Nothing is said where ``value_range`` was given, of tables, and of files, which are always read as 0 to 255.
    """
    value_range = getattr(estimator, "value_range_", None)
    if value_range is None or estimator.value_range is not None or not isinstance(X, np.ndarray) or X.size == 0:
        return
    if is_on_other_scale(X, value_range):
        (low, high), (smallest, largest) = value_range, sampled_extremes(X)
        warn(
            f"{type(estimator).__name__} was fitted on pixels from {low:g} to {high:g}, X has pixels from "
            f"{smallest:.3g} to {largest:.3g}: bring X to the same scale, or set value_range if X is right as it is",
            ValueRangeWarning,
        )


def is_on_other_scale(X, value_range):
    """Return True if pixels cannot be of this range: far above it, below zero, or of a type or size far too small.

    Images that are dark, or merely use a small part of the range, are not on another scale.
    """
    low, high = value_range
    smallest, largest = sampled_extremes(X)
    if not -np.inf < smallest <= largest < np.inf:  # Others raise the error about NaN and infinity.
        return False
    if exceeds(largest, value_range) or (low == 0 and high in (1, 255) and smallest <= -high / 2):
        return True
    if X.dtype.kind in "biu":
        most = 1 if X.dtype == bool else np.iinfo(X.dtype).max
        return 16 * most < high
    return high >= 16 and 0 < largest <= 1 and bool(X.max() <= 1) and bool((X % 1).any())


def exceeds(largest, value_range):
    """Return True if a pixel is so far above a range that it must be on another scale."""
    low, high = value_range
    return largest >= low + 16 * (high - low)


def sampled_extremes(X):
    """Return the smallest and the largest value of some rows, which takes no time: a scale is that of all rows."""
    some = X[:: -(-len(X) // 16)]
    return float(some.min()), float(some.max())


def warn_of_one_hot(estimator, y):
    """Warn if 0/1 columns, (n, labels), that count as several labels look like one-hot classes."""
    if len(y) >= 5 and y.shape[1] > 1 and (y.sum(axis=1) == 1).all():
        warn(
            f"y of {type(estimator).__name__} has 0/1 columns with exactly one 1 in each row, which are treated as "
            "independent labels (multilabel): if each row has one class, pass y.argmax(axis=1)",
            OneHotTargetWarning,
        )


def check_labels(y):
    """Raise an error if an array of objects holds labels of several types, or of one that cannot be sorted."""
    if getattr(getattr(y, "dtype", None), "kind", None) != "O":
        return
    labels = np.asarray(y).ravel().tolist()
    kinds = {"number" if isinstance(label, Real) else type(label).__name__ for label in labels}
    if len(kinds) > 1 or (labels and not is_sortable(labels[0])):
        raise TypeError(
            f"y must hold labels of one type that can be sorted, got {', '.join(sorted(kinds))}: convert them to "
            "strings, and leave out rows without a label"
        )


def is_sortable(label):
    """True if labels of this type can be compared."""
    try:
        return label < label or True
    except TypeError:
        return False


def check_weights(sample_weight, n_rows):
    """``sample_weight`` as (n_rows,) float64, None as it is; negative and all-zero weights are errors."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_rows, float(sample_weight))
    weight = check_array(sample_weight, ensure_2d=False, dtype=np.float64, allow_nd=True, input_name="sample_weight")
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight must be 1D, one value a row: expected shape ({n_rows},), got {weight.shape}")
    if weight.min() < 0:
        raise ValueError(f"sample_weight must not be negative, got {weight.min()}")
    if not weight.any():
        raise ValueError("sample_weight must have a positive value, got zeros only")
    return weight
