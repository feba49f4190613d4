"""The columns of a table as a module gets them: numbers without gaps, indicators of gaps, categories."""

from __future__ import annotations

import numpy as np


class Columns:
    """The columns that a canonical table becomes, learned from training rows.

    The first columns are the numbers, with the mean in place of missing ones. Then, for each column of numbers with
    gaps in training rows, comes a column that is 1 where the number is missing. The last columns are the categories:
    one column each of codes from 1, with 0 for a category that no training row has; or, with ``one_hot``, a column per
    category, all of them 0 for a category that no training row has.

    Parameters
    ----------
    is_categorical : ndarray of shape (n_features,), bool
    means : ndarray of shape (numbers,)
        The mean of each column of numbers in training rows.
    has_gaps : ndarray of shape (numbers,), bool
        True for columns with missing numbers in training rows.
    places : list of int ndarray
        For each column of categories, the code of each category of the canonical table.
    one_hot : bool
        Make a column per category instead of one column of codes.
    """

    def __init__(self, is_categorical, means, has_gaps, places, one_hot):
        self.is_categorical = is_categorical
        self.means = means
        self.has_gaps = has_gaps
        self.places = places
        self.one_hot = one_hot

    @property
    def is_plain(self):
        """True for a table of numbers without gaps in training rows."""
        return not self.places and not self.has_gaps.any()

    @property
    def n_categories(self):
        """The number of categories of each column after the numbers, 1 for an indicator; empty with ``one_hot``."""
        if self.one_hot:
            return ()
        return (1,) * int(self.has_gaps.sum()) + tuple(int(places.max()) for places in self.places)

    def apply(self, X):
        """Return the columns of a canonical table, in its dtype."""
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
    """Return the :class:`Columns` of training rows in canonical form; ``weight`` are their weights or None."""
    mask = np.zeros(X.shape[1], bool) if is_categorical is None else is_categorical
    numbers = X[:, ~mask] if mask.any() else X  # no copy
    has_gaps = np.isnan(numbers).any(axis=0)
    places = [renumber(codes.astype(np.intp)) for codes in X[:, mask].T]
    return Columns(mask, mean_of_present(numbers, weight), has_gaps, places, one_hot)


def mean_of_present(X, weight=None):
    """Return the weighted mean of each column without NaN; 0 for a column of NaN."""
    weight = np.ones(len(X)) if weight is None else weight
    missing = np.isnan(X)
    if not missing.any():
        return weight / weight.sum() @ X
    total = weight @ ~missing
    fractions = weight[:, None] * ~missing / np.where(total > 0, total, 1)  # a sum of huge numbers would overflow
    return (fractions * np.where(missing, 0, X)).sum(axis=0)


def renumber(codes):
    """Return a new code, from 1, for each code that occurs; 0 for 0 and for codes that do not occur."""
    occur = np.bincount(codes) > 0
    occur[0] = False
    return np.where(occur, np.cumsum(occur), 0)


def encode(codes, places, one_hot):
    """Return a column of new codes, or a column per code."""
    known = np.where(codes < len(places), codes, 0)  # an augmenter may leave NaN, which is not less
    found = places[known.astype(np.intp)]
    return found[:, None] == np.arange(1, places.max() + 1) if one_hot else found[:, None]
