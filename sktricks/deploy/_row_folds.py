"""Folds that depend only on the contents of the rows, not on their order or number.

Equal rows are in the same fold, so that no model is judged on rows that it was fitted on, and a row with weight 2 gives
the same folds as the row given twice.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from scipy.sparse import issparse

FOLDS = 5


def fold_rows(X, codes):
    """Return the fold of each row, (n,) int, from 0 to at most ``FOLDS - 1``, stratified by class.

    Parameters
    ----------
    X : array-like or DataFrame of n rows
    codes : ndarray of shape (n,)
        The class of each row, as integers; all equal for regression.
    """
    digests, position = np.unique(digest_rows(X), return_inverse=True)
    if len(digests) == 1:  # all rows are equal, so that any of them may be held out
        return np.arange(len(codes)) % FOLDS
    lowest = np.full(len(digests), np.iinfo(np.intp).max)
    np.minimum.at(lowest, position, codes)  # equal rows may have several labels
    folds = np.empty(len(digests), dtype=np.intp)
    folds[np.lexsort((digests, lowest))] = np.arange(len(digests)) % FOLDS
    return folds[position]


def digest_rows(X):
    """Return a hash of each row, (n,) uint64, that is independent of the dtype of X."""
    if issparse(X):
        X = X.tocsr().sorted_indices()
        rows = (slice(*X.indptr[row : row + 2]) for row in range(X.shape[0]))
        texts = (X.indices[row].astype(np.int64).tobytes() + as_bytes(X.data[row]) for row in rows)
    else:
        array = np.asarray(X)
        texts = map(as_bytes if array.dtype.kind in "biuf" else as_text, array)
    return np.array([int.from_bytes(blake2b(text, digest_size=8).digest(), "little") for text in texts], np.uint64)


def as_bytes(row):
    """Return the numbers of a row as bytes."""
    return row.astype(np.float64).tobytes()


def as_text(row):
    """Return a row of strings or objects as bytes."""
    return repr(row.tolist() if isinstance(row, np.ndarray) else row).encode()
