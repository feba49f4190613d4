"""Classifiers that always predict the label of the largest probability, so that one prediction gives both."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from ._compare_outputs import Outputs

# Classes of scikit-learn and of this package whose predict takes the argmax of predict_proba.
BY_PROBABILITY = {
    "BaggingClassifier",
    "CalibratedClassifierCV",
    "ExtraTreesClassifier",
    "NetEnsembleClassifier",
    "RandomForestClassifier",
    "VotingClassifier",
}
PACKAGES = ("sklearn", "sktricks")


def follows_probabilities(estimator, expected: Outputs) -> bool:
    """Return True if an estimator predicts the label of its largest probability, by its class and for given rows."""
    last = last_step(estimator)
    if type(last).__name__ not in BY_PROBABILITY or type(last).__module__.partition(".")[0] not in PACKAGES:
        return False
    if not {"label", "probabilities"} <= expected.keys() or getattr(last, "voting", "soft") == "hard":
        return False
    labels, probabilities = expected["label"], expected["probabilities"]
    if labels.ndim != 1 or probabilities.shape[1:] != np.shape(estimator.classes_):
        return False
    return bool((labels == largest(estimator, probabilities)).all())


def largest(estimator, probabilities: np.ndarray) -> np.ndarray:
    """Return the labels of the largest probabilities."""
    return np.asarray(estimator.classes_)[probabilities.argmax(axis=1)]


def last_step(estimator) -> BaseEstimator:
    """Return the estimator that makes the predictions inside pipelines, searches and frozen estimators."""
    kind = type(estimator).__name__
    if kind == "Pipeline":
        return last_step(estimator.steps[-1][1])
    if kind == "FrozenEstimator":
        return last_step(estimator.estimator)
    return last_step(estimator.best_estimator_) if hasattr(estimator, "best_estimator_") else estimator
