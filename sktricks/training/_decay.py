"""Which parameters decay: the weights of maps and embeddings, not biases, nor what scales and shifts in a norm.

Decay pulls a map towards a simpler one. A bias or the scale of a norm is not simpler at 0, and the usual recipes spare
them (He et al. 2019): whatever has fewer than two dimensions.
"""

from __future__ import annotations


def split_by_decay(group, also_of=None):
    """The groups of an optimizer that a group of its parameters becomes: those that decay, and those that do not.

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
    """Whether a parameter is a vector or a number."""
    return parameter.ndim < 2
