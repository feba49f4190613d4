"""Clones of estimators whose backbone may be a module of hundreds of megabytes."""

from copy import copy

from sklearn.base import BaseEstimator


def clone_sharing_the_backbone(estimator, clone=BaseEstimator.__sklearn_clone__):
    """A clone as scikit-learn makes it, but with the backbone itself, which ``fit`` copies and never changes.

    A search clones its estimator for each fit, and copying all weights would take longer than fitting a head.
    """
    without = copy(estimator)
    without.backbone = None
    cloned = clone(without)
    cloned.backbone = estimator.backbone
    return cloned
