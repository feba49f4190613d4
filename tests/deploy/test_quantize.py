"""int8: only the backbone, a quarter of the size, and errors if the outputs change too much."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktricks import FineTuneClassifier
from sktricks.deploy._export import build_model
from sktricks.deploy._graph import Graph
from sktricks.deploy._onnx_errors import OnnxMismatchError
from sktricks.deploy._quantize import check_quantized, is_in_backbone, quantize_backbone
from sktricks.deploy.converters._torch_graphs import BACKBONE, embed_module

from ._agreement import run

DIGITS, CODES = load_digits(return_X_y=True)
IMAGES = (DIGITS * 15.9).astype(np.uint8).reshape(-1, 8, 8)[:600]
CODES = CODES[:600]


@pytest.fixture(scope="module")
def exported():
    net = FineTuneClassifier("tiny32", strategy="linear-probe", random_state=0).fit(IMAGES[:300], CODES[:300])
    return build_model(net, IMAGES[:2])[1]


@pytest.fixture(scope="module")
def quantized(exported):
    before = exported.SerializeToString()
    model = quantize_backbone(exported, {"X": IMAGES[:60]})
    assert exported.SerializeToString() == before
    return model


def test_int8_is_small_and_keeps_the_labels(exported, quantized):
    assert len(quantized.SerializeToString()) < 0.3 * len(exported.SerializeToString())
    before, after = run(exported, IMAGES[300:]), run(quantized, IMAGES[300:])
    changes = check_quantized(before, after, 0.02, 0.01)
    assert changes["label_changes"] + abs(changes["loss_increase"]) > 0
    assert (after["label"] == CODES[300:]).mean() > (before["label"] == CODES[300:]).mean() - 0.01


def test_only_the_backbone_is_quantized(quantized):
    outside = [node for node in quantized.graph.node if node.op_type in ("MatMul", "Gemm", "Sqrt", "Div")]
    made_here = {name for node in quantized.graph.node if node.op_type == "QuantizeLinear" for name in node.output}
    assert outside and not any(made_here.intersection(node.input) for node in outside)
    assert sum(is_in_backbone(node.name) for node in quantized.graph.node) > 10


def test_reduce_range_uses_seven_bits(exported):
    from onnx import numpy_helper

    model = quantize_backbone(exported, {"X": IMAGES[:16]}, reduce_range=True)
    arrays = [numpy_helper.to_array(one) for one in model.graph.initializer if len(one.dims) == 4]
    weights = [array for array in arrays if array.dtype == np.int8]
    assert len(weights) == 10
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) <= 64


def test_error_with_figures():
    before = {"label": np.array(["a", "b", "a", "a"]), "probabilities": np.float32([[0.9, 0.1], [0.4, 0.6]] * 2)}
    after = {"label": np.array(["a", "a", "a", "a"]), "probabilities": np.float32([[0.8, 0.2], [0.6, 0.4]] * 2)}
    with pytest.raises(OnnxMismatchError, match=r"25.00% of the labels.*0\.0[0-9]+"):
        check_quantized(before, after, 0.1, 1)
    changes = check_quantized(before, after, 0.3, 0.1)
    assert changes["label_changes"] == 0.25
    np.testing.assert_allclose(changes["loss_increase"], 0.0589, atol=1e-4)
    with pytest.raises(OnnxMismatchError, match="raises the loss"):
        check_quantized(before, after, 0.3, 0.01)
    after["probabilities"] = after["probabilities"] * np.nan
    with pytest.raises(OnnxMismatchError, match="inf"):
        check_quantized(before, after, 1, 1e9)


def test_values_and_several_labels():
    values = {"prediction": np.array([1.0, 2.0, 3.0])}
    assert check_quantized(values, {"prediction": values["prediction"] + 0.01}, 0, 0.001)["loss_increase"] < 2e-4
    labels = {"label": np.array([[0, 1], [1, 1]]), "probabilities": np.array([[0.2, 0.9], [0.8, 0.7]])}
    assert check_quantized(labels, labels, 0, 0) == {"label_changes": 0.0, "loss_increase": 0.0}
    with pytest.raises(OnnxMismatchError, match=r"50.00%"):
        check_quantized(labels, {**labels, "label": np.array([[0, 1], [0, 1]])}, 0.4, 1)


def test_refuses_what_has_no_convolutions(exported):
    table = build_model(make_pipeline(LogisticRegression()).fit(DIGITS[:99], CODES[:99]), DIGITS[:2])[1]
    with pytest.raises(ValueError, match="has no backbone"):
        quantize_backbone(table, {"X": DIGITS[:9]})
    graph = Graph()
    module = torch.nn.Sequential(OrderedDict(backbone=torch.nn.Linear(64, 3)))
    (y,) = embed_module(graph, module, graph.add_input("X", np.float32, (64,)), "module", BACKBONE)
    with pytest.raises(ValueError, match="with 100% of its weights in other layers"):
        quantize_backbone(graph.build({"y": y}), {"X": DIGITS[:9].astype(np.float32)})
    with pytest.raises(ValueError, match="calibration_data must have at least one row"):
        quantize_backbone(exported, {"X": IMAGES[:0]})
