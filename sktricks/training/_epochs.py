"""The epochs of a training: a bar over them, or one warning if they will take long."""

from __future__ import annotations

import time
from contextlib import contextmanager

from skorch.callbacks import Callback

from .._progress import SILENT, progress
from .._warnings import SlowFitWarning, warn

SLOW = 120  # seconds


class Epochs:
    """Count epochs; show how many are done, or warn after the first one if all of them will take long.

    Parameters
    ----------
    n_epochs : int
    verbose : int, default=0
    """

    def __init__(self, n_epochs, verbose=0):
        self.n_epochs, self.verbose = n_epochs, verbose
        self.n_done, self.bar = 0, SILENT

    def __getstate__(self):
        return {**vars(self), "bar": SILENT}  # callbacks may store the net in the middle of a training

    @contextmanager
    def shown(self, what="fit"):
        """Show the count inside."""
        try:
            with progress(self.n_epochs, what, "epoch", self.verbose) as self.bar:
                yield
        finally:
            self.bar = SILENT

    def begin_epoch(self):
        """Start the clock if this is the first epoch."""
        if self.n_done == 0:
            self.started = time.perf_counter()

    def end_batch(self, number, n_batches):
        """Count a part of an epoch, which ends after its last batch: with the validation, if there is any."""
        self.bar.move(self.n_done + min(number, n_batches) / (n_batches + 1))

    def end_epoch(self, values=()):
        """Count an epoch, whose ``values`` are shown."""
        self.n_done += 1
        losses = [f"{name}={values[name]:.4g}" for name in ("train_loss", "valid_loss") if name in values]
        self.bar.move(self.n_done, ", ".join(losses))
        if not self.verbose and self.n_done == 1:
            warn_if_slow((time.perf_counter() - self.started) * self.n_epochs, self.n_epochs)


class ReportEpochs(Callback):
    """Tell :class:`Epochs` of skorch's epochs and batches, and record the learning rate of each epoch.

    Parameters
    ----------
    epochs : Epochs
    n_batches : int
        Batches of an epoch.
    """

    def __init__(self, epochs, n_batches):
        self.epochs, self.n_batches, self.n_done = epochs, n_batches, 0

    def on_epoch_begin(self, net, **kwargs):
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])
        self.n_done = 0
        self.epochs.begin_epoch()

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.n_done += 1
            self.epochs.end_batch(self.n_done, self.n_batches)

    def on_epoch_end(self, net, **kwargs):
        self.epochs.end_epoch(net.history[-1])


def warn_if_slow(seconds, epochs):
    """Warn if a training takes this long."""
    if seconds > SLOW:
        warn(
            f"{epochs} epochs may take about {seconds / 60:.0f} minutes; verbose=1 shows the progress",
            SlowFitWarning,
        )
