"""FoldModels: the models of all folds as one estimator."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from ._predictions import predict_member
from ._votes import hard_vote


class FoldModels(BaseEstimator):
    """The models of a member, one per fold, as one that averages them; classes are voted for.

    Parameters
    ----------
    estimators : list of estimators
        Fitted.
    target : Target
        What they predict.

    Attributes
    ----------
    classes_ : ndarray or list
        Those of the ensemble.
    """

    def __init__(self, estimators, target):
        self.estimators = estimators
        self.target = target

    def __sklearn_is_fitted__(self):
        return True

    def __getattr__(self, name):
        if name in ("n_features_in_", "feature_names_in_"):
            return getattr(self.estimators[0], name)
        if name == "classes_" and self.target.kind != "values":
            return self.target.classes
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _predict_all(self, X, method):
        return np.stack([predict_member(one, X, method, self.target) for one in self.estimators])

    def predict(self, X):
        """Return the class with most votes, or the mean of the values."""
        predictions = self._predict_all(X, "predict")
        if self.target.kind == "classes":
            return self.target.decode(hard_vote(predictions, self.target.width))
        mean = predictions.mean(axis=0)
        return (mean > 0.5).astype(np.intp) if self.target.kind == "multilabel" else mean

    def predict_proba(self, X):
        """Return the mean probabilities."""
        return self._predict_all(X, "predict_proba").mean(axis=0)

    def decision_function(self, X):
        """Return the mean decision values; (n,) for two classes."""
        values = self._predict_all(X, "decision_function").mean(axis=0)
        return values[:, 0] if values.shape[1] == 1 else values
