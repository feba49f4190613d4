"""Replace the categories of a DataFrame by codes for augmentation, and restore them afterwards."""

from __future__ import annotations

import numpy as np

from ._frames import encode, find_categorical, find_categories, is_frame, is_pandas, values_of


def number_categories(X):
    """Return a DataFrame with codes in place of its categories, and a function that restores the categories.

    The codes start at 1; 0 is a missing category. They are valid only for this X, so new categories are allowed. If X
    has no categories, return X itself and None.
    """
    mask = find_categorical(X, "from_dtype") if is_frame(X) else None
    if mask is None:
        return X, None
    codes, rows_of = {}, {}
    for index in map(int, np.flatnonzero(mask)):
        codes[index], rows_of[index] = find_codes(values_of(X, index))

    def restore(frame):
        found = {index: rows[np.nan_to_num(numbers_of(frame, index)).astype(int)] for index, rows in rows_of.items()}
        return with_columns(frame, {index: take(X, index, rows) for index, rows in found.items()})

    return with_columns(X, {index: as_column(X, index, own) for index, own in codes.items()}), restore


def find_codes(values):
    """Return the code of each value, 0 if it is missing, and a row with each code, -1 for code 0."""
    codes = np.array(encode(values, [value for value in find_categories(values) if value is not None]), np.intp)
    present, first = np.unique(codes, return_index=True)
    rows = np.full(codes.max(initial=0) + 1, -1)
    rows[present] = np.where(present == 0, -1, first)
    return codes, rows


def numbers_of(X, index):
    """Return a numeric column as an array."""
    return np.asarray(X.iloc[:, index] if is_pandas(X) else X.to_series(index), float)


def as_column(X, index, values):
    """Convert numbers to a column of the same library as X."""
    return values.astype(float) if is_pandas(X) else type(X.to_series(index))(X.columns[index], values.astype(float))


def take(X, index, rows):
    """Return the values of a column in these rows, in its dtype, and a missing value for row -1."""
    if is_pandas(X):
        return X.iloc[:, index].array.take(rows, allow_fill=True)
    return X.to_series(index).gather([None if row < 0 else row for row in rows.tolist()])


def with_columns(X, columns):
    """Return a copy of a DataFrame with some columns replaced, by index."""
    X = X.copy(deep=False) if is_pandas(X) else X.clone()
    for index, values in columns.items():
        X.isetitem(index, values) if is_pandas(X) else X.replace_column(index, values)
    return X
