"""Targets of a student, as pure functions, and which classifiers learn from them."""

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
    """Return probabilities with a fraction ``weight`` of the one-hot labels ``codes``."""
    return (1 - weight) * probabilities + weight * one_hot(codes, probabilities.shape[1])


def no_zeros(probabilities):
    """Return probabilities without zeros: rows of 0 and 1 only would count as several labels per row."""
    return np.clip(probabilities, TINY, None)


def takes_soft_targets(estimator):
    """Return True for a classifier whose ``fit`` takes class probabilities as y."""
    from ..training._targets import ClassifierNetMixin

    if isinstance(estimator, Pipeline):
        return takes_soft_targets(estimator.steps[-1][1])
    if isinstance(estimator, AugmentedClassifier):
        return takes_soft_targets(estimator.estimator)
    return isinstance(estimator, ClassifierNetMixin)
