"""Members of an ensemble: what each is fitted with, and errors that name it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._errors import DivergenceError
from ._target import Target


@dataclass
class Member:
    """A member and all that its fits need.

    Parameters
    ----------
    name : str
    estimator : estimator
        Cloned before each fit.
    target : Target
        What the member predicts.
    method : str, default="predict"
        The method that its predictions come from.
    y : array-like, default=None
        The target values as the member sees them.
    params : dict
        Further arguments of its ``fit``.
    frozen : bool, default=False
        True if the estimator is fitted already, and used as it is.
    finite : bool, default=True
        If False, predictions of NaN or infinity are not an error.
    """

    name: str
    estimator: object
    target: Target
    method: str = "predict"
    y: object = None
    params: dict = field(default_factory=dict)
    frozen: bool = False
    finite: bool = True


@contextmanager
def naming(who):
    """Name the origin of errors: in the text if a training diverged, otherwise in a note."""
    try:
        yield
    except DivergenceError as error:
        error.args = (f"{who}: {error}",)
        raise
    except Exception as error:
        error.add_note(f"This happened in {who}.")
        raise


def check_kind(ensemble, estimator, who):
    """Raise an error unless an estimator is an instance, and a classifier or regressor as the ensemble is."""
    if isinstance(estimator, type):
        raise TypeError(f"{who} must be an instance, such as {estimator.__name__}(), got the class")
    kind, has_kind = ("classifier", is_classifier) if is_classifier(ensemble) else ("regressor", is_regressor)
    if not (hasattr(estimator, "fit") and has_kind(estimator)):
        raise ValueError(f"{who} must be a {kind}, got {estimator!r}")


def check_frozen(members):
    """Raise an error if a frozen member is not fitted."""
    for member in members:
        if member.frozen:
            try:
                check_is_fitted(member.estimator)
            except NotFittedError as error:
                raise NotFittedError(
                    f"estimators: member {member.name!r} is used as it is and is not fitted. Where the ensemble is "
                    "cloned, as in a search or a cross-validation, plain members lose their fit: wrap them in "
                    "sklearn.frozen.FrozenEstimator"
                ) from error


def is_frozen(estimator):
    """Return True if a fit leaves the estimator as it is."""
    return isinstance(estimator, FrozenEstimator)


def is_dropped(estimator):
    """Return True if a member is left out."""
    return isinstance(estimator, str) and estimator == "drop"


def member_target(estimator, y, target):
    """Return y and target as a member sees them: regressors among classifiers see codes of classes as values."""
    if target.kind != "classes" or not is_regressor(estimator):
        return y, target
    return target.encode(y), Target("values")
