"""Learning-rate schedules: torch's schedulers, run by skorch's ``LRScheduler``."""

from __future__ import annotations

import math

from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau


class WarmupCosine:
    """Factor of the learning rate: a linear rise, then a fall along a cosine (Loshchilov & Hutter 2017).

    Parameters
    ----------
    n_steps : int
        Number of steps of the whole training.
    warm_up : float, default=0.1
        Fraction of the steps with a rising rate.
    """

    def __init__(self, n_steps, warm_up=0.1):
        self.n_steps, self.n_warm = n_steps, max(1, round(warm_up * n_steps))

    def __call__(self, step):
        if step < self.n_warm:
            return (step + 1) / self.n_warm
        fraction = (step - self.n_warm) / max(1, self.n_steps - self.n_warm)
        return 0.5 + 0.5 * math.cos(math.pi * min(fraction, 1.0))


def make_schedule(name, n_steps, rates, monitor, patience):
    """Return the skorch callback of a schedule, None for a constant learning rate.

    Parameters
    ----------
    name : {"warmup-cosine", "one-cycle", "plateau", "constant"}
    n_steps : int
        Number of steps.
    rates : list of float
        Peak learning rate of each parameter group.
    monitor : str
        The loss in the net's history that ``"plateau"`` monitors.
    patience : int
        Number of epochs without a lower loss before the learning rate is divided by ten.
    """
    if name == "constant":
        return None
    if name == "plateau":
        return LRScheduler(policy=ReduceLROnPlateau, monitor=monitor, patience=patience)
    # Otherwise skorch would continue from the number of epochs in the history of earlier fits.
    each_step = {"step_every": "batch", "last_epoch": -1}
    if name == "one-cycle":
        return LRScheduler(policy=OneCycleLR, max_lr=rates, total_steps=n_steps, cycle_momentum=False, **each_step)
    return LRScheduler(policy=LambdaLR, lr_lambda=WarmupCosine(n_steps), **each_step)


def highest_rates(optimizer):
    """Restore the learning rates that parameter groups had before an earlier schedule, and return them."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = group.pop("max_lr", group.get("initial_lr", group["lr"]))
    return [group["lr"] for group in optimizer.param_groups]
