"""Add a backbone to a graph, from images to pooled features.

The nodes up to the feature maps of the last stage are in the scope ``backbone``, which quantization looks for.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from ...training._precision import BFLOAT16
from ...transfer.backbones._backbone import Backbone
from ...transfer.backbones._stages import main_tensor
from ...transfer.cache._fingerprint import fingerprint_of
from ...transfer.freezing._freeze import set_frozen
from ...transfer.freezing._layers import forward_hooks
from .._graph import Graph, Value
from ._pixels import preprocess, scale_pixels
from ._torch_graphs import BACKBONE, copy_module, embed_module


class Trunk(nn.Module):
    """The net of a backbone, returning the unpooled outputs of some stages.

    Parameters
    ----------
    backbone : Backbone
    stages : list of str or None
        None for the output of the net.
    """

    def __init__(self, backbone, stages):
        super().__init__()
        self.backbone, self.stages = backbone, stages

    def forward(self, x):
        """Return a tuple of outputs for preprocessed images; torch's exporter drops the layers after the last one."""
        found = {}

        def note(name, output):
            found.setdefault(name, main_tensor(output).clone())  # the next module may overwrite it

        with forward_hooks(self.backbone.model, self.stages or (), note):
            whole = self.backbone.run(x)
        return (main_tensor(whole),) if self.stages is None else tuple(found[name] for name in self.stages)


def add_features(graph: Graph, prefix, images: Value) -> Value:
    """Return the features of canonical images; steps with the same images and backbone share them.

    Parameters
    ----------
    graph : Graph
    prefix : Prefix
        The backbone as a fitted estimator uses it.
    images : Value
        Images of shape (height, width, channels).
    """
    graph.is_rounded |= prefix.precision == BFLOAT16
    backbone, stages = prefix.backbone, prefix.stages
    key = "features", fingerprint_of(backbone), str(stages), prefix.value_range, images.name
    if key not in graph.shared:
        x = preprocess(graph, scale_pixels(graph, images, prefix.value_range), backbone.preprocess)
        copied = copy_module(backbone)
        set_frozen(copied.model, copied.layer_order, 0)  # removes the hooks of frozen layers
        maps = embed_module(graph, Trunk(copied, stages), x, backbone.name, BACKBONE)
        pooled = [pool(graph, one, name, backbone) for one, name in zip(maps, stages or [None], strict=True)]
        graph.shared[key] = graph.concat(pooled)
    return graph.shared[key]


def pool(graph: Graph, x: Value, stage: str | None, backbone: Backbone) -> Value:
    """Return the mean over all positions and, for a stage with few channels, also over each quarter."""
    if len(x.shape) == 1:
        return x
    axis = backbone._channel_axes[stage or ""]
    axis = (2 if len(x.shape) == 2 else 1) if axis is None else axis
    channels = x.shape[axis - 1]
    if axis != 1:
        order = [0, axis, *(other for other in range(1, len(x.shape) + 1) if other != axis)]
        x = graph.op("Transpose", x, dtype=x.dtype, shape=[x.shape[i - 1] for i in order[1:]], perm=order)
    positions = x.shape[1:]
    weights = [np.full(positions, 1 / np.prod(positions))]
    if stage in backbone._quartered and len(positions) == 2 and min(positions) >= 2:
        weights += quarters(*positions)
    x = graph.reshape(x, (channels, int(np.prod(positions))))
    means = np.stack([one.ravel() for one in weights], axis=1)
    x = graph.op("MatMul", x, graph.constant(means, x.dtype), dtype=x.dtype, shape=(channels, len(weights)))
    if len(weights) == 1:
        return graph.reshape(x, (channels,))
    whole, rest = (graph.constant(index, np.int64) for index in ([0], [1, 2, 3, 4]))
    parts = [graph.op("Gather", x, index, dtype=x.dtype, shape=(channels, 1), axis=2) for index in (whole, rest)]
    return graph.concat([graph.reshape(part, (channels * n,)) for part, n in zip(parts, (1, 4), strict=True)])


def quarters(height: int, width: int) -> list[np.ndarray]:
    """Return the weights of all positions in the mean over each quarter, as in ``adaptive_avg_pool2d``."""
    found = []
    for rows in halves(height):
        for columns in halves(width):
            weights = np.zeros((height, width))
            weights[rows, columns] = 1
            found.append(weights / weights.sum())
    return found


def halves(side: int) -> tuple[slice, slice]:
    """Return the two halves of a side; the position in the middle of an odd one is in both."""
    return slice(0, (side + 1) // 2), slice(side // 2, side)


def add_signed_power(graph: Graph, x: Value, softness: float = 1e-3) -> Value:
    """Return the signed power of features: see :func:`~sktricks.transfer._backbone_net.signed_power`."""
    y = graph.op("Abs", x, dtype=x.dtype, shape=x.shape)
    y = graph.binary("Add", y, softness)
    for _ in range(2):
        y = graph.op("Sqrt", y, dtype=x.dtype, shape=x.shape)
    return graph.binary("Div", x, y)
