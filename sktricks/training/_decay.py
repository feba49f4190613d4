"""Which parameters have weight decay: linear, convolution and embedding weights, not biases or parameters of norms.

Decay pulls a layer towards a simpler one. A bias or the scale of a norm is not simpler at 0, and the usual recipes have
no weight decay for them (He et al. 2019): all parameters with fewer than two dimensions.
"""

from __future__ import annotations


def split_by_decay(group, also_of=None):
    """Split a group of an optimizer into parameters with weight decay and those without.

    Parameters
    ----------
    group : dict
        ``params`` and settings. One that says ``weight_decay`` itself stays as it is,
    also_of : float, default=None
        but for one that says this.

    Returns
    -------
    groups : list of dict
        One or two; ``spared`` is True in that of parameters which do not decay.
    """
    if group.get("weight_decay", also_of) != also_of:
        return [group]
    maps, vectors = ([p for p in group["params"] if is_spared(p) is spared] for spared in (False, True))
    groups = {**group, "params": maps}, {**group, "params": vectors, "weight_decay": 0.0, "spared": True}
    return [part for part in groups if part["params"]]


def is_spared(parameter):
    """Return True for a parameter without weight decay: a vector or a number."""
    return parameter.ndim < 2
