"""Use a scorer as a loss for stored predictions."""

from __future__ import annotations

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer


class StoredClassifier(ClassifierMixin, BaseEstimator):
    """A classifier whose X is its probabilities, (n, classes) or (n, labels)."""

    def __init__(self, target):
        self.target = target
        self.classes_ = target.classes

    def predict_proba(self, X):
        """Return X."""
        return X

    def predict(self, X):
        """Return the most probable class, or 1 for each label with a probability above 0.5."""
        if self.target.kind == "multilabel":
            return (X > 0.5).astype(int)
        return self.target.decode(X.argmax(axis=1))


class StoredRegressor(RegressorMixin, BaseEstimator):
    """A regressor whose X is its predictions."""

    def predict(self, X):
        """Return X."""
        return X


def scorer_loss(scoring, stored, predict, y):
    """Return a loss of weights: the negated score of ``predict(weights)``, without sample weights."""
    scorer = get_scorer(scoring)
    return lambda weights: -float(scorer(stored, predict(weights), y))
