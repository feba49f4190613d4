"""Members for the tests of ensembles: cheap, and each with one peculiarity."""

import os

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.naive_bayes import GaussianNB


class Says(ClassifierMixin, BaseEstimator):
    """A classifier with given predictions; the first column of X has the row indices."""

    def __init__(self, labels=None, proba=None, classes=None):
        self.labels = labels
        self.proba = proba
        self.classes = classes

    def fit(self, X, y):
        self.classes_ = np.unique(y) if self.classes is None else np.asarray(self.classes)
        self.n_features_in_ = np.shape(X)[1]
        return self

    def predict(self, X):
        return np.asarray(self.labels)[np.asarray(X)[:, 0].astype(int)]


class SaysProba(Says):
    """The same, with given probabilities."""

    def predict_proba(self, X):
        return np.asarray(self.proba)[np.asarray(X)[:, 0].astype(int)]


class Centroid(ClassifierMixin, BaseEstimator):
    """A classifier for X of any shape, with probabilities and without sample weights."""

    def fit(self, X, y):
        self.shape_ = np.shape(X)[1:]
        X = np.reshape(X, (len(X), -1))
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.unique(y)
        self.centers_ = np.stack([X[np.asarray(y) == label].mean(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, X):
        assert np.shape(X)[1:] == self.shape_
        X = np.reshape(X, (len(X), -1))
        near = np.exp(-((X[:, None] - self.centers_) ** 2).mean(axis=2))
        return near / near.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Plain(ClassifierMixin, BaseEstimator):
    """A classifier that only predicts."""

    def fit(self, X, y):
        self.model_ = Centroid().fit(X, y)
        self.classes_, self.n_features_in_ = self.model_.classes_, self.model_.n_features_in_
        return self

    def predict(self, X):
        return self.model_.predict(X)


class Mean(RegressorMixin, BaseEstimator):
    """A regressor that predicts the mean and records its sample weights."""

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = np.shape(X)[1]
        self.weights_ = sample_weight
        self.mean_ = np.average(y, weights=sample_weight)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Dies(Mean):
    """A regressor that terminates its process during fit."""

    def fit(self, X, y):
        os._exit(1)


class Fails(Mean):
    """A regressor that fails if its training rows lack row 0 (whose first column is 0)."""

    def fit(self, X, y):
        if 0 not in np.asarray(X)[:, 0]:
            raise RuntimeError("no row 0")
        return super().fit(X, y)


class WantsCodes(GaussianNB):
    """A classifier that rejects all labels except 0..K-1, like XGBoost's."""

    def fit(self, X, y, sample_weight=None):
        found = np.unique(y)
        if not np.array_equal(found, np.arange(len(found))):
            raise ValueError(f"labels must be 0..{len(found) - 1}, got {found.tolist()}")
        return super().fit(X, np.asarray(y, dtype=int), sample_weight)


class Blind(GaussianNB):
    """A classifier whose probabilities are NaN where the first column exceeds a limit."""

    def __init__(self, limit=1.5):
        super().__init__()
        self.limit = limit

    def predict_proba(self, X):
        likely = super().predict_proba(X)
        likely[np.asarray(X)[:, 0] > self.limit] = np.nan
        return likely


class BlindMean(Mean):
    """The same for a regressor."""

    def predict(self, X):
        return np.where(np.asarray(X)[:, 0] > 1.5, np.nan, super().predict(X))
