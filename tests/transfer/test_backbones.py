import copy
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from sktricks import FineTuneClassifier, PretrainedFeatures, list_backbones, load_backbone
from sktricks.transfer.backbones import Backbone, Tiny32, _bundled
from sktricks.transfer.backbones._backbone import Preprocess, gives_quarters, pool

VARIABLE = "SKTRICKS_TINY32"
IMAGES = np.random.default_rng(0).random((6, 8, 8)).astype(np.float32)
LABELS = np.arange(6) % 2


class Conv(nn.Module):
    """A net whose stages run in another order than they are registered, with a classifier."""

    def __init__(self, channels=1):
        super().__init__()
        self.classifier = nn.Linear(6, 10)
        self.late = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.act = nn.ReLU()
        self.early = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x):
        return self.classifier(self.late(self.act(self.early(x))).mean((2, 3)))


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def tiny32():
    return load_backbone("tiny32")


# -- tiny32 ------------------------------------------------------------------------------------------------------------


def test_tiny32(tiny32):
    assert isinstance(tiny32, Backbone) and tiny32.name == "tiny32" and list_backbones() == ["tiny32", "lite0"]
    assert tiny32.stages == ["stem", "stage1", "stage2", "stage3"] and tiny32.num_features == 256
    assert tiny32.preprocess.size == (32, 32) and tiny32.preprocess.channels == 3
    assert not any(part.training for part in tiny32.model.modules())
    assert all(tensor.isfinite().all() for tensor in tiny32.model.state_dict().values())


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 8, 8), (2, 1, 28, 28), (2, 3, 32, 32), (2, 3, 50, 40)])
def test_tiny32_takes_images_of_every_size_grey_or_colour(tiny32, shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    ready = tiny32.preprocess(images)
    assert ready.shape == (2, 3, 32, 32)
    with torch.no_grad():
        features = tiny32.features(ready)
        assert features.shape == (2, 256) and torch.equal(tiny32(ready), features)
        assert not torch.allclose(features[0], features[1])


def test_features_of_stages(tiny32):
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        early, late, both = (tiny32.features(x, stages) for stages in (["stage1"], ["stage3"], ["stage1", "stage3"]))
        assert torch.equal(both, torch.cat([early, late], 1))
        torch.testing.assert_close(late[:, :256], tiny32.features(x))
        swapped = tiny32.features(x, ["stage3", "stage1"])
    assert torch.equal(swapped, torch.cat([late, early], 1))
    assert not any(part._forward_hooks for part in tiny32.model.modules())


def test_threads_share_a_backbone():
    backbone = load_backbone(Conv, image_shape=(8, 8, 1))
    images = torch.rand(4, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    stages = [["early", "late"], ["late", "early"], ["late"], ["early"]]
    with torch.no_grad():
        expected = list(map(backbone.features, images, stages))
    barrier = threading.Barrier(4)

    def wait(module, inputs):
        barrier.wait(30)

    backbone.model.register_forward_pre_hook(wait)  # until all threads have begun
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(torch.no_grad()(backbone.features), images, stages))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert not any(part._forward_hooks for part in backbone.model.modules())


def test_hooks_change_while_a_pass_ends():
    """As another thread changes them; torch looks for hooks that must be called after an error, as this one."""
    backbone = load_backbone(Conv, image_shape=(8, 8, 1))
    images, calls = torch.rand(2, 1, 8, 8), []
    expected = backbone.features(images, ["early"])

    def change(part, inputs, output):
        calls.append(part)
        part.register_forward_hook(lambda *_: None).remove()

    def add_hook(module, inputs):  # behind that of the pass, which ends it
        backbone.model.early.register_forward_hook(change, always_call=True)
        backbone.model.early.register_forward_hook(lambda *_: None)

    backbone.model.register_forward_pre_hook(add_hook)
    torch.testing.assert_close(backbone.features(images, ["early"]), expected)
    assert calls == [backbone.model.early]
    with pytest.raises(RuntimeError):  # an error of the net is not suppressed
        backbone.features(images.expand(2, 2, 8, 8), ["early"])


def test_a_fingerprint_while_another_thread_computes():
    backbone = load_backbone(Conv, image_shape=(8, 8, 1))
    inside, leave = threading.Event(), threading.Event()

    def wait(module, inputs):
        inside.set()
        leave.wait(30)

    backbone.model.register_forward_pre_hook(wait)
    first = backbone.fingerprint()
    with ThreadPoolExecutor(1) as pool:
        features = pool.submit(backbone.features, torch.zeros(1, 1, 8, 8), ["late"])
        assert inside.wait(30)
        meanwhile = backbone.fingerprint()
        leave.set()
    assert meanwhile == first and features.result().shape == (1, 30)


def test_loading_moves_no_generator():
    before = torch.get_rng_state()
    load_backbone("tiny32")
    assert torch.equal(torch.get_rng_state(), before)


def test_loading_again_gives_the_same(tiny32):
    assert load_backbone("tiny32").fingerprint() == tiny32.fingerprint()
    assert load_backbone().fingerprint() == tiny32.fingerprint()


# -- the file of weights -----------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A user's weights file, to which the environment variable points."""
    path = tmp_path / "own.safetensors"
    path.write_bytes(Path(os.environ.get(VARIABLE) or _bundled.WEIGHTS).read_bytes())
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def loaders():
    return [
        lambda: load_backbone("tiny32"),
        lambda: FineTuneClassifier(max_epochs=1).fit(IMAGES, LABELS),
        lambda: PretrainedFeatures().fit(IMAGES),
    ]


def test_weights_of_ones_own(weights, tiny32):
    assert load_backbone("tiny32").fingerprint() == tiny32.fingerprint()
    tensors = safetensors.torch.load_file(weights)
    tensors["stem.0.weight"] = tensors["stem.0.weight"] * 2
    safetensors.torch.save_file(tensors, weights)
    own = load_backbone("tiny32")
    assert own.fingerprint() != tiny32.fingerprint()
    assert torch.equal(own.model.stem[0].weight, tiny32.model.stem[0].weight * 2)


@pytest.mark.pretrained
def test_an_empty_variable_is_none(monkeypatch, tiny32):
    monkeypatch.setenv(VARIABLE, "")
    assert load_backbone("tiny32").fingerprint() == tiny32.fingerprint()


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
@pytest.mark.parametrize("load", loaders(), ids=["load_backbone", "FineTuneClassifier", "PretrainedFeatures"])
def test_a_truncated_file(weights, keep, load):
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ValueError, match="weights of tiny32 in .*own.safetensors are truncated or modified"):
        load()


def test_a_file_of_something_else(weights):
    weights.write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(ValueError, match="truncated or modified"):
        load_backbone("tiny32")


@pytest.mark.pretrained
def test_the_bundled_file_altered(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    content = bytearray(_bundled.WEIGHTS.read_bytes())
    content[-1] ^= 1  # one bit outside of the header
    altered = tmp_path / "tiny32.safetensors"
    altered.write_bytes(content)
    monkeypatch.setattr(_bundled, "WEIGHTS", altered)
    with pytest.raises(ValueError, match="must be those of sktricks, but differ: install it again"):
        load_backbone("tiny32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem.0.weight": torch.zeros(2, 3, 3, 3)}, r"stem.0.weight must have the shape .*, got .*2, 3, 3, 3"),
        ({"stem.0.weight": None}, r"stem.0.weight must have the shape .*, got None"),
        ({"more": torch.zeros(3)}, r"more must have the shape None, got .*\[3\]"),
    ],
)
def test_weights_that_do_not_fit(weights, change, message):
    tensors = {**safetensors.torch.load_file(weights), **change}
    safetensors.torch.save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, weights)
    with pytest.raises(ValueError, match=f"own.safetensors do not fit tiny32: {message}"):
        load_backbone("tiny32")


def test_a_missing_file_and_a_folder(weights, tmp_path, monkeypatch):
    weights.unlink()
    with pytest.raises(ValueError, match="cannot be read from .*own.safetensors: No such file"):
        load_backbone("tiny32")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match="cannot be read from"):
        load_backbone("tiny32")


# -- what is not a backbone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny64", "resnet18", "auto", "", "timm:", "nothing.here:net", "json.nothing:net"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(
        ValueError, match=rf"^backbone='{name}' is unknown.*\['tiny32', 'lite0'\], a name with its source"
    ):
        load_backbone(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("tiny23", "tiny32"), ("tim:resnet18", "timm:resnet18"), ("torchvison:vgg11", "torchvision:vgg11")],
)
def test_an_unknown_name_like_a_known_one(name, meant):
    with pytest.raises(ValueError, match=rf"\(did you mean '{meant}'\?\)"):
        load_backbone(name)


@pytest.mark.parametrize(
    ("spec", "missing", "extra"),
    [
        ("timm:resnet18", "timm", "vision"),
        ("untrained:torchvision:resnet18", "torchvision", "vision"),
        ("hf:someone/net", "transformers", "hf"),
    ],
)
def test_a_missing_extra(spec, missing, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf'^{missing} is required .* pip install "sktricks\[{extra}\]"$'):
        load_backbone(spec)
    assert load_backbone("tiny32").num_features == 256


def test_lists_of_hubs(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="^timm is required"):
        list_backbones("timm:*")
    with pytest.raises(
        ValueError, match=r"pattern must begin with one of \['timm:', 'torchvision:', 'hf:'\], got 'res"
    ):
        list_backbones("resnet*")


@pytest.mark.parametrize("wrong", [3, None, ["tiny32"]])
def test_a_wrong_type(wrong):
    with pytest.raises(TypeError, match="backbone must be a name, a module class, a factory or an instance, got"):
        load_backbone(wrong)


def test_a_factory_of_something_else():
    with pytest.raises(TypeError, match="backbone must return a torch module, .* returned int"):
        load_backbone(lambda: 3)


# -- modules of ones own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [Conv, Conv(), lambda: Conv()], ids=["class", "instance", "factory"])
def test_kinds_of_modules(spec):
    backbone = load_backbone(spec, image_shape=(8, 8, 1))
    assert backbone.name == "Conv" and backbone.num_features == 6
    assert backbone.stages == ["early", "late"]
    assert [layer.name for layer in backbone.layers] == ["early", "late.0", "late.1"]
    assert backbone.features(torch.zeros(2, 1, 8, 8)).shape == (2, 6)


def test_an_instance_is_copied_and_not_changed():
    module = Conv().train()
    before = state(module)
    backbone = load_backbone(module, image_shape=(8, 8, 1))
    assert isinstance(module.classifier, nn.Linear) and isinstance(backbone.model.classifier, nn.Identity)
    assert same(before, state(module)) and all(part.training for part in module.modules())
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in module.modules())
    with torch.no_grad():
        backbone.model.early.weight.zero_()
    assert same(before, state(module))
    assert torch.equal(backbone.model.late[0].weight, module.late[0].weight)


@pytest.mark.parametrize(
    ("module", "n_features"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)), 5),
        (nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 3)))), 5),
        (nn.Sequential(nn.Conv2d(1, 7, 3)), 7),  # no classifier to remove
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5)), 5),
    ],
)
def test_the_last_linear_layer_is_taken_off(module, n_features):
    before = state(module)
    assert load_backbone(module, image_shape=(8, 8, 1)).num_features == n_features
    assert same(before, state(module))


def test_a_linear_layer_inside_stays():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate = nn.Conv2d(1, 6, 3), nn.Linear(6, 1)

        def forward(self, x):
            x = self.conv(x)
            return x * self.gate(x.mean((2, 3)))[..., None, None]

    assert isinstance(load_backbone(Gate, image_shape=(8, 8, 1)).model.gate, nn.Linear)


@pytest.mark.parametrize(("channels", "given"), [(1, 3), (3, 1), (1, 1), (3, 3)])
def test_channels_are_matched(channels, given):
    backbone = load_backbone(Conv(channels), image_shape=(8, 8, given))
    assert backbone.preprocess(torch.rand(2, given, 8, 8)).shape == (2, channels, 8, 8)


def test_copies_and_pickles():
    backbone = load_backbone(Conv, image_shape=(8, 8, 1))
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for again in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert again.fingerprint() == backbone.fingerprint()
        torch.testing.assert_close(again.eval()(x), backbone.eval()(x), rtol=0, atol=0)


# -- fingerprints ------------------------------------------------------------------------------------------------------


def test_fingerprint_changes_exactly_with_the_features():
    module = Conv()
    backbone = load_backbone(module, image_shape=(8, 8, 1))
    first = backbone.fingerprint()
    assert load_backbone(module, image_shape=(8, 8, 1)).fingerprint() == first
    assert backbone.requires_grad_(False).train().fingerprint() == first
    seen = {first}
    for change in ("early.weight", "late.0.bias", "late.1.weight", "late.1.running_mean", "late.1.running_var"):
        tensor = backbone.model.state_dict()[change].flatten()
        tensor[0] = np.nextafter(tensor[0].item(), np.inf, dtype=np.float32).item()  # the smallest change there is
        seen.add(backbone.fingerprint())
    assert len(seen) == 6


def test_fingerprint_knows_the_preprocessing():
    model, example = Conv(), torch.zeros(1, 1, 8, 8)
    ready = [Preprocess(channels=1), Preprocess(channels=1, mean=(0.5,), std=(1.0,)), Preprocess((8, 8), 1)]
    assert len({Backbone(model, one, example, "own").fingerprint() for one in ready}) == 3


def test_fingerprint_of_swapped_weights_differs():
    one, other = (nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1, bias=False)) for _ in range(2))
    with torch.no_grad():
        for module, first, second in ((one, 1, 2), (other, 2, 1)):
            module[0].weight.fill_(first)
            module[1].weight.fill_(second)
    prints = {load_backbone(module, image_shape=(8, 8, 1)).fingerprint() for module in (one, other)}
    assert len(prints) == 2


# -- preprocessing and pooling -----------------------------------------------------------------------------------------

X = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4) / 96


def test_preprocess_keeps_what_it_is_not_told_to_change():
    assert torch.equal(Preprocess()(X), X)
    assert torch.equal(Preprocess(size=(4, 4), channels=3)(X), X)


def test_preprocess_channels():
    grey = Preprocess(channels=1)(X)
    torch.testing.assert_close(grey, X.mean(1, keepdim=True))
    three = Preprocess(channels=3)(grey)
    assert three.shape == (2, 3, 4, 4) and torch.equal(three[:, 0], three[:, 2])
    for channels, n in ((3, 2), (1, 4), (3, 4)):
        with pytest.raises(ValueError, match=f"must have images of {channels} channels .*, got {n}"):
            Preprocess(channels=channels)(torch.zeros(1, n, 4, 4))


def test_preprocess_normalises_per_channel():
    ready = Preprocess(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))(X)
    for channel, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (1.0, 2.0, 4.0), strict=True)):
        torch.testing.assert_close(ready[:, channel], (X[:, channel] - mean) / std)


@pytest.mark.parametrize("size", [(8, 8), (2, 2), (3, 9), (2, 8)])
def test_preprocess_resizes_and_keeps_the_mean(size):
    ready = Preprocess(size=size)(X)
    assert ready.shape == (2, 3, *size)
    torch.testing.assert_close(ready.mean((2, 3)), X.mean((2, 3)), rtol=0, atol=0.02)


def test_preprocess_averages_when_it_makes_smaller():
    stripes = torch.tensor([0.0, 1.0]).repeat(16).expand(1, 1, 32, 32)
    smaller = Preprocess(size=(8, 8))(stripes)
    assert (smaller - 0.5).abs().max() < 0.1  # a plain bilinear step would see only every fourth column


def test_pool():
    maps = torch.arange(16.0).view(1, 1, 4, 4)
    assert pool(maps).tolist() == [[7.5]]
    assert pool(maps, quarters=True).tolist() == [[7.5, 2.5, 4.5, 10.5, 12.5]]
    assert gives_quarters((2, 256, 4, 4), 1) and not gives_quarters((2, 257, 4, 4), None)
    assert gives_quarters((2, 4, 4, 256), 3) and not gives_quarters((2, 256, 4), 1)
    assert pool(torch.zeros(2, 5, 1, 4), quarters=True).shape == (2, 5)
    assert pool(torch.ones(2, 7, 5)).shape == (2, 5)  # tokens
    assert pool(torch.ones(2, 5)).shape == (2, 5)


@pytest.mark.pretrained
def test_the_file_is_small_and_fits_the_model():
    assert _bundled.WEIGHTS.stat().st_size <= 4e6
    tensors = safetensors.torch.load_file(_bundled.WEIGHTS)
    expected = {name for name in Tiny32().state_dict() if not name.endswith("num_batches_tracked")}
    assert set(tensors) == expected and {tensor.dtype for tensor in tensors.values()} == {torch.float16}


@pytest.mark.parametrize("shape", [16, (24, 16), (20, 20, 1)])
def test_a_net_by_name_sees_images_at_image_shape(shape):
    height, width = (shape, shape) if isinstance(shape, int) else shape[:2]
    backbone, own = load_backbone("tiny32", image_shape=shape), load_backbone("tiny32")
    assert backbone.preprocess.size == (height, width) and own.preprocess.size == (32, 32)
    images = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    assert backbone.preprocess(images).shape == (2, 3, height, width)
    assert backbone.num_features == own.num_features and backbone.default_stages == own.default_stages
    again = load_backbone(backbone, image_shape=28)  # a Backbone as well
    assert again.preprocess.size == (28, 28)
    files = PretrainedFeatures(backbone).fit(np.zeros((2, 40, 40, 3), np.uint8))
    assert files.backbone_.preprocess.size == (height, width)
