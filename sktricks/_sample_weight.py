"""Check sample weights, and find the keyword argument by which an estimator takes them."""

from __future__ import annotations

import inspect
from numbers import Real

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from ._threads import check_array


def check_weights(sample_weight, n_rows):
    """Return ``sample_weight`` as float64 of shape (n_rows,), or None; raise an error if it is negative or all zero."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_rows, float(sample_weight))
    weight = check_array(sample_weight, ensure_2d=False, dtype=np.float64, allow_nd=True, input_name="sample_weight")
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight must be 1D, one value per row: expected shape ({n_rows},), got {weight.shape}")
    if weight.min() < 0:
        raise ValueError(f"sample_weight must not be negative, got {weight.min()}")
    if not weight.any():
        raise ValueError("sample_weight must have a positive value, got zeros only")
    return weight


def weight_keyword(estimator):
    """Return the keyword by which ``fit`` takes sample weights, or None if it takes none.

    A ``**params`` signature is inconclusive. scikit-learn's searches pass all keywords to the estimator that they wrap;
    its other meta-estimators pass nothing without metadata routing. Meta-estimators of other packages are assumed to
    take weights if the wrapped estimator does.
    """
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        keyword = None if isinstance(last, str) else weight_keyword(last)
        return keyword and f"{name}__{keyword}"
    if isinstance(estimator, BaseSearchCV | TunedThresholdClassifierCV):
        return weight_keyword(estimator.estimator)
    if isinstance(estimator, TransformedTargetRegressor):
        return "sample_weight" if estimator.regressor is None else weight_keyword(estimator.regressor)
    parameters = inspect.signature(estimator.fit).parameters if hasattr(estimator, "fit") else {}
    if "sample_weight" in parameters:
        return "sample_weight"
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    if hasattr(estimator, "estimators"):  # voting and stacking, which check their members themselves
        return "sample_weight"
    inner = getattr(estimator, "estimator", None)
    is_sklearn = type(estimator).__module__.partition(".")[0] == "sklearn"
    return "sample_weight" if inner is not None and not is_sklearn and weight_keyword(inner) else None
