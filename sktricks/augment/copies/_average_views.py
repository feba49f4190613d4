"""Answers to several views of a row as one."""

from __future__ import annotations

import numpy as np


def mean_of(predictions):
    """Return the mean of the predictions for each view, arrays or lists of one array per output."""
    if len(predictions) == 1:
        return predictions[0]
    if isinstance(predictions[0], list):
        return [np.mean(one, axis=0) for one in zip(*predictions, strict=True)]
    return np.mean(predictions, axis=0)


def decide(predictions, method, classes, several):
    """The classes of rows.

    Parameters
    ----------
    predictions : list
        For each view what ``method`` of a classifier returned.
    method : {"predict_proba", "decision_function", "predict"}
    classes : ndarray, or list of them
        The classifier's ``classes_``.
    several : bool
        True if a row has several labels or outputs.

    Returns
    -------
    y : ndarray of shape (n,) or (n, outputs)
    """
    mean = mean_of(predictions) if method != "predict" else None
    if several:
        return _decide_each(predictions, mean, method, classes)
    if method == "decision_function" and mean.ndim == 1:
        return classes[(mean > 0).astype(np.intp)]
    if mean is None:
        mean = np.mean([one[:, None] == classes for one in predictions], axis=0)
    return classes[mean.argmax(axis=1)]


def _decide_each(predictions, mean, method, classes):
    """The same for each label, or output, by itself."""
    if isinstance(mean, list):
        return np.column_stack([own[one.argmax(axis=1)] for own, one in zip(classes, mean, strict=True)])
    if mean is None:
        mean = np.mean(predictions, axis=0)
    return (mean > (0 if method == "decision_function" else 0.5)).astype(np.intp)
