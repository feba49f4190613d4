"""Rows of a table as the net for small tables reads them, in training and prediction."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from ..tables._columns import learn_columns
from ..training._modules import mean_and_scale

MOST_CATEGORIES = 8  # of one column; rarer ones have no column of their own
SQUASHED_FROM, LARGEST = 3.0, 1000.0  # standard deviations


class ContextRows:
    """How rows of a table become two values per column: the standardized number, and its rank among training rows.

    Large numbers count by their logarithm in the first value. Gaps and categories become columns of numbers by
    :class:`~sktricks.tables._columns.Columns`. Columns that are constant in training rows are dropped.

    Parameters
    ----------
    columns : Columns
    varies : bool Tensor
        False for each column that is constant in training rows.
    mean, scale : Tensor of shape (n_columns,), float64
        Of the columns that vary.
    ordered : Tensor of shape (n_columns, n_rows), float64
        The values of training rows, in ascending order.
    """

    def __init__(self, columns, varies, mean, scale, ordered):
        self.columns = columns
        self.varies = varies
        self.mean = mean
        self.scale = scale
        self.ordered = ordered

    @property
    def n_columns(self):
        """The number of columns that vary in training rows."""
        return len(self.ordered)

    def apply(self, X):
        """Return both values of each column, for rows of a canonical table: (n, n_columns, 2), float32."""
        x = to_tensor(self.columns, X)[:, self.varies]
        return torch.stack([squash((x - self.mean) / self.scale), rank(x, self.ordered)], dim=-1).float()


def learn_rows(X, is_categorical=None):
    """Return the :class:`ContextRows` of training rows.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Rows in canonical form (``tables._frames``): NaN for missing numbers, codes from 1 for categories.
    is_categorical : bool ndarray of shape (n_features,), default=None
        None: all columns are numbers.
    """
    columns = learn_columns(X.astype(np.float64, copy=False), None, is_categorical, one_hot=True)
    columns.places = [number_frequent(codes.astype(np.intp)) for codes in X[:, columns.is_categorical].T]
    x = to_tensor(columns, X)
    varies = (x != x[0]).any(0)
    x = x[:, varies]
    return ContextRows(columns, varies, *mean_and_scale(x), x.T.contiguous().sort().values)


def to_tensor(columns, X):
    """Return the columns of a canonical table as a float64 tensor."""
    return torch.from_numpy(columns.apply(X.astype(np.float64, copy=False)))


def number_frequent(codes):
    """Return a new code, from 1, for each of the most frequent codes of a column; 0 for all others.

    The more frequent one of only two codes also becomes 0: the column of the other one tells as much.
    """
    counts = np.bincount(codes)
    counts[0] = 0
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    kept = order[1:] if len(order) == 2 else order[:MOST_CATEGORIES]
    places = np.zeros(len(counts), np.intp)
    places[np.sort(kept)] = np.arange(1, len(kept) + 1)
    return places


def squash(z):
    """Return standardized numbers that grow with the logarithm beyond three standard deviations."""
    size = z.abs().clamp(max=LARGEST)
    return z.sign() * (size.clamp(max=SQUASHED_FROM) + (size - SQUASHED_FROM + 1).clamp(min=1).log())


def rank(x, ordered):
    """Return the rank of each number among those of its column, equal ones in the middle of their ranks.

    Ranks are scaled to mean 0 and standard deviation 1 over the training rows if all of their numbers differ.
    """
    x = x.T.contiguous()
    below, up_to = torch.searchsorted(ordered, x), torch.searchsorted(ordered, x, right=True)
    return ((below + up_to) / ordered.shape[1] - 1).T * math.sqrt(3)


def place_columns(values, order, n_columns):
    """Return rows as the net reads them: some columns in a given order, then zeros, (n, 2 * n_columns).

    The values are multiplied so that their sum of squares depends little on how many columns there are.

    Parameters
    ----------
    values : Tensor of shape (n, columns, 2)
    order : sequence of int
        Indices of columns, at most ``n_columns``.
    n_columns : int
        Number of columns that the net has.
    """
    chosen = values[:, order] * math.sqrt(n_columns / max(1, len(order)))
    return F.pad(chosen, (0, 0, 0, n_columns - len(order))).flatten(1)
