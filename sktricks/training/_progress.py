"""Progress of a training: a bar over the epochs, or one warning if it will take long."""

from __future__ import annotations

import time
from contextlib import contextmanager

from skorch.callbacks import Callback
from tqdm.auto import tqdm

from .._warnings import SlowFitWarning, warn

SLOW = 120  # seconds


class Progress:
    """Count epochs; show a bar, or warn after the first epoch if all of them will take long.

    Parameters
    ----------
    n_epochs : int
    show : bool, default=False
        True for a bar.
    """

    def __init__(self, n_epochs, show=False):
        self.n_epochs, self.show = n_epochs, show
        self.n_done, self.bar = 0, None

    @contextmanager
    def shown(self):
        """Show the bar inside."""
        self.bar = tqdm(total=self.n_epochs, unit="epoch") if self.show else None
        try:
            yield
        finally:
            if self.bar is not None:
                self.bar.close()
            self.bar = None  # it cannot be pickled

    def begin_epoch(self):
        """Start the clock if this is the first epoch."""
        if self.n_done == 0:
            self.started = time.perf_counter()

    def end_epoch(self, values=()):
        """Count an epoch, whose ``values`` stand in the bar."""
        self.n_done += 1
        if self.bar is not None:
            losses = {name: f"{values[name]:.4g}" for name in ("train_loss", "valid_loss") if name in values}
            self.bar.set_postfix(losses, refresh=False)
            self.bar.update()
        elif self.n_done == 1:
            warn_if_slow((time.perf_counter() - self.started) * self.n_epochs, self.n_epochs)


class ReportEpochs(Callback):
    """Tell a :class:`Progress` of skorch's epochs, and record the learning rate of each."""

    def __init__(self, progress):
        self.progress = progress

    def on_epoch_begin(self, net, **kwargs):
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])
        self.progress.begin_epoch()

    def on_epoch_end(self, net, **kwargs):
        self.progress.end_epoch(net.history[-1])


def warn_if_slow(seconds, epochs):
    """Warn if a training takes this long."""
    if seconds > SLOW:
        warn(
            f"{epochs} epochs may take about {seconds / 60:.0f} minutes; verbose=1 shows the progress",
            SlowFitWarning,
        )
