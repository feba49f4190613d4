"""The strategies: how ``"auto"`` chooses one, and the settings that each trains with."""

from __future__ import annotations

import numpy as np

LINEAR_PROBE, FINE_TUNE, LP_FT, GRADUAL = "linear-probe", "fine-tune", "lp-ft", "gradual"
STRATEGIES = (LINEAR_PROBE, FINE_TUNE, LP_FT, GRADUAL)
SCRATCH = "from-scratch"  # the default net for tables
ENOUGH = 100  # labels per class from which training the whole net wins over a linear model on its features

# Values of parameters that are None. A head alone learns by gradient descent from zero, which regularizes it like a
# ridge penalty if it stops in time (Ali, Kolter & Tibshirani 2019).
WHOLE_NET = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.05, "max_epochs": 15, "batch_size": 64}
TRAINING = {
    LINEAR_PROBE: {"optimizer": "sgd", "lr": 1e-3, "weight_decay": 0.0, "max_epochs": 100, "batch_size": 128},
    FINE_TUNE: WHOLE_NET,
    LP_FT: WHOLE_NET,  # after a linear probe with the settings above
    GRADUAL: WHOLE_NET,
    SCRATCH: {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.01, "max_epochs": 20, "batch_size": 128},
}


def auto_strategy(n_labels):
    """Return the strategy of ``"auto"`` for ``n_labels`` labels per class; measured by ``bench_strategies.py``."""
    return GRADUAL if n_labels >= ENOUGH else LINEAR_PROBE


def choose_strategy(strategy, freeze_until, everything, n_labels, at_once=False):
    """Return the strategy to use; ``"auto"`` follows ``freeze_until``.

    Parameters
    ----------
    strategy : str
    freeze_until : int, float, str or None
        ``"head"`` turns any strategy into the linear probe. Any other value that conflicts with an explicit strategy is
        an error.
    everything : bool
        True if ``freeze_until`` freezes the whole backbone.
    n_labels : float
        Labels per class.
    at_once : bool
        True if the net is not thawed stage by stage: a callback freezes it, or it has nothing pretrained to keep.
    """
    if freeze_until == "head":
        return LINEAR_PROBE
    if strategy == "auto":
        if freeze_until is None:
            found = auto_strategy(n_labels)
            return FINE_TUNE if at_once and found == GRADUAL else found
        return LINEAR_PROBE if everything else FINE_TUNE
    if freeze_until is not None and everything != (strategy == LINEAR_PROBE):
        trains = "the head alone" if everything else "more than the head"
        raise ValueError(
            f"strategy={strategy!r} conflicts with freeze_until={freeze_until!r}, which trains {trains}: leave one of "
            'them at its default, or pass freeze_until="head", which makes any strategy the linear probe'
        )
    return strategy


def check_rates(strategy, backbone_lr_scale, layer_decay):
    """Raise an error if a backbone that is not trained has learning rates of its own."""
    for name, value in {"backbone_lr_scale": backbone_lr_scale, "layer_decay": layer_decay}.items():
        if strategy == LINEAR_PROBE and value != 1:
            raise ValueError(
                f"{name}={value} conflicts with the strategy 'linear-probe', which trains the head alone and is what "
                "'auto' takes for few labels: set strategy='fine-tune' to train the backbone"
            )


def labels_per_class(y):
    """Return the mean number of rows per class; for values and several columns, a tenth of the rows."""
    return len(y) / len(np.unique(y)) if y.dtype == np.int64 else len(y) / 10
