"""CodedClassifier: fit classifiers that reject the labels on integer codes, and decode their predictions."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from ._errors import DivergenceError
from ._labels import align_columns, encode_labels
from ._threads import type_of_target


def inner_has(method):
    """Return a check for ``available_if``: True if the wrapped estimator, fitted or not, has a method."""
    return lambda coded: hasattr(vars(coded).get("estimator_", coded.estimator), method)


class CodedClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that is fitted on the codes 0..K-1 of the sorted labels, and predicts labels.

    Parameters
    ----------
    estimator : classifier
        It is cloned, never changed.

    Attributes
    ----------
    estimator_ : classifier
        Fitted on codes. Its public attributes, such as ``feature_importances_``, are attributes of this object too.
    classes_ : ndarray of shape (classes,)
        The sorted labels in ``fit``; ``classes_[k]`` has code k.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def __getattr__(self, name):
        if name.startswith("_") or "estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.estimator_, name)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    def fit(self, X, y, **params):
        """Fit a clone of the estimator on the codes of y."""
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        self.estimator_ = clone(self.estimator)
        self.estimator_.fit(X, codes, **params)
        return self

    def predict(self, X, **params):
        """Return the labels of the predicted codes, (n,)."""
        codes = np.arange(len(self.classes_))
        return self.classes_[encode_labels(self.estimator_.predict(X, **params), codes, "the output of predict")]

    @available_if(inner_has("predict_proba"))
    def predict_proba(self, X):
        """Return the probabilities, one column per class in the order of ``classes_``."""
        columns = np.asarray(self.estimator_.predict_proba(X))
        return align_columns(columns, getattr(self.estimator_, "classes_", None), np.arange(len(self.classes_)))

    @available_if(inner_has("decision_function"))
    def decision_function(self, X):
        """Return decision values, in the order of ``classes_``."""
        return self.estimator_.decision_function(X)


def fit_model(model, X, y, params, *, classes):
    """Fit a model, or a clone on integer codes if the model rejects the labels; return the fitted estimator.

    ``classes`` is True if y has one label per row, not values or several labels. The reason for a ValueError is
    unknown, so any of them causes a second attempt with codes. If that fails too, the first error is raised.
    """
    try:
        model.fit(X, y, **params)
        return model
    except DivergenceError:  # has nothing to do with the labels
        raise
    except ValueError as error:
        if not classes or has_gaps(y) or are_codes(y) or names_classes(model) or type_of_target(y) == "continuous":
            raise
        try:
            return CodedClassifier(clone(model)).fit(X, y, **params)
        except Exception as second:
            text = str(second).partition("\n")[0]
            error.add_note(f"Fitting on integer codes of the labels failed too: {type(second).__name__}: {text}")
            raise error from None


def names_classes(model):
    """Return True if a ``class_weight`` is a dict with labels as keys, which would be taken for codes."""
    params = model.get_params().items()
    return any(isinstance(value, dict) and name.rpartition("__")[2] == "class_weight" for name, value in params)


def has_gaps(y):
    """Return True if y has floats that are not finite."""
    y = np.asarray(y)
    return y.dtype.kind == "f" and not np.isfinite(y).all()


def are_codes(y):
    """Return True if the labels are already the integers 0..K-1."""
    labels = np.unique(np.asarray(y))
    return labels.dtype.kind in "iu" and np.array_equal(labels, np.arange(len(labels)))
