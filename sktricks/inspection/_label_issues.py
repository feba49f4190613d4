"""find_label_issues: find labels that are probably wrong, from out-of-fold predictions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import clone, is_classifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._coded import fit_model, has_gaps
from .._labels import align_columns, check_labels, encode_labels
from .._layout import find_layout
from .._optional import import_optional
from .._parameter_checks import check_verbose
from .._progress import progress
from .._splits import read_split
from .._text import name_some
from .._threads import column_or_1d, type_of_target
from ..ensemble._oof import join_folds
from ..images._image_column import as_column
from ..tables._frames import is_frame, is_missing
from ._confident_learning import find_wrong_labels, own_probability
from ._duplicates import find_duplicates
from ._equal_rows import number_digests, number_table
from ._seen_rows import warn_of_seen_rows

SUM_TOLERANCE = 1e-3


def find_label_issues(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    cv: Any = 5,
    pred_probs: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    verbose: int = 0,
) -> Any:
    """Find labels that are probably wrong, by confident learning on out-of-fold probabilities.

    Copies of the estimator are fitted on all folds but one and predict the rows of the remaining one. A label is an
    issue if another class has a higher out-of-fold probability, and the row is among the most suspicious ones; their
    number is the estimated noise between the two classes [1]_. Look at the rows before you change labels:
    :class:`LabelIssuesDisplay`.

    Copies of a row share a fold. Otherwise a model that was trained on one copy with a wrong label would confirm the
    label of the other. :func:`find_duplicates` finds the copies.

    Parameters
    ----------
    estimator : classifier
        Any classifier with ``predict_proba``; not changed. May be None if ``pred_probs`` is given. A
        :class:`~sklearn.frozen.FrozenEstimator` must not have been fitted on X, otherwise it confirms wrong labels.
    X : array-like of shape (n, ...)
        The rows, in any form that the estimator accepts: images, a table, or one column of image files.
    y : array-like of shape (n,)
        The given labels.
    cv : int, splitter or iterable, default=5
        Number of folds, which are stratified, or any splitter. A splitter receives ``groups`` if given; duplicates are
        then not searched for.
    pred_probs : array-like of shape (n, classes), default=None
        Out-of-fold probabilities, if you have them, with one column per class, in the order of the sorted labels. Then
        nothing is fitted. Probabilities from a model that was fitted on the same rows find few issues.
    groups : array-like of shape (n,), default=None
        Rows of one group share a fold, such as photos of one object. None: duplicates share a fold.
    verbose : int, default=0
        0: silent. 1: bars of folds, and of images that are compared. 2: lines in the log instead.

    Returns
    -------
    issues : pandas.DataFrame
        One row per sample, in the order and with the index of X, or that of y if X has none:

        - ``is_label_issue``: True if the label is probably wrong;
        - ``label_quality``: the out-of-fold probability of the given label, from 0 to 1; the lowest are the most
          suspicious;
        - ``given_label`` and ``predicted_label``: the label in y, and the most probable class;
        - ``path``: the file, if X is a column of paths of image files.

        The names of the first four are those of cleanlab.

    Raises
    ------
    ValueError
        If ``estimator`` is not a classifier with ``predict_proba``; if y and X differ in length, or y has continuous
        values, missing labels or only one class; if a class has fewer rows than there are folds, or is missing in the
        training rows of a fold; if a fold trains on rows that it tests; or if ``pred_probs`` has a wrong shape, NaN, or
        rows that do not sum to 1.
    ImportError
        If pandas is not installed.

    See Also
    --------
    LabelIssuesDisplay : A figure of the most suspicious rows.
    find_duplicates : Copies of rows, also on both sides of a split.

    Notes
    -----
    A poor classifier finds many issues, since its own errors count as issues. The order by ``label_quality`` is still
    useful. If more than half of the rows of a table equal others, equal rows do not count as copies, and need not share
    a fold.

    References
    ----------
    .. [1] C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", Journal of
       Artificial Intelligence Research 70, 2021. https://arxiv.org/abs/1911.00068

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktricks import find_label_issues
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = X[:300] / 16, y[:300].copy()
    >>> y[7] = 1  # a 7
    >>> issues = find_label_issues(LogisticRegression(), X, y)
    >>> suspicious = issues[issues.is_label_issue].sort_values("label_quality")
    >>> suspicious[["given_label", "predicted_label"]].head(1)
       given_label  predicted_label
    7            1                7
    """
    check_verbose(verbose)
    pandas = import_optional("pandas", "images")  # before the estimators are fitted
    labels = check_given_labels(y, len(y) if X is None else _num_samples(X))
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y must have at least two classes, got only {classes.tolist()}")
    if pred_probs is None:
        check_estimator(estimator)
        warn_of_seen_rows({"estimator": estimator})
        splits = split_rows(estimator, X, labels, classes, cv, groups, verbose)
        proba = predict_out_of_fold(estimator, X, labels, splits, classes, verbose)
    elif groups is not None:
        raise ValueError("groups decides which rows share a fold, and pred_probs replaces the folds: pass one of them")
    else:
        proba = check_probabilities(np.asarray(pred_probs), len(labels), classes, "pred_probs")
    columns = {
        "is_label_issue": find_wrong_labels(codes, proba),
        "label_quality": own_probability(codes, proba),
        "given_label": labels,
        "predicted_label": classes[proba.argmax(axis=1)],
    }
    files = image_files_of(X)
    if files is not None and not isinstance(files[0], bytes):
        columns["path"] = [os.fsdecode(file) for file in files]
    indices = [getattr(one, "index", None) for one in (X, y)]
    index = next((one for one in indices if one is not None and not callable(one)), None)  # lists have such a method
    return pandas.DataFrame(columns, index=index)


# -- checks ------------------------------------------------------------------------------------------------------------


def check_given_labels(y, n):
    """Return y as an array of n labels without missing values."""
    labels = np.asarray(column_or_1d(y))
    if len(labels) != n:
        raise ValueError(f"y must have one label per row of X, {n}, got {len(labels)}")
    missing = np.flatnonzero([is_missing(label) for label in labels]) if labels.dtype == object else []
    if has_gaps(labels) or len(missing):
        raise ValueError("y must have a label for each row, got missing ones: leave out rows without a label")
    check_labels(labels)
    if type_of_target(labels).startswith("continuous"):
        raise ValueError(f"y must hold classes, got continuous values such as {labels[0]}")
    return labels


def check_estimator(estimator):
    """Raise an error unless an estimator is a classifier with probabilities."""
    if estimator is None or isinstance(estimator, type) or not is_classifier(estimator):
        raise ValueError(f"estimator must be a classifier with predict_proba, got {estimator!r:.200}")
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"estimator must have predict_proba, {type(estimator).__name__} has none: "
            "CalibratedClassifierCV(estimator) adds it"
        )


def check_probabilities(proba, n, classes, name):
    """Return probabilities as floats, or raise an error that states the problem."""
    if proba.shape != (n, len(classes)):
        raise ValueError(
            f"{name} must have a row per sample and a column per class of y, in the order of the sorted classes, "
            f"{(n, len(classes))}, got {proba.shape}"
        )
    try:
        proba = proba.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    if not np.isfinite(proba).all():
        row = np.argmin(np.isfinite(proba).all(axis=1))
        raise ValueError(f"{name} must be finite, got NaN or infinity in row {row}")
    sums = proba.sum(axis=1)
    worst = np.abs(sums - 1).argmax()
    if proba.min() < 0 or abs(sums[worst] - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"{name} must hold probabilities, which are not negative and sum to 1 in each row, got the sum "
            f"{sums[worst]:.4g} in row {worst} and the smallest value {proba.min():.4g}"
        )
    return proba


def check_members(codes, classes, n_folds):
    """Raise an error that names a class with fewer rows than there are folds."""
    counts = np.bincount(codes, minlength=len(classes))
    if counts.min() < n_folds:
        few = [f"{classes[code]!s} ({counts[code]})" for code in np.flatnonzero(counts < n_folds)]
        raise ValueError(
            f"cv={n_folds} needs at least {n_folds} rows of each class, got fewer of {name_some(few)}: choose fewer "
            "folds, or leave these classes out"
        )


# -- folds -------------------------------------------------------------------------------------------------------------


def split_rows(estimator, X, labels, classes, cv, groups, verbose=0):
    """Return the splits as a list of (train, test); each class is in every training part."""
    n, codes = len(labels), encode_labels(labels, classes)
    groups = None if groups is None else check_groups(groups, n)
    cv = 5 if cv is None else cv
    if isinstance(cv, Integral):
        if isinstance(cv, bool) or cv < 2:
            raise ValueError(f"cv must be at least 2 folds, got {cv}")
        check_members(codes, classes, cv)
        if groups is None:
            groups = find_copies(estimator, X, verbose)
        elif groups.max() + 1 < cv:
            raise ValueError(f"cv={cv} needs at least {cv} groups, got {groups.max() + 1}: choose fewer folds")
        cv = StratifiedKFold(cv) if groups is None else StratifiedGroupKFold(cv)
    is_splitter = hasattr(cv, "split") and not isinstance(cv, str)
    pairs = cv.split(X, labels, groups) if is_splitter else cv
    if isinstance(cv, str) or not isinstance(pairs, Iterable):
        raise ValueError(
            f"cv must be a number of folds, a splitter, or pairs (train, test) of indices, got {cv!r:.200}"
        )
    splits = [read_split(pair, n, number) for number, pair in enumerate(pairs, start=1)]
    check_splits(splits, codes, classes)
    return splits


def check_groups(groups, n):
    """Return groups as numbers, one per row."""
    values = np.asarray(groups, dtype=object)
    if values.shape != (n,):
        raise ValueError(f"groups must have one value per row of X, {n}, got an array of shape {values.shape}")
    return number_digests(values.tolist())


def check_splits(splits, codes, classes):
    """Raise an error if a row is never predicted, or a training part lacks a class."""
    times = np.bincount(np.concatenate([np.empty(0, int), *[test for _, test in splits]]), minlength=len(codes))
    if times.min() == 0:
        raise ValueError(f"cv must predict every row, got {np.sum(times == 0)} of {len(codes)} rows in no test part")
    for number, (train, _) in enumerate(splits, start=1):
        missing = np.flatnonzero(np.bincount(codes[train], minlength=len(classes)) == 0)
        if len(missing):
            raise ValueError(
                f"fold {number} of {len(splits)} trains without the classes {name_some(classes[missing].tolist())}: "
                "all of their rows are in its test part, as copies of one another or by cv and groups. Leave these "
                "classes out"
            )


def find_copies(estimator, X, verbose=0):
    """Return the group of each row, with copies in one group, or None if there are no copies."""
    if issparse(X):
        return None
    shape = image_shape_of(estimator)
    values = X if is_frame(X) else np.asarray(X)
    if image_files_of(X) is not None or holds_images(values, shape):
        groups = find_duplicates(X, image_shape=shape if len(values.shape) == 2 else None, verbose=verbose).groups
        return groups if len(np.unique(groups)) < len(groups) else None
    groups = number_table(values if is_frame(X) else values.reshape(len(values), -1))
    return groups if len(groups) / 2 <= groups.max() + 1 < len(groups) else None


def holds_images(values, image_shape):
    """Return True for an array of images, or rows of pixels; False for a table, or signals of several channels."""
    array = np.asarray(values)
    try:
        layout = find_layout(array.shape, image_shape if array.ndim == 2 else None)
    except ValueError:
        return False
    return layout.image_shape is not None and (array.dtype.kind in "bui" or is_finite(array))


def is_finite(array):
    """Return True for floats without NaN and infinity."""
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())


def image_shape_of(estimator):
    """Return the ``image_shape`` among the parameters of an estimator and its parts, or None."""
    found = [value for name, value in estimator.get_params().items() if name.rpartition("__")[2] == "image_shape"]
    return next((shape for shape in found if shape is not None), None)


def image_files_of(X):
    """Return the paths or bytes of image files, or None if X holds something else, such as texts."""
    if X is None or issparse(X):
        return None
    sources = as_column(X["path"] if "path" in getattr(X, "columns", ()) else X)
    if sources is None or (isinstance(sources[0], str) and not os.path.isfile(sources[0])):
        return None
    return sources


def predict_out_of_fold(estimator, X, labels, splits, classes, verbose=0):
    """Return the out-of-fold probabilities of each row, (n, classes)."""
    X = X if hasattr(X, "shape") or hasattr(X, "iloc") else list(X)
    predictions = []
    with progress(len(splits), "find_label_issues", "fold", verbose) as done:
        for train, test in splits:
            model = fit_model(clone(estimator), _safe_indexing(X, train), labels[train], {}, classes=True)
            proba = np.asarray(model.predict_proba(_safe_indexing(X, test)))
            predictions.append(align_columns(proba, model.classes_, classes))
            done.step()
    joined = join_folds(predictions, splits, len(labels))
    return check_probabilities(joined, len(labels), classes, "the output of predict_proba")
