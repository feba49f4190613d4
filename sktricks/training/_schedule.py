"""Learning-rate schedules, as torch's ``LambdaLR`` under skorch's ``LRScheduler``."""

import math

from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import LambdaLR

SCHEDULES = ("warmup-cosine", "constant")


class WarmupCosine:
    """The factor of the learning rate: up in a straight line, then down along a cosine (Loshchilov & Hutter 2017).

    Parameters
    ----------
    n_steps : int
        The number of updates of the whole training.
    warm_up : float, default=0.1
        The share of them that goes up.
    """

    def __init__(self, n_steps, warm_up=0.1):
        self.n_steps, self.n_warm = n_steps, max(1, round(warm_up * n_steps))

    def __call__(self, step):
        if step < self.n_warm:
            return (step + 1) / self.n_warm
        share = (step - self.n_warm) / max(1, self.n_steps - self.n_warm)
        return 0.5 + 0.5 * math.cos(math.pi * min(share, 1.0))


def make_schedule(name, n_steps):
    """The skorch callback of a schedule, None for a constant learning rate."""
    if name == "constant":
        return None
    # skorch would start at a step as late as there are epochs in the history of earlier fits
    return LRScheduler(policy=LambdaLR, lr_lambda=WarmupCosine(n_steps), step_every="batch", last_epoch=-1)
