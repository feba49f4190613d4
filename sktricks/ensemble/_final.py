"""How a stack's final estimator uses its members."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from .._labels import encode_labels
from ._members import answer
from ._votes import TINY, as_questions


def split_halves(y, target):
    """Two halves that are alike in y, (n,) of 0 and 1."""
    halves = np.arange(len(y)) % 2
    if target.kind == "multilabel":
        return halves
    alike = np.empty_like(halves)
    alike[np.argsort(y, kind="stable")] = halves
    return alike


def row_losses(model, X, y, target):
    """The loss of each row, (n,): squared error, log loss, or without probabilities 1 for each error."""
    if target.kind == "values":
        return (answer(model, X, "predict", target) - y) ** 2
    if not hasattr(model, "predict_proba"):
        said, truth = answer(model, X, "predict", target), y
        if target.kind == "classes":
            return (said != encode_labels(truth, target.classes)).astype(float)
        return (said != truth).mean(axis=1)
    likely = answer(model, X, "predict_proba", target)
    if target.kind == "classes":
        return -np.log(np.clip(likely[np.arange(len(y)), encode_labels(y, target.classes)], TINY, None))
    questions = as_questions(likely)[np.arange(y.size), y.ravel()]
    return -np.log(np.clip(questions, TINY, None)).reshape(y.shape).mean(axis=1)


def crossed_loss(final, X, y, target, shares, params):
    """The loss of a final estimator that is fitted on either half and judged on the other."""
    halves, losses = split_halves(y, target), np.empty(len(y))
    for half in (0, 1):
        train, test = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
        model = clone(final).fit(_safe_indexing(X, train), y[train], **_check_method_params(X, params, indices=train))
        losses[test] = row_losses(model, _safe_indexing(X, test), y[test], target)
    return float(shares @ losses)


def leave_members_out(final, X, widths, y, target, shares, params):
    """By how much the loss grows if the final estimator does without each member; (members,).

    NaN for a member that leaves nothing behind, and for all where the final estimator cannot be fitted on half of the
    rows.

    Parameters
    ----------
    final : estimator
    X : ndarray or sparse matrix of shape (n, columns)
        The members' columns, then what is passed through.
    widths : list of int
        Columns of each member.
    y, target : as the final estimator sees them
    shares : ndarray of shape (n,)
        How much each row counts, of sum 1.
    params : dict
        What the final estimator's ``fit`` gets besides.
    """
    ends = np.cumsum(widths)
    growth = np.full(len(widths), np.nan)
    try:
        whole = crossed_loss(final, X, y, target, shares, params)
        for member, (start, end) in enumerate(zip(ends - widths, ends, strict=True)):
            rest = np.r_[0:start, end : X.shape[1]]
            if len(rest):
                growth[member] = crossed_loss(final, X[:, rest], y, target, shares, params) - whole
    except (ValueError, UserWarning):  # too few rows for neighbors, a half without a class, a warning that is an error
        growth[:] = np.nan
    return growth


def lean_on_members(final, X, widths):
    """How much a fitted final estimator leans on each member, (members,) of sum 1; None where it does not tell.

    By the importance of the member's columns, or by the size of their coefficients times what the columns vary.
    """
    if hasattr(final, "feature_importances_"):
        size = np.asarray(final.feature_importances_, dtype=np.float64)
    elif hasattr(final, "coef_") and np.ndim(final.coef_) in (1, 2):
        size = np.abs(np.atleast_2d(final.coef_)).sum(axis=0)[: sum(widths)] * _spread(X[:, : sum(widths)])
    else:
        return None
    lean = np.add.reduceat(size[: sum(widths)], np.r_[0, np.cumsum(widths)[:-1]])
    return lean / lean.sum() if lean.sum() > 0 else None


def _spread(columns):
    return np.std(columns.toarray() if sparse.issparse(columns) else np.asarray(columns, dtype=np.float64), axis=0)
