"""The learning-rate range test (Smith 2017): train with a rising learning rate until the loss rises.

The estimator's own training is used, from its rows to the steps of its optimizer; only the learning rate is changed.
"""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from dataclasses import replace

import numpy as np
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, logging

from .._progress import progress
from .._warnings import UnclearLearningRateWarning, warn
from ._monitors import needs_validation
from ._rate_curve import has_diverged, read_curve
from .engines import skorch
from .run import open_run, train

LOWEST, HIGHEST, N_STEPS = 1e-6, 1.0, 140
# Callbacks that report, store or stop a training. A copy is trained without them, since it is stopped separately.
REPORTERS = (Checkpoint, EarlyStopping, *(getattr(logging, name) for name in logging.__all__))
TOO_FEW = 20  # number of rows below which a batch is too small, and all batches are nearly equal


class EndOfWatchError(Exception):
    """Raised by a callback to end the training of a copy."""


def train_watched(net, rows, watch, *, epochs, **params):
    """Train a copy of an estimator at a constant learning rate until a callback stops it.

    Parameters
    ----------
    net : BaseNet
        It is not changed.
    rows : Rows
        Rows to train on, as returned by ``check_rows``, optionally with rows for validation.
    watch : skorch Callback
        Ends the training by :class:`EndOfWatchError`; it is called after all other callbacks.
    epochs : int
        Maximum number of epochs.
    **params
        Parameters of the copy that differ from those of the estimator.

    Returns
    -------
    net : BaseNet
        The trained copy.
    """
    net = copy(net)  # shallow, since training replaces attributes but never changes them
    vars(net).update({"verbose": 0, **net._range_test_params, **params})
    with open_run(net, rows, fresh=True, epochs=epochs) as run:
        run.progress.verbose = 0  # the watch counts
        own = [item for item in run.net.callbacks_ if takes_part(*item, has_validation=run.valid is not None)]
        run.net.callbacks_ = [*own, ("own_watch", watch.initialize())]
        with suppress(EndOfWatchError):
            train([run], skorch)
    return net


def takes_part(name, callback, has_validation):
    """Return True if a callback is used in the training of a copy, since it does more than report or stop."""
    return (
        name != "own_progress"
        and not isinstance(callback, REPORTERS)
        and (has_validation or not needs_validation(callback))
    )


class RaiseRate(Callback):
    """Raise the learning rate with each batch, and record the loss; parameter groups keep the ratio of their rates.

    Parameters
    ----------
    lrs : ndarray of shape (n_steps,)
        Factors of the initial rates of the groups.
    progress : Progress
        Counts the batches.
    """

    def __init__(self, lrs, progress):
        self.lrs, self.progress = lrs, progress

    def initialize(self):
        """Clear the recorded losses."""
        self.losses_ = []
        return self

    def on_train_begin(self, net, **kwargs):
        """Store the ratio of the rates."""
        self.ratios_ = [group["lr"] for group in net.optimizer_.param_groups]

    def on_batch_begin(self, net, training=False, **kwargs):
        """Set the rate; the number of groups may change, since thawing layers adds groups."""
        if training:
            groups = net.optimizer_.param_groups
            for group, ratio in zip(groups, self.ratios_ + [1.0] * (len(groups) - len(self.ratios_)), strict=True):
                group["lr"] = ratio * self.lrs[len(self.losses_)]

    def on_batch_end(self, net, training=False, loss=None, **kwargs):
        """Record the loss, computed before the step."""
        if training:
            self.losses_.append(loss.item())
            self.progress.step()
            if len(self.losses_) == len(self.lrs) or has_diverged(self.losses_):
                raise EndOfWatchError


def range_test(net, rows, lowest=LOWEST, highest=HIGHEST, n_steps=N_STEPS, verbose=0):
    """Return the :class:`LearningRateCurve` of an estimator, which is not changed.

    Parameters
    ----------
    net : BaseNet
    rows : Rows
        Rows to train on, as ``check_rows`` returns them.
    lowest, highest : float
        Lowest and highest learning rate.
    n_steps : int
        Number of steps, unless the loss diverges before.
    verbose : int, default=0
    """
    rows = replace(rows, valid=None)
    n_rows = len(rows) if rows.weight is None else np.count_nonzero(rows.weight)
    if n_rows < TOO_FEW:
        raise ValueError(
            f"X must have at least {TOO_FEW} rows with positive weight for a learning-rate range test, got {n_rows}"
        )
    with progress(n_steps, "range test", "step", verbose) as done:
        ramp = RaiseRate(np.geomspace(lowest, highest, n_steps), done)
        settings = train_watched(net, rows, ramp, lr=1.0, epochs=n_steps, verbose=verbose)._settings()
    n_updates = settings["max_epochs"] * -(-n_rows // settings["batch_size"])
    return read_curve(ramp.lrs[: len(ramp.losses_)], ramp.losses_, short=n_updates < n_steps)


def find_rate(net, rows):
    """Return the suggestion of a range test for ``lr="auto"``, or warn and return None, for the default rate."""
    curve = range_test(net, rows, verbose=net.verbose)
    if curve.problem is None:
        return curve.suggestion
    warn(
        f"lr='auto' found no learning rate and uses the default: {curve.problem}",
        UnclearLearningRateWarning,
    )
    return None
