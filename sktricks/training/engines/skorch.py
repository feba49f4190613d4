"""The engine with skorch's own training loop, for any module, callback, schedule and optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split

from .._monitors import check_monitors, naming_monitors

if TYPE_CHECKING:
    from ..run import TrainingRun


def supports(run: TrainingRun) -> bool:
    """Return True, since this engine trains every run that the others do not support."""
    return True


def train(runs: list[TrainingRun]) -> None:
    """Train a run; early stopping counts as a regular end."""
    (run,) = runs
    net = run.net
    check_monitors(net.callbacks_, has_validation=run.valid is not None)
    net.train_split = None if run.valid is None else predefined_split(run.valid)
    net.notify("on_train_begin", X=run.train, y=None)
    try:
        with naming_monitors(net):
            net.fit_loop(run.train, epochs=run.epochs)
    except KeyboardInterrupt:
        end(run)
        if not has_stopped_early(net):
            raise
    else:
        end(run)


def end(run):
    """Notify the callbacks that a training has ended."""
    run.net.notify("on_train_end", X=run.train, y=None)
    run.net.train_split = None  # it refers to the validation rows


def has_stopped_early(net):
    """Return True if a callback has stopped the training, for which skorch raises a KeyboardInterrupt."""
    stops = [callback for _, callback in net.callbacks_ if isinstance(callback, EarlyStopping)]
    return any(stop.misses_ >= stop.patience for stop in stops)
