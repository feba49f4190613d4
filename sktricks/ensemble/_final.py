"""The importance of members for a stack's final estimator."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from ._predictions import predict_member
from ._votes import TINY


def split_halves(y, target):
    """Return two halves with similar y, as 0 or 1 for each row."""
    halves = np.arange(len(y)) % 2
    if target.kind == "multilabel":
        return halves
    similar = np.empty_like(halves)
    similar[np.argsort(y, kind="stable")] = halves
    return similar


def row_losses(model, X, y, target):
    """Return the loss of each row, (n,): squared error, log loss, or 0-1 loss without probabilities."""
    if target.kind == "values":
        return (predict_member(model, X, "predict", target) - y) ** 2
    codes = target.encode(y) if target.kind == "classes" else y.ravel()
    if not hasattr(model, "predict_proba"):
        losses = (predict_member(model, X, "predict", target).ravel() != codes).astype(float)
    else:
        probabilities = target.flatten(predict_member(model, X, "predict_proba", target))
        losses = -np.log(np.clip(probabilities[np.arange(len(codes)), codes], TINY, None))
    return losses.reshape(len(y), -1).mean(axis=1)


def crossed_loss(final, X, y, target, row_weights, params):
    """Return the loss of a final estimator by two-fold cross-validation."""
    halves, losses = split_halves(y, target), np.empty(len(y))
    for half in (0, 1):
        train, test = np.flatnonzero(halves != half), np.flatnonzero(halves == half)
        model = clone(final).fit(_safe_indexing(X, train), y[train], **_check_method_params(X, params, indices=train))
        losses[test] = row_losses(model, _safe_indexing(X, test), y[test], target)
    return float(row_weights @ losses)


def contributions_to_final(final, X, widths, y, target, row_weights, params):
    """Return the increase of the loss if the final estimator is fitted without each member, (members,).

    It is NaN for a member without which no columns are left, and for all members if the final estimator cannot be
    fitted on half of the rows.

    Parameters
    ----------
    final : estimator
    X : ndarray or sparse matrix of shape (n, columns)
        The members' columns, followed by those that are passed through.
    widths : list of int
        Number of columns of each member.
    y, target : y and target of the final estimator
    row_weights : ndarray of shape (n,)
        Weights of the rows, with sum 1.
    params : dict
        Further arguments of the final estimator's ``fit``.
    """
    ends = np.cumsum(widths)
    growth = np.full(len(widths), np.nan)
    try:
        whole = crossed_loss(final, X, y, target, row_weights, params)
        for member, (start, end) in enumerate(zip(ends - widths, ends, strict=True)):
            rest = np.r_[0:start, end : X.shape[1]]
            if len(rest):
                growth[member] = crossed_loss(final, X[:, rest], y, target, row_weights, params) - whole
    except (ValueError, UserWarning):  # too few rows, a half without a class, or warnings as errors
        growth[:] = np.nan
    return growth


def member_importances(final, X, widths):
    """Return the importance of each member for a fitted final estimator, (members,) with sum 1; None if it has none.

    It is the feature importance of the member's columns, or the magnitude of their coefficients times the columns'
    standard deviation.
    """
    if hasattr(final, "feature_importances_"):
        size = np.asarray(final.feature_importances_, dtype=np.float64)
    elif hasattr(final, "coef_") and np.ndim(final.coef_) in (1, 2):
        size = np.abs(np.atleast_2d(final.coef_)).sum(axis=0)[: sum(widths)] * _spread(X[:, : sum(widths)])
    else:
        return None
    importances = np.add.reduceat(size[: sum(widths)], np.r_[0, np.cumsum(widths)[:-1]])
    return importances / importances.sum() if importances.sum() > 0 else None


def _spread(columns):
    return np.std(columns.toarray() if sparse.issparse(columns) else np.asarray(columns, dtype=np.float64), axis=0)
