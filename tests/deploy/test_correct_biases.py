"""Biases that correct for rounded weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sktricks.deploy._correct_biases import correct_biases, rounded, shift_of_means
from sktricks.deploy._graph import Graph
from sktricks.deploy.converters._torch_graphs import embed_module


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_shift_of_the_means_of_outputs(groups):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(8, 4 // groups, 3, 3))
    x = np.broadcast_to(rng.random((4, 1, 1)), (4, 5, 5))[None]
    outputs = [F.conv2d(torch.tensor(x), torch.from_numpy(one), groups=groups) for one in (weight, rounded(weight, 3))]
    shift = shift_of_means(weight, x[0, :, 0, 0], 3)
    np.testing.assert_allclose((outputs[1] - outputs[0])[0, :, 0, 0], shift, atol=1e-12)
    assert np.abs(shift).max() > 0.05


def test_only_chosen_convolutions_change():
    numpy_helper = pytest.importorskip("onnx.numpy_helper")
    torch.manual_seed(0)
    graph = Graph()
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU(), torch.nn.Conv2d(3, 3, 1))
    (y,) = embed_module(graph, module, graph.add_input("X", np.float32, (2, 6, 6)), "module")
    model = graph.build({"y": y})
    first, second = (node for node in model.graph.node if node.op_type == "Conv")
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    rows = np.random.default_rng(0).random((8, 2, 6, 6), np.float32)
    correct_biases(model, [second.name], [{"X": rows[:5]}, {"X": rows[5:]}], 3)
    after = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    with torch.no_grad():
        inputs = module[:2](torch.from_numpy(rows)).numpy()
    expected = before[second.input[2]] - shift_of_means(before[second.input[1]], inputs.mean((0, 2, 3)), 3)
    np.testing.assert_allclose(after[second.input[2]], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(after[first.input[2]], before[first.input[2]])
