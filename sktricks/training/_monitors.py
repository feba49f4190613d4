"""Values that the user's callbacks monitor: scores on the original y, and values in the history."""

from __future__ import annotations

from contextlib import contextmanager

from skorch.callbacks import PrintLog
from skorch.callbacks.scoring import EpochScoring, ScoringBase
from skorch.exceptions import SkorchException
from skorch.utils import to_numpy

OF_VALIDATION = "valid_loss", "valid_loss_best", "valid_score"  # recorded by the net itself


def adapt_callbacks(net):
    """Make the scoring callbacks of an initialized net receive the original y, and enable printing of logs."""
    for _, callback in net.callbacks_:
        if isinstance(callback, ScoringBase) and callback.target_extractor is to_numpy:
            callback.target_extractor = net.outputs_.restore
        if isinstance(callback, PrintLog):
            net.verbose = 1  # PrintLog prints nothing otherwise


def needs_validation(callback):
    """Return True if a callback monitors validation rows."""
    if isinstance(callback, ScoringBase):
        return not callback.on_train
    monitor = getattr(callback, "monitor", None)
    return isinstance(monitor, str) and monitor in OF_VALIDATION


def check_monitors(callbacks, has_validation):
    """Raise an error that names a callback if it monitors values that a training does not record."""
    for _, callback in callbacks:
        if needs_validation(callback) and not has_validation:
            raise ValueError(
                f"callbacks: {describe(callback)} requires validation rows, but this training has none: use "
                "early_stopping=True, or fit(X, y, X_val=..., y_val=...); for the training rows, "
                f"{'on_train=True' if isinstance(callback, ScoringBase) else cure_of(callback.monitor)}"
            )
        if isinstance(callback, EpochScoring) and not callback.use_caching and not callable(callback.scoring):
            raise ValueError(
                f"callbacks: {describe(callback)} must have use_caching=True, got use_caching=False, for which y is "
                "available only batch by batch"
            )


def describe(callback):
    """Return the name of a callback and the value that it monitors, for errors."""
    name = type(callback).__name__
    if isinstance(callback, ScoringBase):
        return f"{name}({callback.scoring!r})"
    return f"{name}(monitor={callback.monitor!r})"


def cure_of(monitor):
    """Return the setting that monitors the training rows instead of validation rows."""
    return f"monitor={'train_loss_best' if monitor.endswith('_best') else 'train_loss'!r}"


@contextmanager
def naming_monitors(net):
    """Within the context, make errors about a value that the history lacks name the callback that monitors it."""
    try:
        yield
    except (KeyError, SkorchException) as error:
        for _, callback in net.callbacks_:
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and repr(monitor) in str(error):
                found = sorted(name for name in net.history[-1] if name != "batches")
                raise ValueError(
                    f"callbacks: {type(callback).__name__} must monitor a value that is recorded before it is called, "
                    f"one of {found}, got monitor={monitor!r}: put a callback that records it before this one"
                ) from error
        raise
