"""By which keyword an estimator takes the weights of rows, if it takes any."""

from __future__ import annotations

import inspect

from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline


def weight_keyword(estimator):
    """The keyword by which ``fit`` takes sample weights, or None if it takes none.

    A signature with ``**params`` does not tell: scikit-learn's searches hand on whatever they get, in the words of
    what they wrap, while its other meta-estimators hand on nothing without metadata routing. Those of others that wrap
    an estimator which takes weights are believed to take them too.
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
    if hasattr(estimator, "estimators"):  # votes and stacks, which know what to do with them
        return "sample_weight"
    inner = getattr(estimator, "estimator", None)
    scikit_learns = type(estimator).__module__.partition(".")[0] == "sklearn"
    return "sample_weight" if inner is not None and not scikit_learns and weight_keyword(inner) else None
