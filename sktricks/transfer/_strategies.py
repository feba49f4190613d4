"""What each strategy freezes, and the settings that it trains with."""

import numpy as np

LINEAR_PROBE, FINE_TUNE, SCRATCH = "linear-probe", "fine-tune", "from-scratch"
ENOUGH = 100  # labels a class from which training the whole net wins over a linear model on its features

# What a parameter that is None becomes. A head alone learns by gradient descent from zero, which regularises it like a
# ridge penalty if it stops in time (Ali, Kolter & Tibshirani 2019). "from-scratch" is the default net for tables.
TRAINING = {
    LINEAR_PROBE: {"optimizer": "sgd", "lr": 1e-3, "weight_decay": 0.0, "max_epochs": 100, "batch_size": 128},
    FINE_TUNE: {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.05, "max_epochs": 15, "batch_size": 64},
    SCRATCH: {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.01, "max_epochs": 100, "batch_size": 128},
}


def choose_strategy(strategy, freeze_until, n_labels):
    """``"auto"`` follows ``freeze_until`` if it says something, else the labels a class; a conflict is an error."""
    everything = freeze_until == "head" or (isinstance(freeze_until, float) and freeze_until == 1.0)
    if strategy == "auto":
        if freeze_until is None:
            return FINE_TUNE if n_labels >= ENOUGH else LINEAR_PROBE
        return LINEAR_PROBE if everything else FINE_TUNE
    if freeze_until is not None and everything != (strategy == LINEAR_PROBE):
        trains = "the head alone" if everything else "more than the head"
        raise ValueError(f"strategy={strategy!r} conflicts with freeze_until={freeze_until!r}, which trains {trains}")
    return strategy


def labels_per_class(y):
    """How many rows a class has on average; of columns and of values, a tenth of the rows."""
    return len(y) / len(np.unique(y)) if y.dtype == np.int64 else len(y) / 10
