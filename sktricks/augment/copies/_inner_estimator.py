"""The form in which the estimator inside takes its rows."""

from __future__ import annotations

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils._set_output import ADAPTERS_MANAGER


def first_reader(estimator):
    """Return the part of an estimator that receives X first."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        return first_reader(steps[0]) if steps else estimator
    inner = getattr(estimator, "estimator", getattr(estimator, "regressor", None))
    members = getattr(estimator, "estimators", None)
    if inner is None and isinstance(members, list) and members:
        inner = next((pair[1] for pair in members if hasattr(pair[1], "fit")), None)
    return first_reader(inner) if hasattr(inner, "fit") else estimator


def reads_rows(estimator):
    """Return True if images must come as rows: scikit-learn's estimators with tags take nothing else."""
    reader = first_reader(estimator)
    scikit_learns = type(reader).__module__.partition(".")[0] == "sklearn" and hasattr(reader, "__sklearn_tags__")
    if not scikit_learns or isinstance(reader, FunctionTransformer):
        return False
    return not get_tags(reader).input_tags.three_d_array


def take_balance(estimator):
    """Return True if ``class_weight`` of the last step of a Pipeline was "balanced"; it is None from then on.

    Weights of the rows do the same, from the labels before mixing. Many estimators count rows, whatever they weigh, and
    of a mixed row they would count each part as a whole one.
    """
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    weight = getattr(estimator, "class_weight", None)
    balanced = isinstance(weight, str) and weight == "balanced"
    if balanced:
        estimator.set_params(class_weight=None)
    return balanced


def table_kind(X):
    """The name of the library whose table X is, among those that scikit-learn makes tables of; None for others."""
    if not hasattr(X, "columns"):
        return None
    return next((name for name, adapter in ADAPTERS_MANAGER.adapters.items() if is_of(adapter, X)), None)


def is_of(adapter, X):
    """Return True if X is a table of a library, which may not be installed."""
    try:
        return adapter.is_supported_container(X)
    except ImportError:
        return False
