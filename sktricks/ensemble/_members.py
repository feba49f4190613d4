"""Members of an ensemble: the arguments of their fits, and errors that name them."""

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
    """A member and the arguments of its fits.

    Parameters
    ----------
    name : str
    estimator : estimator
        Cloned before each fit.
    target : Target
        The target of the member.
    method : str, default="predict"
        The method that returns its predictions.
    y : array-like, default=None
        The target values passed to the member.
    params : dict
        Further arguments of its ``fit``.
    frozen : bool, default=False
        True if the estimator is already fitted and not fitted again.
    finite : bool, default=True
        If False, predictions may be NaN or infinity.
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
    """Add the origin to errors: to the message if a training diverged, otherwise as a note."""
    try:
        yield
    except DivergenceError as error:
        error.args = (f"{who}: {error}",)
        raise
    except Exception as error:
        error.add_note(f"This happened in {who}.")
        raise


def check_kind(ensemble, estimator, who):
    """Raise an error unless an estimator is an instance of the same kind, classifier or regressor, as the ensemble."""
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
                    f"estimators: member {member.name!r} must be fitted, since it is not fitted again. If the "
                    "ensemble is cloned, as in a search or a cross-validation, plain members lose their fit: wrap "
                    "them in sklearn.frozen.FrozenEstimator"
                ) from error


def is_frozen(estimator):
    """Return True if ``fit`` does not change the estimator."""
    return isinstance(estimator, FrozenEstimator)


def is_dropped(estimator):
    """Return True if a member is dropped."""
    return isinstance(estimator, str) and estimator == "drop"


def member_target(estimator, y, target):
    """Return y and target for a member; a regressor among classifiers gets the codes of the classes as values."""
    if target.kind != "classes" or not is_regressor(estimator):
        return y, target
    return target.encode(y), Target("values")
