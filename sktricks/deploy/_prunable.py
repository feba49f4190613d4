"""Find the net to prune in a Pipeline, a search or a FrozenEstimator."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..ensemble._members import is_frozen
from ..training._base_net import BaseNet
from ..transfer._strategies import LINEAR_PROBE

NETS = "FineTuneClassifier, FineTuneRegressor, NetClassifier or NetRegressor"


def take_fitted(estimator: Any) -> tuple[BaseEstimator, bool]:
    """Return the fitted net, or the Pipeline that ends in it, and True if it was in a FrozenEstimator.

    Raises
    ------
    TypeError
        If there is no net.
    ValueError
        If the backbone of the net was not trained.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    unseen = is_frozen(estimator)
    found = estimator.estimator if unseen else estimator
    if hasattr(found, "best_estimator_"):
        found = found.best_estimator_
    net = net_of(found)
    if not isinstance(net, BaseNet):
        got = net.__name__ if isinstance(net, type) else type(net).__name__
        where = "" if net is estimator else f" in a {type(estimator).__name__}"
        # A distilled model contains one net, whose targets are the model's probabilities.
        cure = (
            ": prune its net, model.student_ = prune(model.student_, X, model.predict_proba(X), max_score_drop=None)"
            if got == "DistilledClassifier"
            else ""
        )
        raise TypeError(f"estimator must be a {NETS}, or a Pipeline or fitted search of one, got {got}{where}{cure}")
    check_is_fitted(net)
    if getattr(net, "strategy_", None) == LINEAR_PROBE:
        raise ValueError(
            "estimator must have a trained backbone, got strategy='linear-probe', which trains only the head and is "
            "the choice of 'auto' for few labels: fit it with strategy='fine-tune' before pruning"
        )
    return found, unseen


def net_of(estimator):
    """Return the net itself, or the last step of a Pipeline."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) and estimator.steps else estimator


def with_net(estimator, net):
    """Return the net, or a copy of a Pipeline with the net as its last step."""
    if not isinstance(estimator, Pipeline):
        return net
    other = copy(estimator)
    other.steps = [*deepcopy(estimator.steps[:-1]), (estimator.steps[-1][0], net)]
    return other


def as_seen(estimator, X):
    """Return rows after the steps of a Pipeline before the net."""
    return estimator[:-1].transform(X) if isinstance(estimator, Pipeline) and len(estimator.steps) > 1 else X
