"""The net to inspect: a copy of the given net, and the rows that it receives."""

from __future__ import annotations

from dataclasses import replace

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..training._base_net import BaseNet
from ..training._rows import check_rows, hold_out

NETS = "NetClassifier, NetRegressor, FineTuneClassifier or FineTuneRegressor"


def take_net(estimator, X, y, caller):
    """Return an unfitted copy of a net, or of the last step of a Pipeline, and X after the steps before it.

    Parameters
    ----------
    estimator : BaseNet or Pipeline
    X, y : array-like
    caller : str
        The name of the calling function in errors.
    """
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) and estimator.steps else estimator
    if not isinstance(last, BaseNet):
        got = last.__name__ if isinstance(last, type) else type(last).__name__
        where = f"a {type(estimator).__name__} whose last step is {got}" if last is not estimator else got
        raise TypeError(f"estimator of {caller} must be a {NETS}, or a Pipeline whose last step is one, got {where}")
    copy = clone(estimator)
    if last is estimator:
        return copy, X
    steps = copy[:-1]
    return copy.steps[-1][1], steps.fit_transform(X, y) if steps.steps else X


def rows_of_fit(net, X, y, sample_weight=None):
    """Return the training rows of ``net``: checked, without those that ``early_stopping`` holds out."""
    net._validate_params()
    rows = check_rows(net, X, y, sample_weight, fresh=True, ensure_min_samples=2)
    return replace(hold_out(net, rows), valid=None) if net.early_stopping else rows
