"""Combine the predictions for several views of a row."""

from __future__ import annotations

import numpy as np


def mean_of(predictions):
    """Return the mean over views of predictions, which are arrays or lists of one array per output."""
    if len(predictions) == 1:
        return predictions[0]
    if isinstance(predictions[0], list):
        return [np.mean(one, axis=0) for one in zip(*predictions, strict=True)]
    return np.mean(predictions, axis=0)


def decide(predictions, method, classes, several):
    """Return the predicted classes, or 0/1 columns for multilabel targets.

    Parameters
    ----------
    predictions : list
        Results of ``method`` of a classifier, one for each view.
    method : {"predict_proba", "decision_function", "predict"}
    classes : ndarray or list of ndarray
        The classifier's ``classes_``.
    several : bool
        True if a row has several labels or outputs.

    Returns
    -------
    y : ndarray of shape (n,) or (n, outputs)
    """
    if method == "predict" and not several:
        predictions = [one[:, None] == classes for one in predictions]  # votes
    mean = mean_of(predictions)
    if isinstance(mean, list):
        return np.column_stack([own[one.argmax(axis=1)] for own, one in zip(classes, mean, strict=True)])
    if several or mean.ndim == 1:
        positive = (mean > (0 if method == "decision_function" else 0.5)).astype(np.intp)
        return positive if several else classes[positive]
    return classes[mean.argmax(axis=1)]
