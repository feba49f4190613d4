"""A scorer as a loss of predictions that are there already."""

from __future__ import annotations

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class StoredClassifier(ClassifierMixin, BaseEstimator):
    """A classifier whose X are its probabilities, (n, classes) or (n, labels)."""

    def __init__(self, target):
        self.target = target
        self.classes_ = target.classes

    def predict_proba(self, X):
        """X itself."""
        return X

    def predict(self, X):
        """The most probable class, or each label that is more probable than not."""
        if self.target.kind == "multilabel":
            return (X > 0.5).astype(int)
        return self.target.decode(X.argmax(axis=1))


class StoredRegressor(RegressorMixin, BaseEstimator):
    """A regressor whose X are its predictions."""

    def predict(self, X):
        """X itself."""
        return X


class ScorerLoss:
    """The negated score of what ``blend(weights)`` predicts; sample weights play no part."""

    def __init__(self, scorer, stored, blend, y):
        self.scorer, self.stored, self.blend, self.y = scorer, stored, blend, y

    def __call__(self, weights):
        return -float(self.scorer(self.stored, self.blend(weights), self.y))
