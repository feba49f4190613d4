"""Validate a column of image files, and name its images in errors."""

from __future__ import annotations

import os

import numpy as np

from .._text import name_some

SOURCES = (str, os.PathLike, bytes)


def as_column(X, input_name="X"):
    """Return the paths or bytes in a column, or None if X has none.

    Parameters
    ----------
    X : list, array or Series of shape (n,), or (n, 1), or a DataFrame of one column
    input_name : str
        The name of X in errors.

    Returns
    -------
    sources : ndarray of shape (n,), of dtype object, or None
        None unless at least one value is a path or bytes.

    Raises
    ------
    TypeError
        If only some of the values are paths or bytes.
    ValueError
        If X has other columns besides a column of paths, or is a single path or an empty column.
    """
    if isinstance(X, SOURCES):
        raise ValueError(f"{input_name} must be a column of image files, got {describe_single(X)}")
    columns = list(getattr(X, "columns", []))
    if len(columns) > 1 and "path" in columns and isinstance(X["path"].iloc[0] if len(X) else None, SOURCES):
        alone = f"{input_name}[['path']]"
        raise ValueError(f"{input_name} has the columns {columns}: pass only the column of image files, {alone}")
    values = flat_values(X)
    if is_empty_column(X):
        raise ValueError(
            f"{input_name} must have at least one row, got an empty column. If it is a split of an image folder, see "
            "images.split.unique() for the splits that exist"
        )
    if not any(isinstance(value, SOURCES) for value in values):
        return None
    for row, value in enumerate(values):
        if not isinstance(value, SOURCES):
            raise TypeError(
                f"{input_name} must have the path or the bytes of an image in each row, got {value!r} in row {row}"
            )
    if getattr(getattr(X, "dtype", None), "kind", None) == "S":
        raise TypeError(
            f"{input_name} must have bytes in a list or an array of dtype object, got {X.dtype}, which drops trailing "
            "zeros"
        )
    sources = np.empty(len(values), dtype=object)
    sources[:] = values
    return sources


def describe_single(X):
    """Describe a single path, or the bytes of one file, and what to pass instead, for errors."""
    if isinstance(X, bytes):
        return "the bytes of one file: pass a list, [X]"
    name = os.fsdecode(X)
    if os.path.isdir(X):
        return f"the folder {name!r}: pass the column of paths read_image_folder({name!r}).path"
    return f"the single path {name!r}: pass a list, [{name!r}]"


def is_empty_column(X):
    """Return True if X has no rows and is one-dimensional or a single column of text."""
    shape = getattr(X, "shape", (len(X),) if isinstance(X, list | tuple) else None)
    if shape == (0,):
        return True
    dtypes = getattr(X, "dtypes", getattr(X, "dtype", None))
    return shape == (0, 1) and all(getattr(dtype, "kind", "O") in "OUS" for dtype in np.atleast_1d(dtypes))


def flat_values(X):
    """Return the values of one column; an empty list if X has several columns, or numbers."""
    if isinstance(X, list | tuple):
        return [row[0] if isinstance(row, list | tuple) and len(row) == 1 else row for row in X]
    shape = getattr(X, "shape", None)
    if shape is None or len(shape) not in (1, 2) or tuple(shape[1:]) not in ((), (1,)):
        return []
    if getattr(getattr(X, "dtype", None), "kind", "O") in "biufcmM":
        return []
    return np.asarray(X, dtype=object).ravel()


def check_files_exist(sources, input_name="X"):
    """Raise an error that names the first missing files, if any."""
    paths = [os.fsdecode(source) for source in sources if not isinstance(source, bytes)]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        cwd = "" if all(map(os.path.isabs, missing)) else f" (the current directory is {os.getcwd()})"
        pipes = " or are not regular files" if any(map(os.path.exists, missing)) else ""
        raise ValueError(
            f"{input_name} must have paths of image files, but {len(missing)} of {len(paths)} do not exist{pipes}: "
            f"{name_some(map(printable, missing))}{cwd}"
        )


def name_of(source, row):
    """Return the name of an image in errors."""
    if isinstance(source, bytes):
        return f"the {len(source)} bytes in row {row}"
    return printable(os.fsdecode(source))


def printable(name):
    r"""Escape invalid UTF-8 in a text, as in ``caf\udce9.jpg``, so that it can be printed."""
    return name.encode(errors="backslashreplace").decode()
