"""Convert the predictions of a stack's members to columns for its final estimator, and back."""

from __future__ import annotations

import numpy as np

from ._oof import join_folds, join_votes
from ._votes import one_hot


def join_columns_of_folds(member, predictions, splits, n):
    """Return a member's out-of-fold predictions as columns, (n, columns).

    If a row has several predicted classes, the majority is used. Rows without a prediction are NaN.
    """
    if member.method != "predict" or member.target.kind == "values":
        joined = join_folds(predictions, splits, n)
    elif member.target.kind == "multilabel":
        fractions = join_folds(predictions, splits, n)
        joined = np.where(np.isnan(fractions), np.nan, fractions > 0.5)
    else:
        votes = join_votes(predictions, splits, n, member.target.width)
        joined = np.where(np.diff(votes.indptr) == 0, np.nan, np.asarray(votes.argmax(axis=1)).ravel())
    return as_columns(joined, member.method, member.target)


def as_columns(predictions, method, target):
    """Return predictions as columns, (n, columns); with two classes only the second probability."""
    if predictions.ndim == 1:
        return predictions[:, None]
    if method == "predict_proba" and target.kind == "classes" and target.width == 2:
        return predictions[:, 1:]
    return predictions


def columns_to_probabilities(columns, target):
    """Return a member's columns as probabilities, (n, classes) or, for multilabel targets, (n * labels, 2)."""
    if target.kind == "classes" and target.width == 2:
        return np.hstack([1 - columns, columns])
    return target.flatten(columns)


def columns_to_codes(columns, method, target):
    """Return a member's columns as codes, (n,) or, for multilabel targets, (n * labels,)."""
    threshold = 0 if method == "decision_function" else 0.5
    if target.kind == "multilabel":
        return (columns > threshold).astype(np.intp).ravel()
    if method == "predict":  # codes, rounded to the nearest if a regressor predicts them
        return np.clip(np.rint(columns[:, 0]), 0, target.width - 1).astype(np.intp)
    if columns.shape[1] == 1:
        return (columns[:, 0] > threshold).astype(np.intp)
    if columns.shape[1] != target.width:
        raise ValueError(
            f"there must be one decision value per class, {target.width}, got {columns.shape[1]} for pairs of classes"
        )
    return columns.argmax(axis=1)


def columns_to_votes(blocks, methods, target):
    """Return all predictions as (members, rows, classes): probabilities if all members have them, otherwise votes."""
    if all(method == "predict_proba" for method in methods):
        return np.stack([columns_to_probabilities(block, target) for block in blocks])
    codes = [columns_to_codes(block, method, target) for block, method in zip(blocks, methods, strict=True)]
    return one_hot(np.stack(codes), target.n_options)
