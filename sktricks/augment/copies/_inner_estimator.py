"""Inspect the wrapped estimator: the form in which it takes rows, and its class weights."""

from __future__ import annotations

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils._set_output import ADAPTERS_MANAGER

from ...tables._frames import is_frame


def first_reader(estimator):
    """Return the part of a composite estimator that receives X first."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        return first_reader(steps[0]) if steps else estimator
    inner = getattr(estimator, "estimator", getattr(estimator, "regressor", None))
    members = getattr(estimator, "estimators", None)
    if inner is None and isinstance(members, list) and members:
        inner = next((pair[1] for pair in members if hasattr(pair[1], "fit")), None)
    return first_reader(inner) if hasattr(inner, "fit") else estimator


def reads_rows(estimator):
    """Return True if images must be passed as rows, as scikit-learn's estimators require by their tags."""
    reader = first_reader(estimator)
    is_sklearn = type(reader).__module__.partition(".")[0] == "sklearn" and hasattr(reader, "__sklearn_tags__")
    if not is_sklearn or isinstance(reader, FunctionTransformer):
        return False
    return not get_tags(reader).input_tags.three_d_array


def pop_balanced(estimator):
    """Set ``class_weight`` to None if it is "balanced", in the last step of a Pipeline; return True if it was.

    It is replaced by sample weights computed from the labels before mixing. Many estimators balance by the number of
    rows, not by their weights, and would count each part of a mixed row as a whole row.
    """
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    weight = getattr(estimator, "class_weight", None)
    balanced = isinstance(weight, str) and weight == "balanced"
    if balanced:
        estimator.set_params(class_weight=None)
    return balanced


def table_kind(X):
    """Return the name of the library of a table if scikit-learn can create its tables, otherwise None."""
    libraries = (base.__module__.partition(".")[0] for base in type(X).__mro__)
    return next((name for name in libraries if is_frame(X) and name in ADAPTERS_MANAGER.adapters), None)
