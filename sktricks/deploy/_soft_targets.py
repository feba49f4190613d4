"""Soft targets of a student, as pure functions, and a check for classifiers that accept them."""

from __future__ import annotations

import numpy as np
from sklearn.pipeline import Pipeline

from ..augment.copies._augmented import AugmentedClassifier
from ..ensemble._votes import TINY, normalize_logs, one_hot


def soften(probabilities, temperature):
    """Return the probabilities to the power ``1 / temperature``, normalized, (n, classes) float64."""
    logs = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), TINY, None))
    return normalize_logs(logs / temperature)


def mix_labels(probabilities, codes, weight):
    """Return the mean of probabilities and one-hot labels ``codes``, the latter with the given weight."""
    return (1 - weight) * probabilities + weight * one_hot(codes, probabilities.shape[1])


def no_zeros(probabilities):
    """Return probabilities clipped above 0: rows with only 0 and 1 would be taken for multilabel targets."""
    return np.clip(probabilities, TINY, None)


def takes_soft_targets(estimator):
    """Return True for a classifier whose ``fit`` accepts class probabilities as y."""
    from ..training._targets import ClassifierNetMixin

    if isinstance(estimator, Pipeline):
        return takes_soft_targets(estimator.steps[-1][1])
    if isinstance(estimator, AugmentedClassifier):
        return takes_soft_targets(estimator.estimator)
    return isinstance(estimator, ClassifierNetMixin)
