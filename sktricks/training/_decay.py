"""Weight decay for linear, convolution and embedding weights, but not for biases and normalization layers.

Weight decay pulls a layer towards a simpler function. For biases and the scales of normalization layers, 0 is not
simpler, so the usual recipes exclude them (He et al. 2019). They are the parameters with fewer than two dimensions.
"""

from __future__ import annotations


def split_by_decay(group, also_of=None):
    """Split a parameter group of an optimizer into parameters with and without weight decay.

    Parameters
    ----------
    group : dict
        ``params`` and settings. A group with its own ``weight_decay`` is not split, unless the value is ``also_of``.
    also_of : float, default=None
        Value of ``weight_decay`` at which a group is split nevertheless.

    Returns
    -------
    groups : list of dict
        One group or two. ``no_decay`` is True in the group without weight decay.
    """
    if group.get("weight_decay", also_of) != also_of:
        return [group]
    decayed, others = ([p for p in group["params"] if has_no_decay(p) is wanted] for wanted in (False, True))
    groups = {**group, "params": decayed}, {**group, "params": others, "weight_decay": 0.0, "no_decay": True}
    return [part for part in groups if part["params"]]


def has_no_decay(parameter):
    """Return True for a parameter without weight decay: a vector or a single number."""
    return parameter.ndim < 2
