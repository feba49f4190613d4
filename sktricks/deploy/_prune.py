"""prune: remove channels from a fitted net, continue its training, and stop before its score drops too far."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from math import ceil
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import check_consistent_length

from .._optional import import_optional
from .._parameter_checks import check_verbose
from .._progress import SILENT, progress
from .._text import name_some
from .._warnings import ChannelsKeptWarning, warn
from ..training._pruning_report import PruningReport
from ..training._rows import check_rows, hold_out
from ..training._targets import SOFT
from ._prunable import as_seen, net_of, take_fitted, with_net

MOST = 0.9  # largest fraction of the channels to remove
STEP = 0.25  # fraction of the channels to remove before each round of training


def prune(
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    *,
    amount: float = 0.3,
    max_score_drop: float | None = 0.01,
    scoring: Any = None,
    validation_fraction: float = 0.2,
    max_epochs: int | Literal["auto"] = "auto",
    verbose: int = 0,
) -> BaseEstimator:
    """Remove channels from a fitted net to make it smaller and faster.

    Whole channels are removed, those with the smallest weights [1]_, so that the net requires no special runtime. They
    are removed in steps of at most a quarter, and training continues after each step. Pruning stops when the score on
    held-out rows has fallen by more than ``max_score_drop``.

    Parameters
    ----------
    estimator : estimator
        A fitted ``FineTuneClassifier`` or ``FineTuneRegressor`` whose backbone was trained, a ``NetClassifier`` or
        ``NetRegressor``, a Pipeline that ends in one of them, or a search (its best estimator). It is not changed.
        A :class:`~sklearn.frozen.FrozenEstimator` around it means that it was not fitted on X.
    X : array-like of shape (n, ...)
        Rows to train on, usually those that the estimator was fitted on.
    y : array-like of shape (n,) or (n, outputs)
        Their targets.
    amount : float, default=0.3
        Fraction of the channels to remove from each layer, above 0 and at most 0.9. Layers with at least 16 channels
        keep a multiple of 8. Removing half of the channels removes about three quarters of the weights.
    max_score_drop : float or None, default=0.01
        Maximum drop of the score on held-out rows, compared with the unpruned net. None removes ``amount`` in any case,
        and holds out no rows.
    scoring : str, callable or None, default=None
        The score, as in scikit-learn. None means the estimator's ``score``: accuracy or R². A net that was fitted on
        class probabilities requires a callable.
    validation_fraction : float, default=0.2
        Fraction of the rows to hold out, stratified for classifiers.
    max_epochs : int or "auto", default="auto"
        Number of epochs of training after each step. ``"auto"``: half of those of ``fit``.
    verbose : int, default=0
        0: silent. 1: bars of steps. 2: a line per step in the log instead.

    Returns
    -------
    pruned : estimator
        A fitted copy of the estimator, or of the best estimator of a search. Its net has an attribute ``pruning_``, a
        :class:`PruningReport` with the scores and the number of parameters before and after.

    Raises
    ------
    ValueError
        If a parameter is out of range; if ``scoring`` is None for a net that was fitted on class probabilities; if the
        backbone was not trained (strategy "linear-probe"); if no layer can be pruned.
    TypeError
        If the estimator is not, and does not contain, one of these nets.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ImportError
        If Torch-Pruning is missing: ``pip install "sktricks[prune]"``.

    Warns
    -----
    ChannelsKeptWarning
        If fewer channels than ``amount`` were removed, because the score dropped too far or some layers cannot be
        pruned.

    See Also
    --------
    export_onnx : Write the pruned net to a file; ``quantize="int8"`` makes it smaller and faster still.
    DistilledClassifier : Train a small net on the predictions of a slow model.

    Notes
    -----
    The score of a net on its own training rows is too optimistic. Therefore a clone of the estimator is fitted without
    the held-out rows, pruned stepwise, and scored on them. The given estimator is then pruned by the largest amount
    that the score allows, and trained on all rows. In total, this takes about three times as long as ``fit``. A
    ``FrozenEstimator`` was not fitted on X: it is pruned and scored itself, and not trained on the held-out rows.

    ``max_score_drop=None`` takes about as long as ``fit``: compare the scores on your own held-out rows. With few
    held-out rows, a single row may change the score by more than ``max_score_drop``. All rows have the same weight,
    except for ``class_weight``.

    Frozen layers and the last layer keep their channels. Saving, loading, export, ``partial_fit`` and ``warm_start``
    work as before; ``fit`` and clones train an unpruned net.

    References
    ----------
    .. [1] G. Fang, X. Ma, M. Song, M. B. Mi, X. Wang, "DepGraph: towards any structural pruning", CVPR 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks import NetClassifier, prune
    >>> X, y = load_digits(return_X_y=True)
    >>> net = NetClassifier(random_state=0).fit(X[:1200], y[:1200])
    >>> small = prune(net, X[:1200], y[:1200], amount=0.5)
    >>> report = small.pruning_
    >>> report.n_parameters_after < report.n_parameters_before / 3
    True
    >>> bool(small.score(X[1200:], y[1200:]) > net.score(X[1200:], y[1200:]) - 0.02)
    True
    """
    check_parameters(amount, max_score_drop, validation_fraction, max_epochs)
    check_verbose(verbose)
    import_optional("torch_pruning", "prune")
    estimator, unseen = take_fitted(estimator)
    if y is None:
        raise ValueError("y must be the targets to train on, got None")
    X, y = indexable(X, y)
    check_consistent_length(X, y)
    amounts = split_amount(amount)
    if max_score_drop is None:
        return finished(remove_all(estimator, X, y, amounts, max_epochs, verbose)[-1], [])
    check_score_of_soft_targets(net_of(estimator), scoring)
    scorer, parts = check_scoring(estimator, scoring), split_rows(net_of(estimator), y, validation_fraction)
    seen, held_out = ((_safe_indexing(X, part), _safe_indexing(y, part)) for part in parts)
    with progress(len(amounts) + (not unseen), "prune: trial", "step", verbose) as done:
        done.tell("fit")
        trial = estimator if unseen else fit_clone(estimator, *seen)
        done.step(not unseen)
        stages = remove_stepwise(trial, *seen, amounts, max_epochs, done)
        accepted, scores = judge(trial, stages, lambda one: float(scorer(one, *held_out)), max_score_drop)
    if len(accepted) < len(amounts):
        warn_of_score(amount, amounts[len(accepted)], scores, len(parts[1]), max_score_drop)
    if not unseen:
        accepted = remove_all(estimator, X, y, amounts[: len(accepted)], max_epochs, verbose)
    return finished(accepted[-1] if accepted else unchanged(estimator), scores)


# -- steps -------------------------------------------------------------------------------------------------------------


def split_amount(amount):
    """Return the cumulative fraction of the channels that is removed after each step."""
    n_steps = ceil(amount / STEP - 1e-9)
    return [round(amount * step / n_steps, 12) for step in range(1, n_steps + 1)]


def remove_all(estimator, X, y, amounts, max_epochs, verbose=0):
    """Return the estimator after each step."""
    with progress(len(amounts), "prune", "step", verbose) as done:
        return list(remove_stepwise(estimator, X, y, amounts, max_epochs, done))


def remove_stepwise(estimator, X, y, amounts, max_epochs, done=SILENT):
    """Yield the estimator after each step of pruning and training."""
    from ._cut_channels import Plan, cut_channels

    plan, rows, earlier = Plan(), as_seen(estimator, X), report_of(net_of(estimator))
    for amount in amounts:
        net = cut_channels(net_of(estimator), amount, plan)
        train_on(net, rows, y, epochs_of(net, max_epochs))
        removed = round(1 - (1 - earlier.amount) * (1 - amount), 12)
        n_parameters = count_parameters(net)
        net.pruning_ = replace(earlier, amount=removed, n_parameters_after=n_parameters, kept_layers=list(plan.kept))
        done.step(1, f"{100 * amount:.0f} % of the channels removed, {n_parameters:,} parameters left")
        estimator = with_net(estimator, net)
        yield estimator


def report_of(net):
    """Return the report of earlier pruning, or a new one for an unpruned net."""
    n_parameters = count_parameters(net)
    return replace(getattr(net, "pruning_", PruningReport(0.0, n_parameters, n_parameters, [], [])), scores=[])


def count_parameters(net):
    """Return the number of parameters of a net."""
    return sum(parameter.numel() for parameter in net._net.module_.parameters())


def epochs_of(net, max_epochs):
    """Return the number of epochs per step."""
    return ceil(net._settings()["max_epochs"] / 2) if max_epochs == "auto" else int(max_epochs)


def train_on(net, X, y, epochs):
    """Continue the training of a fitted net, as ``fit`` does with ``warm_start``; Ctrl-C is not caught."""
    from ..training.run import finish, open_run, train

    given = net.max_epochs
    net.max_epochs = epochs
    try:
        rows = check_rows(net, X, y, fresh=False)
        rows = hold_out(net, rows) if net.early_stopping else rows
        with open_run(net, rows, fresh=False) as run:
            train([run], interruptible=False)
            finish(net, run)
    finally:
        net.max_epochs = given


def unchanged(estimator):
    """Return a copy of an estimator without pruning it."""
    net = deepcopy(net_of(estimator))
    net.pruning_ = report_of(net)
    return with_net(estimator, net)


def finished(estimator, scores):
    """Add the scores to an estimator's report, warn about layers that kept their channels, and return it."""
    net = net_of(estimator)
    net.pruning_ = replace(net.pruning_, scores=scores)
    kept = net.pruning_.kept_layers
    if kept:
        warn(
            f"prune could not remove channels from {name_some(kept, 5)} and the layers that depend on them: layers of "
            "this kind cannot be pruned, or the code of the net depends on the number of channels",
            ChannelsKeptWarning,
        )
    return estimator


# -- held-out rows -----------------------------------------------------------------------------------------------------


def fit_clone(estimator, X, y):
    """Return a clone that is fitted on these rows."""
    if hasattr(net_of(estimator), "pruning_"):
        raise ValueError(
            "estimator must not have been pruned before, since the score is measured on a clone, which would be an "
            "unpruned net: prune the original estimator by a larger amount, or pass max_score_drop=None"
        )
    return clone(estimator).fit(X, y)


def judge(whole, stages, score, max_score_drop):
    """Return the steps of pruning up to the last whose score is good enough, and the scores.

    Parameters
    ----------
    whole : estimator
        The unpruned estimator.
    stages : iterator of estimators
        The estimator after each step; not advanced beyond the first whose score is too low.
    score : callable
        Returns the score of an estimator on held-out rows.
    max_score_drop : float
    """
    accepted, scores = [], [(0.0, score(whole))]
    for stage in stages:
        scores.append((net_of(stage).pruning_.amount, score(stage)))
        if not scores[-1][1] >= scores[0][1] - max_score_drop:  # NaN is not good enough either
            break
        accepted.append(stage)
    return accepted, scores


def split_rows(net, y, fraction):
    """Return the indices of the rows to train on and of those to hold out; both contain all classes."""
    y = np.asarray(y)
    codes = np.unique(y.ravel(), return_inverse=True)[1] if getattr(net, "_kind", None) == "classes" else None
    if codes is not None:
        n_held, n_classes, fewest = ceil(len(y) * fraction), codes.max() + 1, np.bincount(codes).min()
        if fewest < 2 or n_held < n_classes or len(y) - n_held < n_classes:
            raise ValueError(
                f"validation_fraction must leave at least one row of each of the {n_classes} classes to train on and "
                f"one to hold out, got {fraction} of {len(y)} rows, {fewest} of them of the rarest class: change it, "
                "pass more rows, or pass max_score_drop=None"
            )
    parts = train_test_split(np.arange(len(y)), test_size=fraction, stratify=codes, random_state=net._seed)
    return [np.sort(part) for part in parts]


def warn_of_score(amount, tried, scores, n_held_out, max_score_drop):
    """Warn that fewer channels were removed because the score dropped too far."""
    (_, before), (removed, _), (_, after) = scores[0], scores[-2], scores[-1]
    warn(
        f"prune removed {100 * removed:.0f}% of the channels instead of amount={amount}: at {100 * tried:.0f}% the "
        f"score on {n_held_out} held-out rows fell from {before:.4f} to {after:.4f}, by more than "
        f"max_score_drop={max_score_drop}. More rows, a larger max_epochs or a larger max_score_drop may help",
        ChannelsKeptWarning,
    )


# -- parameters --------------------------------------------------------------------------------------------------------


def check_parameters(amount, max_score_drop, validation_fraction, max_epochs):
    """Raise an error for a parameter that is out of range."""
    if not (is_real(amount) and 0 < amount <= MOST):
        raise ValueError(f"amount must be a fraction above 0 and at most {MOST}, got {amount!r}")
    if max_score_drop is not None and not (is_real(max_score_drop) and max_score_drop >= 0):
        raise ValueError(f"max_score_drop must be a non-negative number or None, got {max_score_drop!r}")
    if not (is_real(validation_fraction) and 0 < validation_fraction < 1):
        raise ValueError(f"validation_fraction must lie between 0 and 1, got {validation_fraction!r}")
    is_count = isinstance(max_epochs, Integral) and not isinstance(max_epochs, bool) and max_epochs >= 1
    if not (is_count or (isinstance(max_epochs, str) and max_epochs == "auto")):
        raise ValueError(f"max_epochs must be 'auto' or an int of at least 1, got {max_epochs!r}")


def check_score_of_soft_targets(net, scoring):
    """Raise an error if a net that was fitted on probabilities has no ``scoring``: accuracy requires labels."""
    if scoring is None and getattr(net, "_kind", None) == SOFT:
        raise ValueError(
            "scoring must be a callable for a net that was fitted on class probabilities, since accuracy requires "
            "labels, got None: pass a callable, or max_score_drop=None"
        )


def is_real(value):
    """Return True for a real number that is not a bool."""
    return isinstance(value, Real) and not isinstance(value, bool)
