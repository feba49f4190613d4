"""The strategy ``"gradual"``: thaw the stages of a backbone one by one, starting with the last."""

from __future__ import annotations

from .freezing._freeze import ThawBackbone
from .freezing._layers import find_boundary


def thaw_by_stages(prefix, epochs):
    """Return a callback that thaws the stages of a prefix, except those that ``freeze_until`` keeps frozen."""
    layers = prefix.backbone.layers
    starts = [max(find_boundary(layers, stage), prefix.n_frozen) for stage in prefix.backbone.stages]
    return ThawBackbone(len(layers), thawing_schedule([prefix.n_frozen, *starts], len(layers), epochs))


def thawing_schedule(starts, n_layers, epochs):
    """Return the number of frozen layers from each epoch on, as a dict by epoch (Howard & Ruder 2018).

    At first, only the head is trained; the stages are thawed one by one, the last stage first, over the first half of
    the epochs.

    Parameters
    ----------
    starts : list of int
        Index of the first trained layer of each stage, in execution order.
    n_layers : int
        Number of layers of the backbone.
    epochs : int
    """
    schedule, thawed = {}, sorted({start for start in starts if start < n_layers}, reverse=True)
    for index, start in enumerate(thawed, 1):
        schedule[min(1 + max(1, round(index * epochs / (2 * len(thawed)))), epochs)] = start
    return schedule
