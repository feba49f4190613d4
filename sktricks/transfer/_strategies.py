"""The strategies of fine-tuning: the choice of ``"auto"``, and the default settings of each."""

from __future__ import annotations

import numpy as np

from ..training._decay import split_by_decay

LINEAR_PROBE, FINE_TUNE, LP_FT, GRADUAL = "linear-probe", "fine-tune", "lp-ft", "gradual"
STRATEGIES = (LINEAR_PROBE, FINE_TUNE, LP_FT, GRADUAL)
SCRATCH = "from-scratch"  # the default net for tables
ENOUGH = 100  # labels per class from which training the whole net beats a linear model on its features

# Number of pixels up to which "auto" trains the whole net on a CPU, since the time of a step is proportional to it: an
# epoch on 600 images takes seconds for tiny32 (32 x 32), but over a minute for lite0 (224 x 224); there are 15 epochs.
AFFORDABLE_PIXELS = 64 * 64

# Values that replace None. A linear probe is trained by gradient descent from zero, which with early stopping acts like
# a ridge penalty (Ali, Kolter & Tibshirani 2019); with SGD, :func:`probe_settings` adds further settings.
WHOLE_NET = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.05, "max_epochs": 15, "batch_size": 64}
TRAINING = {
    LINEAR_PROBE: {"optimizer": "sgd", "lr": 1e-3, "weight_decay": 0.0, "max_epochs": 100, "batch_size": 128},
    FINE_TUNE: WHOLE_NET,
    LP_FT: WHOLE_NET,  # after a linear probe with the settings above
    GRADUAL: WHOLE_NET,
    SCRATCH: {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.01, "max_epochs": 20, "batch_size": 128},
}


# Learning rates of a linear probe with SGD for rows with a mean squared norm of 1. Even if all features are equal,
# gradient descent with momentum 0.9 is stable up to a rate of 7.6 for cross-entropy, and of 1.9 for squared error.
CLASS_RATE, VALUE_RATE = 6.0, 1.0
C = 40.0  # inverse strength of the penalty, as in LogisticRegression


def probe_settings(n_features, n_rows, by_class):
    """Return the settings of a linear probe with SGD, such that the fit does not depend on the number of features.

    The weight decay is the penalty of scikit-learn's ``LogisticRegression`` with ``C`` on features divided by the
    square root of their number.

    Parameters
    ----------
    n_features : int
        Number of features, of variance 1 on average.
    n_rows : float
        Number of rows; a row of weight 2 counts as two.
    by_class : bool
        True for classification. Regression has no weight decay, since the best value depends on the noise.
    """
    lr = (CLASS_RATE if by_class else VALUE_RATE) / n_features
    weight_decay = n_features / (C * n_rows) if by_class else 0.0
    return {**TRAINING[LINEAR_PROBE], "lr": lr, "weight_decay": weight_decay}


def raise_bias_rate(optimizer, n_features):
    """Multiply the learning rate of the bias by ``n_features``.

    The bias is then trained like the weight of a feature whose square equals the sum of squares of all others. As the
    weight of a constant feature 1, it would hardly learn.
    """
    groups = optimizer.param_groups
    groups[:] = [part for group in groups for part in split_by_decay(group, also_of=0)]  # even if weight_decay=0
    decay = max(group["weight_decay"] for group in groups)
    for group in groups:
        if group.get("no_decay"):
            group["lr"] *= n_features
            group["weight_decay"] = decay / n_features


def auto_strategy(n_labels, costly=False):
    """Return the choice of ``"auto"`` for ``n_labels`` labels per class, according to ``bench_strategies.py``."""
    return GRADUAL if n_labels >= ENOUGH and not costly else LINEAR_PROBE


def is_costly(size, device):
    """Return True if training a net on a device takes too long to be chosen by ``"auto"``.

    Parameters
    ----------
    size : tuple of int or None
        (height, width) to which the net resizes images; None if it does not: such a net is the user's own or untrained,
        so that a linear probe may be useless.
    device : torch.device
    """
    return device.type == "cpu" and size is not None and size[0] * size[1] > AFFORDABLE_PIXELS


def describe_backbone(backbone, image_shape):
    """Return the report of ``verbose=1`` about a backbone."""
    height, width = backbone.preprocess.size or image_shape[:2]
    return f"backbone {backbone.name!r} at {height} x {width} pixels"


def describe_choice(backbone, image_shape, strategy, n_labels, by_cost):
    """Return the report of ``verbose=1`` about a backbone and a strategy."""
    text = f"{describe_backbone(backbone, image_shape)}, strategy {strategy!r}"
    if by_cost and n_labels >= ENOUGH:
        text += f": on a CPU, 'auto' does not train a net of this size; strategy={GRADUAL!r} does, but takes long"
    return text


def choose_strategy(strategy, freeze_until, everything, n_labels, at_once=False, costly=False):
    """Return the strategy to use; ``"auto"`` follows ``freeze_until``.

    Parameters
    ----------
    strategy : str
    freeze_until : int, float, str or None
        ``"head"`` turns any strategy into the linear probe. Any other value that conflicts with an explicit strategy
        raises an error.
    everything : bool
        True if ``freeze_until`` freezes the whole backbone.
    n_labels : float
        Number of labels per class.
    at_once : bool
        True to exclude gradual thawing: a callback freezes the net, or nothing in it is pretrained.
    costly : bool
        True if ``"auto"`` keeps the net frozen, regardless of the number of labels; see :func:`is_costly`.
    """
    if freeze_until == "head":
        return LINEAR_PROBE
    if strategy == "auto":
        if freeze_until is None:
            found = auto_strategy(n_labels, costly)
            return FINE_TUNE if at_once and found == GRADUAL else found
        return LINEAR_PROBE if everything else FINE_TUNE
    if freeze_until is not None and everything != (strategy == LINEAR_PROBE):
        trains = "the head alone" if everything else "more than the head"
        raise ValueError(
            f"strategy={strategy!r} cannot be combined with freeze_until={freeze_until!r}, which trains {trains}: use "
            'the default of one of them, or pass freeze_until="head", which turns any strategy into the linear probe'
        )
    return strategy


def check_rates(strategy, backbone_lr_scale, layer_decay):
    """Raise an error if learning rates are set for a backbone that is not trained."""
    for name, value in {"backbone_lr_scale": backbone_lr_scale, "layer_decay": layer_decay}.items():
        if strategy == LINEAR_PROBE and value != 1:
            raise ValueError(
                f"{name}={value} cannot be combined with the strategy 'linear-probe', which trains only the head and "
                "is the choice of 'auto' for few labels: set strategy='fine-tune' to train the backbone"
            )


def labels_per_class(y):
    """Return the mean number of rows per class; for regression and multilabel targets, a tenth of the rows."""
    return len(y) / len(np.unique(y)) if y.dtype == np.int64 else len(y) / 10
