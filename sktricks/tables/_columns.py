"""Convert a canonical table to the input of a module: imputed numbers, missing indicators and categories."""

from __future__ import annotations

import numpy as np


class Columns:
    """Converts canonical tables to the input columns of a module, with statistics of the training rows.

    First come the numeric columns, with missing values replaced by the mean. Next comes one indicator column for each
    numeric column with missing values in training rows: 1 where the value is missing. Last come the categories: one
    column of codes each, starting at 1, with 0 for a category that does not occur in training rows; or, with
    ``one_hot``, one column per category, all 0 for a category that does not occur in training rows.

    Parameters
    ----------
    is_categorical : ndarray of shape (n_features,), bool
    means : ndarray of shape (numbers,)
        The mean of each numeric column in training rows.
    has_gaps : ndarray of shape (numbers,), bool
        True for numeric columns with missing values in training rows.
    places : list of int ndarray
        For each categorical column, the new code of each code of the canonical table.
    one_hot : bool
        Create one column per category instead of one column of codes.
    """

    def __init__(self, is_categorical, means, has_gaps, places, one_hot):
        self.is_categorical = is_categorical
        self.means = means
        self.has_gaps = has_gaps
        self.places = places
        self.one_hot = one_hot

    @property
    def is_plain(self):
        """True if all columns are numeric, without missing values in training rows."""
        return not self.places and not self.has_gaps.any()

    @property
    def n_categories(self):
        """The number of categories of each column after the numeric ones, 1 for indicators; empty with ``one_hot``."""
        if self.one_hot:
            return ()
        return (1,) * int(self.has_gaps.sum()) + tuple(int(places.max()) for places in self.places)

    def apply(self, X):
        """Convert a canonical table; return the columns in its dtype."""
        if self.is_plain and not np.isnan(X).any():
            return X
        numbers = X[:, ~self.is_categorical]
        missing = np.isnan(numbers)
        categories = [
            encode(codes, places, self.one_hot)
            for codes, places in zip(X[:, self.is_categorical].T, self.places, strict=True)
        ]
        parts = [np.where(missing, self.means, numbers), missing[:, self.has_gaps], *categories]
        return np.concatenate([part.astype(X.dtype, copy=False) for part in parts], axis=1)


def learn_columns(X, weight, is_categorical, one_hot):
    """Return the :class:`Columns` for training rows in canonical form; ``weight`` are sample weights or None."""
    mask = np.zeros(X.shape[1], bool) if is_categorical is None else is_categorical
    numbers = X[:, ~mask] if mask.any() else X  # no copy
    has_gaps = np.isnan(numbers).any(axis=0)
    places = [renumber(codes.astype(np.intp)) for codes in X[:, mask].T]
    return Columns(mask, mean_of_present(numbers, weight), has_gaps, places, one_hot)


def mean_of_present(X, weight=None):
    """Return the weighted mean of each column, ignoring NaN; 0 for a column of NaN."""
    weight = np.ones(len(X)) if weight is None else weight
    missing = np.isnan(X)
    if not missing.any():
        return weight / weight.sum() @ X
    total = weight @ ~missing
    fractions = weight[:, None] * ~missing / np.where(total > 0, total, 1)  # a sum of large numbers would overflow
    return (fractions * np.where(missing, 0, X)).sum(axis=0)


def renumber(codes):
    """Return the new code of each code: consecutive from 1 for codes that occur, 0 for 0 and all others."""
    occur = np.bincount(codes) > 0
    occur[0] = False
    return np.where(occur, np.cumsum(occur), 0)


def encode(codes, places, one_hot):
    """Return a column of new codes, or one column per code."""
    known = np.where(codes < len(places), codes, 0)  # NaN from an augmenter compares False
    found = places[known.astype(np.intp)]
    return found[:, None] == np.arange(1, places.max() + 1) if one_hot else found[:, None]
