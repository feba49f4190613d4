"""Out-of-fold predictions: each row is predicted by models that were not fitted on it.

Any splitter can be used. Rows that it predicts several times get the mean; rows that it never predicts are not used for
learning, with a warning.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.model_selection import check_cv
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._splits import read_split
from .._threads import WARNING_FILTERS
from .._warnings import MissingClassesWarning, RowsWithoutPredictionWarning, warn


def make_splits(cv, X, y, target, params):
    """Return the splits as a list of (train, test), drawn once for all members.

    Parameters
    ----------
    cv : int, splitter, iterable or None
    X, y : array-like
    target : Target
    params : dict
        Further arguments of ``split``, such as ``groups``.
    """
    if isinstance(cv, Iterable) and not hasattr(cv, "split"):
        pairs = cv
    else:
        with WARNING_FILTERS():  # scikit-learn may warn about y
            cv = check_cv(cv, y, classifier=target.kind != "values")
        _check_groups(cv, params)
        try:
            with WARNING_FILTERS():  # and so may its splitters
                pairs = list(cv.split(X, y, **params))
        except (TypeError, ValueError) as error:
            raise ValueError(f"cv={cv!r} must be able to split the rows, but failed: {error}") from error
    n = _num_samples(X)
    splits = [read_split(split, n, number) for number, split in enumerate(pairs, start=1)]
    if target.kind == "classes":
        _warn_of_missing_classes(splits, y, target.classes)
    return splits


def _check_groups(cv, params):
    if isinstance(cv, GroupsConsumerMixin) and params.get("groups") is None:
        raise ValueError(
            f"cv={cv} requires groups, one per row, but fit(X, y, groups=...) got none. Inside a search, a Pipeline "
            "or another ensemble, groups are passed on only after sklearn.set_config(enable_metadata_routing=True)"
        )


def one_split(X):
    """Return the single split for members that are already fitted, on other rows than those given."""
    rows = np.arange(_num_samples(X))
    return [(rows[:0], rows)]


def _warn_of_missing_classes(splits, y, classes):
    known = np.unique(y)
    for number, (train, _) in enumerate(splits):
        missing = np.setdiff1d(known, _safe_indexing(y, train))
        if len(missing):
            warn(
                f"fold {number + 1} of {len(splits)} trains without the classes {missing.tolist()[:10]} of "
                f"{len(classes)}: its models cannot predict these",
                MissingClassesWarning,
            )


def find_covered(splits, n):
    """Return True for each row that is predicted out of fold, (n,); warn if some are not."""
    covered = np.zeros(n, dtype=bool)
    for _, test in splits:
        covered[test] = True
    if not covered.any():
        raise ValueError("cv must have test rows, got splits without any")
    if not covered.all():
        warn(
            f"cv leaves {n - covered.sum()} of {n} rows without an out-of-fold prediction: "
            "these rows are not used for learning",
            RowsWithoutPredictionWarning,
        )
    return covered


def join_folds(predictions, splits, n):
    """Return the mean prediction of each row, (n, ...) float; NaN for rows without any."""
    first = predictions[0]
    dtype = first.dtype if first.dtype.kind == "f" else np.float64
    total, times = np.zeros((n, *first.shape[1:]), dtype=dtype), np.zeros(n, dtype=dtype)
    for part, (_, test) in zip(predictions, splits, strict=True):
        np.add.at(total, test, part)
        np.add.at(times, test, 1)
    times[times == 0] = np.nan
    return total / times.reshape(-1, *[1] * (total.ndim - 1))


def join_votes(predictions, splits, n, n_classes):
    """Return the fraction of the votes for each class, as a CSR matrix (n, classes); empty for rows without votes.

    With thousands of classes, a dense array would be large, but each row has votes for only a few.
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
    """Return votes with columns only for the relevant classes of each row: those with votes, and the true one.

    Parameters
    ----------
    votes : list of CSR matrices of shape (rows, classes)
        The votes of each member.
    codes : ndarray of shape (rows,)
        The true classes.

    Returns
    -------
    compact : ndarray of shape (members, rows, options)
    true : ndarray of shape (rows,)
        The true classes, as indices of the options.
    options : ndarray of shape (rows, options)
        The class of each option, in ascending order; the number of classes for unused options.
    """
    n, n_classes = votes[0].shape
    true = np.arange(n) * n_classes + codes
    keys = [_keys(own) for own in votes]
    used = np.unique(np.concatenate([true, *keys]))
    starts = np.searchsorted(used, np.arange(n) * n_classes)

    def locate(keys):
        rows = keys // n_classes
        return rows, np.searchsorted(used, keys) - starts[rows]

    shape = n, int(locate(used)[1].max()) + 1
    compact, options = np.zeros((len(votes), *shape)), np.full(shape, n_classes)
    options[locate(used)] = used % n_classes
    for member, own, own_keys in zip(compact, votes, keys, strict=True):
        member[locate(own_keys)] = own.data
    return compact, locate(true)[1], options


def spread_out(columns, options, n_classes):
    """Convert columns of options, (rows, options), to columns of classes, (rows, classes)."""
    spread = np.zeros((len(columns), n_classes + 1))
    np.put_along_axis(spread, options, columns, axis=1)
    return spread[:, :n_classes]


def _keys(matrix):
    """Return row * classes + class for each stored value of a CSR matrix."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return rows * matrix.shape[1] + matrix.indices
