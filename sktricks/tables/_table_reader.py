"""The columns that a module sees of a table: numbers without gaps, what is missing, categories."""

from __future__ import annotations

import numpy as np


class Columns:
    """What becomes of a canonical table, as the training rows have it.

    The columns that come out are the numbers in their order, the mean in the place of a missing one; then for each of
    them that training rows lack a column that is 1 where it is missing; then the categories. These have a column each,
    of places from 1 on, 0 being one that no training row has; or with ``one_hot`` a column for each category, all of
    them 0 for one that no training row has.

    Parameters
    ----------
    is_categorical : ndarray of shape (n_features,), bool
    means : ndarray of shape (numbers,)
        Of the training rows.
    has_gaps : ndarray of shape (numbers,), bool
        Whether training rows lack a number.
    places : list of int ndarray
        For each column of categories what becomes of its canonical numbers.
    one_hot : bool
    """

    def __init__(self, is_categorical, means, has_gaps, places, one_hot):
        self.is_categorical = is_categorical
        self.means = means
        self.has_gaps = has_gaps
        self.places = places
        self.one_hot = one_hot

    @property
    def is_plain(self):
        """Whether the columns are those of a table without gaps, which is all numbers."""
        return not self.places and not self.has_gaps.any()

    @property
    def n_categories(self):
        """How many categories each of the last columns has, none with ``one_hot``; a gap is one more or less."""
        if self.one_hot:
            return ()
        return (1,) * int(self.has_gaps.sum()) + tuple(int(places.max()) for places in self.places)

    def apply(self, X):
        """The columns of a canonical table, of its dtype."""
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
    """The :class:`Columns` of training rows in canonical form, of these weights or None."""
    mask = np.zeros(X.shape[1], bool) if is_categorical is None else is_categorical
    numbers = X[:, ~mask] if mask.any() else X  # which need not be copied
    has_gaps = np.isnan(numbers).any(axis=0)
    places = [renumber(codes.astype(np.intp)) for codes in X[:, mask].T]
    return Columns(mask, mean_of_present(numbers, weight), has_gaps, places, one_hot)


def mean_of_present(X, weight=None):
    """The weighted mean of each column where it is not NaN; 0 where it always is."""
    weight = np.ones(len(X)) if weight is None else weight
    missing = np.isnan(X)
    if not missing.any():
        return weight / weight.sum() @ X
    total = weight @ ~missing
    share = weight[:, None] * ~missing / np.where(total > 0, total, 1)  # first: a sum of huge numbers would overflow
    return (share * np.where(missing, 0, X)).sum(axis=0)


def renumber(codes):
    """For each number up to the largest its place among those that occur, from 1; 0 for 0 and where it does not."""
    occur = np.bincount(codes) > 0
    occur[0] = False
    return np.where(occur, np.cumsum(occur), 0)


def encode(codes, places, one_hot):
    """A column of places, or of each place one."""
    known = np.where(codes < len(places), codes, 0)  # an augmenter may leave a gap, which is NaN and so not less
    found = places[known.astype(np.intp)]
    return found[:, None] == np.arange(1, places.max() + 1) if one_hot else found[:, None]
