"""The strategies: how ``"auto"`` chooses one, and the settings that each trains with."""

from __future__ import annotations

import numpy as np

from ..training._decay import split_by_decay

LINEAR_PROBE, FINE_TUNE, LP_FT, GRADUAL = "linear-probe", "fine-tune", "lp-ft", "gradual"
STRATEGIES = (LINEAR_PROBE, FINE_TUNE, LP_FT, GRADUAL)
SCRATCH = "from-scratch"  # the default net for tables
ENOUGH = 100  # labels per class from which training the whole net wins over a linear model on its features

# Pixels of an image up to which "auto" trains the whole net on a CPU. The time of a step grows with them: an epoch of
# tiny32 (32 x 32) on 600 images takes seconds, one of lite0 (224 x 224) over a minute, and there are 15.
AFFORDABLE_PIXELS = 64 * 64

# Values of parameters that are None. A head alone learns by gradient descent from zero, which regularizes it like a
# ridge penalty if it stops in time (Ali, Kolter & Tibshirani 2019); with SGD, :func:`probe_settings` adds to that.
WHOLE_NET = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.05, "max_epochs": 15, "batch_size": 64}
TRAINING = {
    LINEAR_PROBE: {"optimizer": "sgd", "lr": 1e-3, "weight_decay": 0.0, "max_epochs": 100, "batch_size": 128},
    FINE_TUNE: WHOLE_NET,
    LP_FT: WHOLE_NET,  # after a linear probe with the settings above
    GRADUAL: WHOLE_NET,
    SCRATCH: {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.01, "max_epochs": 20, "batch_size": 128},
}


# A linear probe with SGD, if the mean squared norm of rows were 1. Even if all features are the same, gradient descent
# with momentum 0.9 is stable up to a rate of 7.6 for a cross-entropy, and of 1.9 for a squared error.
CLASS_RATE, VALUE_RATE = 6.0, 1.0
C = 40.0  # inverse strength of the penalty, as in a logistic regression


def probe_settings(n_features, n_rows, by_class):
    """Return the settings of a linear probe with SGD: the same fit for narrow and for wide backbones.

    The weight decay is the penalty of scikit-learn's ``LogisticRegression`` with ``C`` on features that are divided by
    the root of their number.

    Parameters
    ----------
    n_features : int
        Number of features, of variance 1 on average.
    n_rows : float
        Number of rows; a row of weight 2 counts as two.
    by_class : bool
        True for classes. Values have no weight decay, since the best one depends on their noise.
    """
    lr = (CLASS_RATE if by_class else VALUE_RATE) / n_features
    weight_decay = n_features / (C * n_rows) if by_class else 0.0
    return {**TRAINING[LINEAR_PROBE], "lr": lr, "weight_decay": weight_decay}


def raise_bias_rate(optimizer, n_features):
    """Train the bias like the weight of a feature whose square is ``n_features``, the sum of those of all others.

    It is otherwise the weight of a feature that is 1, and hardly learns.
    """
    groups = optimizer.param_groups
    groups[:] = [part for group in groups for part in split_by_decay(group, also_of=0)]  # one without any is not split
    decay = max(group["weight_decay"] for group in groups)
    for group in groups:
        if group.get("no_decay"):
            group["lr"] *= n_features
            group["weight_decay"] = decay / n_features


def auto_strategy(n_labels, costly=False):
    """Return the strategy of ``"auto"`` for ``n_labels`` labels per class; measured by ``bench_strategies.py``."""
    return GRADUAL if n_labels >= ENOUGH and not costly else LINEAR_PROBE


def is_costly(size, device):
    """Return True if training a net on a device takes too long to do so unasked.

    Parameters
    ----------
    size : tuple of int or None
        (height, width) that the net resizes images to; None if it takes them as they are: such a net is the user's own
        or untrained, and a linear probe may be worth nothing.
    device : torch.device
    """
    return device.type == "cpu" and size is not None and size[0] * size[1] > AFFORDABLE_PIXELS


def describe_backbone(backbone, image_shape):
    """Return what ``verbose=1`` reports of a backbone."""
    height, width = backbone.preprocess.size or image_shape[:2]
    return f"backbone {backbone.name!r} at {height} x {width} pixels"


def describe_choice(backbone, image_shape, strategy, n_labels, by_cost):
    """Return what ``verbose=1`` reports of a backbone and a strategy."""
    text = f"{describe_backbone(backbone, image_shape)}, strategy {strategy!r}"
    if by_cost and n_labels >= ENOUGH:
        text += f": on a CPU, 'auto' does not train a net of this size; strategy={GRADUAL!r} does, and takes long"
    return text


def choose_strategy(strategy, freeze_until, everything, n_labels, at_once=False, costly=False):
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
    costly : bool
        True if ``"auto"`` keeps the net frozen, however many labels there are; see :func:`is_costly`.
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
