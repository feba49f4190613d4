"""Split a table into columns, and rebuild it in its own type: array, list, or DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..tables._frames import CATEGORIES, is_frame, is_missing, is_pandas, name_of, values_of


class TableColumns:
    """The columns of a table as arrays: numbers in their dtype, anything else as objects.

    Parameters
    ----------
    X : array, list of rows, or DataFrame
    columns : list of ndarray, default=None
        Columns to use instead of those of X, for a table of the same type.
    """

    def __init__(self, X, columns: list[np.ndarray] | None = None):
        self.X = X
        self.columns = read_columns(X) if columns is None else columns
        self.is_number = np.array([values.dtype.kind in "biuf" for values in self.columns], bool)
        self.n_rows = len(self.columns[0])

    def with_columns(self, columns: list[np.ndarray]) -> TableColumns:
        """Return a table of the same type with other columns."""
        return TableColumns(self.X, columns)

    def take(self, rows) -> TableColumns:
        """Return a table with the given rows."""
        return self.with_columns([values[rows] for values in self.columns])

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> TableColumns:
        """Return a table with each column changed."""
        return self.with_columns([change(values) for values in self.columns])

    def map_numbers(self, change: Callable[[np.ndarray], np.ndarray]) -> TableColumns:
        """Return a table with each column of numbers changed."""
        pairs = zip(self.columns, self.is_number, strict=True)
        return self.with_columns([change(values) if number else values for values, number in pairs])

    def replace(self, index: int, values: Sequence) -> TableColumns:
        """Return a table with one column replaced."""
        new = np.empty(self.n_rows, dtype=self.columns[index].dtype)
        new[:] = values
        return self.with_columns([*self.columns[:index], new, *self.columns[index + 1 :]])

    def build(self, as_objects: bool = False):
        """Return the table in the type of X.

        ``as_objects`` makes columns of strings in pandas objects, which distinguish the kinds of missing values.
        """
        if not is_frame(self.X):
            numeric = self.is_number.all() and not has_objects(self.X)
            return np.stack(self.columns, axis=1) if numeric else np.array([list(row) for row in self._rows()], object)
        data = dict(zip(self.X.columns, self.columns, strict=True))
        texts = {name: dtype for name, dtype in zip(self.X.columns, self.X.dtypes, strict=True)
                 if data[name].dtype == object}  # fmt: skip
        if not is_pandas(self.X):
            lists = {name: values.tolist() if name in texts else values for name, values in data.items()}
            return type(self.X)(lists, schema_overrides=texts)
        series = type(self.X.iloc[:, 0])
        for name, dtype in texts.items():
            own = object if as_objects else dtype
            new = "category" if name_of(dtype) in CATEGORIES else own  # X's own categories may lack some values
            data[name] = series(data[name], dtype=new)
        return type(self.X)(data)

    def _rows(self):
        return zip(*self.columns, strict=True)


def read_columns(X) -> list[np.ndarray]:
    """Return the columns of a table."""
    if is_frame(X):
        return [read_column(dtype, values_of(X, index)) for index, dtype in enumerate(X.dtypes)]
    array = X if hasattr(X, "dtype") else np.asarray(X, object if has_objects(X) else None)
    if array.dtype.kind in "biuf":
        return list(np.asarray(array).T)
    return [read_column(object, column.tolist()) for column in array.T]


def read_column(dtype, values: list) -> np.ndarray:
    """Return the values of a column: numbers in the numpy dtype that holds them, categories and strings as objects."""
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return np.array(values, dtype)
    if name_of(dtype) not in CATEGORIES and not any(isinstance(value, str) for value in values):
        numbers = [np.nan if is_missing(value) else value for value in values]
        if np.asarray(numbers).dtype.kind in "biuf":
            return np.array(numbers)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def has_objects(X) -> bool:
    """Return True if an array or a list of rows holds anything besides numbers."""
    return np.asarray(X).dtype.kind in "OUS"


def step(values: np.ndarray, sign: int) -> np.ndarray:
    """Return the next larger (``sign=1``) or smaller (``sign=-1``) float or integer."""
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind == "f":
        return np.nextafter(values, values.dtype.type(sign * np.inf))
    limits = np.iinfo(values.dtype)
    last = values == (limits.max if sign > 0 else limits.min)
    return np.where(last, values, values + np.array(sign).astype(values.dtype))  # -1 wraps around if unsigned
