"""Converters of FineTuneClassifier, FineTuneRegressor and PretrainedFeatures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks import FineTuneClassifier, FineTuneRegressor, NetClassifier, PretrainedFeatures
from sktricks.deploy._export import build_model
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError
from sktricks.deploy.converters._pixels import resizing_matrices
from sktricks.transfer.backbones._backbone import resize, resize_and_crop

from ._agreement import assert_agrees

ROWS, CODES = (part[:96] for part in load_digits(return_X_y=True))
NAMES = np.array([f"digit {code}" for code in CODES])
GRAY = (ROWS * 15.9).astype(np.uint8).reshape(-1, 8, 8)
COLOR = np.stack([GRAY, GRAY[:, ::-1], 255 - GRAY], axis=-1)
QUICK = {"max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def probe():
    return FineTuneClassifier("tiny32", strategy="linear-probe", random_state=0).fit(COLOR, NAMES)


def test_probe_of_color_images(probe):
    assert next(probe.net_.module_.head.parameters()).dtype == torch.float64  # one batch of rows
    model = assert_agrees(probe, COLOR, 1e-5)
    names = [node.name for node in model.graph.node]
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions and all(name.startswith("graph") and "/backbone/" in name for name in convolutions)
    others = {"MatMul", "Gemm", "Softmax", "Sqrt", "Div"}
    assert not any("/backbone/" in node.name for node in model.graph.node if node.op_type in others)
    assert len(names) == len(set(names))


def test_rows_of_floats():
    X = COLOR.reshape(96, -1) / np.float32(255)
    net = FineTuneClassifier("tiny32", strategy="linear-probe", image_shape=(8, 8, 3), random_state=0)
    assert_agrees(net.fit(X, CODES), X, 1e-5)


def test_thawed_layers():
    net = FineTuneClassifier("tiny32", strategy="gradual", **QUICK).fit(GRAY, NAMES)
    assert_agrees(net, GRAY, 2e-5)


def test_frozen_layers_and_regression():
    net = FineTuneRegressor("tiny32", freeze_until=0.5, **QUICK).fit(GRAY, np.stack([CODES, -CODES * 1e3], 1))
    assert_agrees(net, GRAY, 2e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit"])
def test_backbones_of_timm(name):
    pytest.importorskip("timm")
    features = PretrainedFeatures(f"untrained:timm:{name}", cache=None).fit(np.resize(COLOR, (8, 32, 32, 3)))
    X = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    model = assert_agrees(features, X, 1e-4)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions and all("/backbone/" in node for node in convolutions)
    if name == "test_resnet":
        pools = [n.name for n in model.graph.node if n.op_type in ("GlobalAveragePool", "ReduceMean")]
        assert pools and not any("/backbone/" in node for node in pools)


def test_stages_are_pooled_over_quarters_of_odd_maps():
    pytest.importorskip("timm")
    features = PretrainedFeatures("untrained:timm:test_resnet", cache=None).fit(np.resize(COLOR, (4, 40, 56, 3)))
    stages = features.backbone_.stages
    X = np.random.default_rng(0).random((4, 40, 56, 3))
    assert_agrees(features.set_params(stages=stages).fit(X), X, 1e-4)


def test_features_keep_the_dtype_and_end_at_the_last_stage():
    features = PretrainedFeatures("tiny32", stages=["stage1"])
    model = assert_agrees(make_pipeline(features, StandardScaler()).fit(GRAY / 255), GRAY / 255, 1e-4)
    assert model.graph.output[0].type.tensor_type.elem_type == 11  # float64
    assert sum(node.op_type == "Conv" for node in model.graph.node) < 6  # nothing after the stage


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "shape, size", [((9, 31), (12, 12)), ((40, 20), (16, 24)), ((50, 700), (8, 8)), ((8, 20), (8, 8))]
)
def test_resizing_is_two_matrices(shape, size, interpolation):
    x = torch.rand(2, 3, *shape)
    for mode, function in {"squash": resize, "crop": resize_and_crop}.items():
        rows, columns = map(torch.from_numpy, resizing_matrices(shape, size, interpolation, mode))
        found = rows @ x @ columns.T
        found = found.clamp(0, 1) if interpolation == "bicubic" else found
        torch.testing.assert_close(found, function(x, size, interpolation), rtol=0, atol=2e-6)


def test_crop_and_bicubic_in_a_graph():
    from sktricks import load_backbone

    backbone = load_backbone("tiny32", image_shape=(20, 50, 3), interpolation="bicubic")
    X = np.random.default_rng(0).integers(0, 256, (6, 20, 50, 3), np.uint8)
    assert_agrees(PretrainedFeatures(backbone, resize_mode="crop").fit(X), X, 1e-4)


def test_nets_for_images():
    assert_agrees(NetClassifier(**QUICK).fit(COLOR, NAMES), COLOR, 1e-5)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten())
    module.append(torch.nn.Linear(4 * 36, 10))
    assert_agrees(NetClassifier(module, **QUICK).fit(GRAY, CODES), GRAY, 1e-5)


def test_refuses_what_has_no_graph(probe):
    with pytest.raises(UnsupportedForOnnxError, match=r"input of shape \(9, 8, 3\)"):
        build_model(probe, np.zeros((2, 9, 8, 3), np.uint8))
    with pytest.raises(UnsupportedForOnnxError, match="ImageLoader"):
        build_model(NetClassifier(**QUICK).fit(COLOR, NAMES), ["a.png"])
