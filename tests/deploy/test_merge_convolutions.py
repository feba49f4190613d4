"""BatchNorms and slices that are merged into a convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sktricks.deploy._graph import Graph
from sktricks.deploy.converters._torch_graphs import embed_module
from sktricks.transfer.backbones._lite0 import SameConv2d, layer

from ._agreement import run


class Cut(nn.Module):
    """A convolution whose first outputs are sliced off, some of them by more than its padding."""

    def __init__(self, start):
        super().__init__()
        self.conv, self.start = nn.Conv2d(2, 3, 3, 2, 2), start

    def forward(self, x):
        return self.conv(x)[:, :, self.start :]


class Twice(nn.Module):
    """A convolution whose outputs are both normalized and used directly."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        return y + self.norm(y)


def learned(module):
    """The module with statistics and weights like after a training."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight.data, part.running_var, part.bias.data, part.running_mean):
                tensor.uniform_(0.5, 2)
    return module.eval()


@pytest.mark.parametrize(
    "module, left",
    [
        (nn.Sequential(layer(2, 4, 3, 2), layer(4, 4, 5, 2, groups=4)), {"Conv", "Clip"}),
        (nn.Sequential(SameConv2d(2, 4, 3, 2), nn.BatchNorm2d(4)), {"Conv"}),
        (Cut(1), {"Conv"}),
        (Cut(2), {"Conv", "Slice"}),
        (Twice(), {"Conv", "Add", "BatchNormalization"}),
    ],
)
def test_merged_graphs_agree(module, left):
    module, graph = learned(module), Graph()
    x = torch.rand(3, 2, 9, 12)
    (y,) = embed_module(graph, module, graph.add_input("X", np.float32, x.shape[1:]), "module")
    assert {node.op_type for node in graph.nodes} == left
    with torch.no_grad():
        np.testing.assert_allclose(run(graph.build({"y": y}), x.numpy())["y"], module(x), rtol=1e-5, atol=1e-5)
