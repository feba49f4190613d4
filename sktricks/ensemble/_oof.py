"""Out-of-fold predictions: each row is predicted by models that have not seen it.

Any splitter will do. Rows that it predicts more than once get the mean; rows that it never predicts are left out of
whatever is learned, with a warning.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.model_selection import check_cv
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._threads import FILTERS
from .._warnings import MissingClassesWarning, RowsWithoutPredictionWarning, warn


def make_splits(cv, X, y, target, params):
    """The splits as a list of (train, test), drawn once for all members.

    Parameters
    ----------
    cv : int, splitter, iterable or None
    X, y : array-like
    target : Target
    params : dict
        What ``split`` gets besides X and y, such as ``groups``.
    """
    if isinstance(cv, Iterable) and not hasattr(cv, "split"):
        found = cv
    else:
        with FILTERS():  # scikit-learn checks y there
            cv = check_cv(cv, y, classifier=target.kind != "values")
        _check_groups(cv, params)
        try:
            with FILTERS():  # and in its splitters
                found = list(cv.split(X, y, **params))
        except (TypeError, ValueError) as error:
            raise ValueError(f"cv={cv!r} must be able to split the rows, but failed: {error}") from error
    n = _num_samples(X)
    splits = [read_split(split, n, number) for number, split in enumerate(found, start=1)]
    if target.kind == "classes":
        _warn_of_missing_classes(splits, y, target.classes)
    return splits


def _check_groups(cv, params):
    if isinstance(cv, GroupsConsumerMixin) and params.get("groups") is None:
        raise ValueError(
            f"cv={cv} needs groups, one per row, and fit(X, y, groups=...) got none. Inside a search, a Pipeline or "
            "another ensemble, groups arrive only after sklearn.set_config(enable_metadata_routing=True)"
        )


def read_split(split, n, number):
    """Return the training and the test rows of a split as arrays of indices."""
    try:
        parts = [np.asarray(part) for part in split]
    except (TypeError, ValueError):
        parts = []
    parts = [np.flatnonzero(part) if part.dtype == bool and part.shape == (n,) else part for part in parts]
    fits = [part.ndim == 1 and part.dtype.kind in "iu" and np.all((part >= -n) & (part < n)) for part in parts]
    if len(fits) != 2 or not all(fits):
        raise ValueError(
            f"cv must be a number of folds, a splitter, or pairs (train, test) of indices of the {n} rows, "
            f"got {split!r} as split {number}"
        )
    return tuple(part % n for part in parts)  # -1 is the last row


def whole(X):
    """The given rows as the one split of members that are fitted already, and have not seen them."""
    rows = np.arange(_num_samples(X))
    return [(rows[:0], rows)]


def _warn_of_missing_classes(splits, y, classes):
    known = np.unique(y)
    for number, (train, _) in enumerate(splits):
        missing = np.setdiff1d(known, _safe_indexing(y, train))
        if len(missing):
            warn(
                f"fold {number + 1} of {len(splits)} trains without the classes {missing.tolist()[:10]} of "
                f"{len(classes)}: its models cannot predict them",
                MissingClassesWarning,
            )


def find_covered(splits, n):
    """Which rows are predicted out of fold, (n,) bool; a warning where some are not, an error where none is."""
    covered = np.zeros(n, dtype=bool)
    for _, test in splits:
        covered[test] = True
    if not covered.any():
        raise ValueError("cv predicts no row at all")
    if not covered.all():
        warn(
            f"cv leaves {n - covered.sum()} of {n} rows without an out-of-fold prediction: "
            "nothing is learned from them",
            RowsWithoutPredictionWarning,
        )
    return covered


def join_folds(predictions, splits, n):
    """The mean of the predictions of each row, (n, ...) float; NaN where there is none."""
    first = _as_floats(predictions[0])
    total, times = np.zeros((n, *first.shape[1:]), dtype=first.dtype), np.zeros(n, dtype=first.dtype)
    for said, (_, test) in zip(predictions, splits, strict=True):
        np.add.at(total, test, said)
        np.add.at(times, test, 1)
    times[times == 0] = np.nan
    return total / times.reshape(-1, *[1] * (total.ndim - 1))


def join_votes(predictions, splits, n, n_classes):
    """As :func:`join_folds` for codes of classes: the fraction of votes for each class, a CSR matrix (n, classes).

    A row without a prediction is empty. Of thousands of classes each row has few, so no array holds them all.
    """
    rows, codes = np.concatenate([test for _, test in splits]), np.concatenate(predictions)
    counts = csr_matrix((np.ones(len(rows)), (rows, codes)), shape=(n, n_classes))
    counts.sum_duplicates()
    counts.data /= np.repeat(np.bincount(rows, minlength=n), np.diff(counts.indptr))
    return counts


def as_array(joined, covered):
    """Return joined predictions as an array (n, ...), with NaN in rows that have none."""
    if not issparse(joined):
        return joined
    joined = joined.toarray()
    joined[~covered] = np.nan
    return joined


def compact_votes(votes, codes):
    """Return votes with columns only for the classes that count in a row: those with a vote, and the true one.

    Parameters
    ----------
    votes : list of CSR matrices of shape (rows, classes)
        Of each member.
    codes : ndarray of shape (rows,)
        The true classes.

    Returns
    -------
    compact : ndarray of shape (members, rows, options)
    true : ndarray of shape (rows,)
        The true classes as options.
    options : ndarray of shape (rows, options)
        The class of each option, ascending; unused ones hold the number of classes, which is none.
    """
    n, n_classes = votes[0].shape
    used = sum(votes, csr_matrix((np.ones(n), (np.arange(n), codes)), shape=(n, n_classes)))
    used.sort_indices()
    keys = _keys(used)
    starts = used.indptr.astype(np.int64)

    def places(own, rows):
        return np.searchsorted(keys, own) - starts[rows]

    shape = n, int(np.diff(starts).max())
    compact, options = np.zeros((len(votes), *shape)), np.full(shape, n_classes)
    rows = keys // n_classes
    options[rows, places(keys, rows)] = used.indices
    for member, own in zip(compact, votes, strict=True):
        rows = _keys(own) // n_classes
        member[rows, places(_keys(own), rows)] = own.data
    return compact, places(np.arange(n) * n_classes + codes, np.arange(n)), options


def spread_out(columns, options, n_classes):
    """Return columns of options, (rows, options), as columns of classes, (rows, classes)."""
    whole = np.zeros((len(columns), n_classes + 1))
    np.put_along_axis(whole, options, columns, axis=1)
    return whole[:, :n_classes]


def _keys(matrix):
    """Return row and class of each stored value of a CSR matrix as one number, ascending."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return rows * matrix.shape[1] + matrix.indices


def _as_floats(values):
    return values if values.dtype.kind == "f" else values.astype(np.float64)
