"""Untrained backbones, named factories, and weights files."""

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from sktricks import FineTuneClassifier, load_backbone
from sktricks.transfer.backbones import Tiny32

IMAGES = np.random.default_rng(0).random((6, 8, 8)).astype(np.float32)
LABELS = np.arange(6) % 2


class Made(nn.Module):
    """A factory that the tests refer to by name."""

    def __init__(self, n_classes=10):
        super().__init__()
        self.body, self.fc = nn.Conv2d(1, 6, 3), nn.Linear(6, n_classes)

    def forward(self, x):
        return self.fc(self.body(x).mean((2, 3)))


class RunsCode:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


MADE = f"{__name__}:Made"
not_a_factory = 3


def test_untrained():
    torch.manual_seed(0)
    one, other = load_backbone("untrained:tiny32"), load_backbone("tiny32", pretrained=False)
    assert one.stages == other.stages and len({one.fingerprint(), other.fingerprint()}) == 2
    assert not torch.equal(one.model.stem[0].weight, load_backbone("tiny32").model.stem[0].weight)
    assert load_backbone("untrained:tiny32", image_shape=(8, 8, 1)).preprocess.size is None
    net = FineTuneClassifier("untrained:tiny32", strategy="linear-probe", max_epochs=2, random_state=0)
    np.testing.assert_array_equal(
        net.fit(IMAGES, LABELS).predict_proba(IMAGES), net.fit(IMAGES, LABELS).predict_proba(IMAGES)
    )


def test_pretrained_weights_do_not_move_the_generator(tmp_path):
    safetensors.torch.save_file(Tiny32().state_dict(), tmp_path / "weights.safetensors")
    before = torch.get_rng_state()
    load_backbone("tiny32")
    load_backbone(f"file:{tmp_path / 'weights.safetensors'}::tiny32")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_untrained_need_not_thaw_by_stages():
    X, y = np.zeros((200, 8, 8), np.uint8), np.arange(200) % 2
    for backbone, expected in {"tiny32": "gradual", "untrained:tiny32": "fine-tune"}.items():
        assert FineTuneClassifier(backbone, max_epochs=1, random_state=0).fit(X, y).strategy_ == expected


@pytest.mark.parametrize("spec", [Made, f"untrained:{MADE}"])
def test_a_module_of_ones_own_is_not_untrained_on_request(spec):
    with pytest.raises(ValueError, match="^pretrained=False requires a net by name"):
        load_backbone(spec, pretrained=False)


def test_a_factory_by_name():
    backbone = load_backbone(MADE, image_shape=(8, 8, 1))
    assert backbone.name == "Made" and backbone.num_features == 6 and backbone.stages == ["body"]


def test_a_factory_that_is_not_there():
    with pytest.raises(ValueError, match=r"has no class or factory 'Maid'; did you mean Made\?"):
        load_backbone(f"{__name__}:Maid")
    with pytest.raises(ValueError, match="has no class or factory 'not_a_factory'"):
        load_backbone(f"{__name__}:not_a_factory")


def write(path, weights, wrap=None):
    """Write a weights file in the format given by its extension."""
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(weights, path)
    else:
        torch.save(weights if wrap is None else {wrap: weights, "epoch": 3}, path)
    return path


@pytest.mark.parametrize(
    ("file", "wrap", "prefix"),
    [
        ("w.safetensors", None, ""),
        ("w.pt", None, ""),
        ("w.pth", "state_dict", "module."),
        ("w.bin", "model", "_orig_mod."),
    ],
)
def test_a_file_of_weights(file, wrap, prefix, tmp_path):
    model = Made(3)  # the classifier in the file is ignored
    path = write(tmp_path / file, {prefix + name: tensor for name, tensor in model.state_dict().items()}, wrap)
    backbone = load_backbone(f"file:{path}::{MADE}", image_shape=(8, 8, 1))
    assert torch.equal(backbone.model.body.weight, model.body.weight) and backbone.num_features == 6
    assert backbone.preprocess.size == (8, 8) and backbone.preprocess.channels == 1
    untrained = load_backbone(f"untrained:file:{path}::{MADE}", image_shape=(8, 8, 1))
    assert not torch.equal(untrained.model.body.weight, model.body.weight)


def test_a_file_of_weights_of_a_known_net(tmp_path):
    weights = Tiny32().state_dict()
    backbone = load_backbone(f"file:{write(tmp_path / 'w.pt', weights)}::tiny32")
    assert torch.equal(backbone.model.stem[0].weight, weights["stem.0.weight"])
    assert backbone.preprocess.size == (32, 32) and backbone.default_stages == ["stage2", "stage3"]


def test_a_file_of_weights_of_another_architecture(tmp_path):
    path = write(tmp_path / "w.pt", Tiny32().state_dict())
    shared = r"they share no key; the net has body.bias, body.weight, fc.bias, ..., the file stage1\.\S+, "
    with pytest.raises(ValueError, match=f"w.pt do not fit Made: {shared}"):
        load_backbone(f"file:{path}::{MADE}")
    weights = Made().state_dict() | {"body.weight": torch.zeros(6, 1, 5, 5)}
    with pytest.raises(ValueError, match=r"do not fit Made: 1 keys differ \(body.weight\)"):
        load_backbone(f"file:{write(path, weights)}::{MADE}")


def test_a_file_that_would_run_code(tmp_path):
    for content in ({"body.weight": RunsCode()}, {"state_dict": Made().state_dict(), "args": RunsCode()}, Made()):
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(
            ValueError, match="w.pt is refused, since it contains more than weights .* could run code: save only the st"
        ):
            load_backbone(f"file:{tmp_path / 'w.pt'}::{MADE}")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_that_is_damaged(name, tmp_path):
    path = write(tmp_path / name, Made().state_dict())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"{name} is damaged or contains no weights"):
        load_backbone(f"file:{path}::{MADE}")


@pytest.mark.parametrize("content", [[1, 2], {"a": 3}, {}])
def test_a_file_without_weights(content, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="w.pt must contain a state_dict"):
        load_backbone(f"file:{tmp_path / 'w.pt'}::{MADE}")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_an_empty_file_of_weights(name, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"{name} must be a safetensors file or a state_dict"):
        load_backbone(f"file:{tmp_path / name}::{MADE}")


@pytest.mark.parametrize("name", ["\0.pt", "x" * 5000 + ".pt", "~nobody/w.pt"])
def test_a_path_that_no_file_can_have(name):
    with pytest.raises(ValueError, match="^there is no weights file"):
        load_backbone(f"file:{name}::{MADE}")


class Versioned(Made):
    """Treats weights without a version as those of the first version, like some nets of torchvision."""

    _version = 2

    def _load_from_state_dict(self, weights, prefix, metadata, *args):
        if metadata.get("version") != 2:
            raise ValueError("weights of the first version")
        super()._load_from_state_dict(weights, prefix, metadata, *args)


def test_a_file_of_weights_of_a_versioned_net(tmp_path):
    path = write(tmp_path / "w.safetensors", Versioned().state_dict())
    assert load_backbone(f"file:{path}::{__name__}:Versioned", image_shape=(8, 8, 1)).num_features == 6


def test_a_spec_of_a_file_that_lacks_a_part(tmp_path):
    for spec in ("file:", "file:w.pt", "file:w.pt::", "file:::tiny32"):
        with pytest.raises(ValueError, match="^backbone must name the net for the weights, .*'timm:resnet18'"):
            load_backbone(spec)
    with pytest.raises(ValueError, match="^backbone must be 'hf:<folder>' for a net of transformers"):
        load_backbone("file:w.pt::hf:someone/net")
    with pytest.raises(ValueError, match="^there is no weights file .*none.pt"):
        load_backbone(f"file:{tmp_path / 'none.pt'}::{MADE}")
