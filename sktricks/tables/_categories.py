"""Categories of a DataFrame as numbers while its rows are augmented, and as what they were afterwards."""

from __future__ import annotations

import numpy as np

from ._frames import encode, find_categorical, find_categories, is_frame, values_of


def number_categories(X):
    """A frame with numbers in the place of its categories, and a function that puts them back; X and None without any.

    The numbers are from 1 on, 0 for none. They serve while X is at hand and are not remembered, so that a category need
    not be known before.
    """
    mask = find_categorical(X, "from_dtype") if is_frame(X) else None
    if mask is None:
        return X, None
    codes, rows_of = {}, {}
    for place in map(int, np.flatnonzero(mask)):
        codes[place], rows_of[place] = number(values_of(X, place))

    def put_back(frame):
        found = {place: rows[np.nan_to_num(column_of(frame, place)).astype(int)] for place, rows in rows_of.items()}
        return with_columns(frame, {place: take(X, place, rows) for place, rows in found.items()})

    return with_columns(X, {place: as_column(X, place, own) for place, own in codes.items()}), put_back


def number(values):
    """The number of each value, 0 for none, and for each number a row in which it stands, -1 for that of none."""
    codes = np.array(encode(values, [value for value in find_categories(values) if value is not None]), np.intp)
    present, first = np.unique(codes, return_index=True)
    rows = np.full(codes.max(initial=0) + 1, -1)
    rows[present] = np.where(present == 0, -1, first)
    return codes, rows


def is_pandas(X):
    """Whether a frame is one of pandas; else it is one of polars."""
    return hasattr(X, "iloc")


def column_of(X, place):
    """A column of numbers as an array."""
    return np.asarray(X.iloc[:, place] if is_pandas(X) else X.to_series(place), float)


def as_column(X, place, values):
    """Numbers as a column of X."""
    return values.astype(float) if is_pandas(X) else type(X.to_series(place))(X.columns[place], values.astype(float))


def take(X, place, rows):
    """What stands in these rows of a column, with its type; nothing for row -1."""
    if is_pandas(X):
        return X.iloc[:, place].array.take(rows, allow_fill=True)
    return X.to_series(place).gather([None if row < 0 else row for row in rows.tolist()])


def with_columns(X, columns):
    """A frame with other columns in some places."""
    X = X.copy(deep=False) if is_pandas(X) else X.clone()
    for place, values in columns.items():
        X.isetitem(place, values) if is_pandas(X) else X.replace_column(place, values)
    return X
