"""The classes that are stored without skops: our own, containers around them, and common scikit-learn steps."""

from __future__ import annotations

from functools import cache

from ._codec import require
from ._descriptions import find_undescribed
from ._steps import step_classes
from ._stored_params import find_wrong_param


def is_own(value):
    """Return True for an instance of one of our public classes, but not of a subclass."""
    import sktricks

    cls = type(value)
    return cls.__name__ in sktricks.__all__ and getattr(sktricks, cls.__name__) is cls and hasattr(cls, "get_params")


def own_class(name):
    """Return one of our public estimators and callbacks by name."""
    import sktricks

    cls = getattr(sktricks, name) if name in sktricks.__all__ else None
    known = isinstance(cls, type) and hasattr(cls, "get_params")
    require(known, f"must be an estimator of a known class, got the unknown class {name!r:.60}")
    return cls


@cache
def containers():
    """Return the classes that contain other estimators, scikit-learn's and two of ours, and common steps, by name."""
    from sklearn import ensemble, frozen, pipeline, preprocessing

    from .._coded import CodedClassifier
    from ..ensemble._fold_models import FoldModels

    classes = [
        *(FoldModels, CodedClassifier),
        *(pipeline.Pipeline, pipeline.FeatureUnion, frozen.FrozenEstimator, preprocessing.LabelEncoder),
        *(ensemble.VotingClassifier, ensemble.VotingRegressor),
        *(ensemble.StackingClassifier, ensemble.StackingRegressor),
    ]
    return {**{cls.__name__: cls for cls in classes}, **step_classes()}


def is_container(value):
    """Return True for an instance of one of :func:`containers`; a common step must have no undescribed attributes."""
    cls = type(value)
    return containers().get(cls.__name__) is cls and find_unknown(value) is None


def find_unknown(value):
    """Return the name of an attribute or parameter of a common step that is not described, or None."""
    cls = type(value)
    if step_classes().get(cls.__name__) is not cls:
        return None
    params, learned, _ = parts_of(value)
    wrong = find_wrong_param(cls, params) or find_undescribed(cls, learned)
    return None if wrong is None else wrong[0]


def container_class(name):
    """Return one of :func:`containers` by name."""
    require(name in containers(), f"must be an estimator of a known class, got the unknown class 'sklearn {name:.60}'")
    return containers()[name]


def parts_of(estimator):
    """Return the parameters of an estimator, its other attributes, and its metadata requests or None."""
    params = estimator.get_params(deep=False)
    learned = {key: value for key, value in vars(estimator).items() if key not in params}
    return params, learned, learned.pop("_metadata_request", None)
