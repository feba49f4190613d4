"""The channel means of a changed graph equal those of the original."""

from __future__ import annotations

import numpy as np
import torch

from sktricks.deploy._graph import Graph
from sktricks.deploy._shift_outputs import find_readers, shift_outputs
from sktricks.deploy.converters._torch_graphs import embed_module

from ._agreement import run


def is_inside(name):
    return "inside" in name


def test_means_of_channels_stay():
    from onnx import numpy_helper

    torch.manual_seed(0)
    graph = Graph()
    x = graph.add_input("X", np.float32, (2, 6, 6))
    with graph.scope("inside"):
        (maps,) = embed_module(graph, torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU()), x, "module")
    y = graph.binary("Add", maps, maps)
    before = graph.build({"y": graph.binary("Mul", y, 2), "z": graph.binary("Sub", maps, 1)})
    after = type(before)()
    after.CopyFrom(before)
    for tensor in after.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(np.round(array * 4) / 4, tensor.name))
    assert sorted(map(len, find_readers(before, is_inside).values())) == [3]
    rows = np.random.default_rng(0).random((20, 2, 6, 6), np.float32)
    expected, changed = run(before, rows), run(after, rows)
    shift_outputs(before, after, is_inside, [{"X": rows[:12]}, {"X": rows[12:]}])
    found = run(after, rows)
    for name in ("y", "z"):
        assert np.abs((changed[name] - expected[name]).mean((0, 2, 3))).max() > 1e-3
        np.testing.assert_allclose(found[name].mean((0, 2, 3)), expected[name].mean((0, 2, 3)), rtol=0, atol=1e-5)
