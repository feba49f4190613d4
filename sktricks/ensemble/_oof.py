"""Out-of-fold predictions: each row is predicted by models that have not seen it.

Any splitter will do. Rows that it predicts more than once get the mean; rows that it never predicts are left out of
whatever is learned, with a warning.
"""

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from ._votes import one_hot
from ._warnings import MissingClassesWarning, RowsWithoutPredictionWarning, warn


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
    cv = check_cv(cv, y, classifier=target.kind != "values")
    if isinstance(cv, GroupsConsumerMixin) and params.get("groups") is None:
        raise ValueError(f"cv={cv} needs groups, one a row: fit(X, y, groups=...) got none")
    splits = [(np.asarray(train), np.asarray(test)) for train, test in cv.split(X, y, **params)]
    if target.kind == "classes":
        _warn_of_missing_classes(splits, y, target.classes)
    return splits


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
    """As :func:`join_folds` for codes of classes: the share of votes for each, (n, classes)."""
    return join_folds([one_hot(codes, n_classes) for codes in predictions], splits, n)


def _as_floats(values):
    return values if values.dtype.kind == "f" else values.astype(np.float64)
