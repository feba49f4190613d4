"""Ten tiny architectures of three libraries, each through all methods of an estimator, without a network."""

import pickle

import numpy as np
import pytest
import torch
from _hubs import write_for_timm
from sklearn.base import clone

from sktricks import FineTuneClassifier, load, load_backbone, save

timm = pytest.importorskip("timm", exc_type=ImportError)
torchvision = pytest.importorskip("torchvision", exc_type=ImportError)
transformers = pytest.importorskip("transformers", exc_type=ImportError)

pytestmark = pytest.mark.usefixtures("no_network")
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
LABELS = np.array(["cat", "dog"])[np.arange(12) % 2]
SMALL = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}


def saved_by_timm(name, folder, size, **settings):
    """Save a net of timm as in a repository, for images of ``size``, and return its spec."""
    model = timm.create_model(name, num_classes=3, **settings)
    cfg = {**model.pretrained_cfg, "input_size": (3, size, size)}
    write_for_timm(
        folder, model, {"architecture": name, "num_classes": 3, "model_args": settings, "pretrained_cfg": cfg}
    )
    return f"timm:{folder}"


def saved_by_transformers(model, folder):
    """Save an encoder of transformers, with a processor that resizes to its size, and return its spec."""
    model.save_pretrained(folder)
    size = {"height": model.config.image_size, "width": model.config.image_size}
    transformers.ViTImageProcessor(size=size).save_pretrained(folder)
    return f"hf:{folder}"


def resnet(folder):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])
    config.image_size = 32
    return saved_by_transformers(transformers.ResNetForImageClassification(config), folder)


def mobilenet(folder):
    """Save a checkpoint like that of a distributed training with torchvision, with another classifier."""
    weights = torchvision.models.mobilenet_v3_small(width_mult=0.25, num_classes=3).state_dict()
    torch.save({"epoch": 7, "state_dict": {f"module.{name}": t for name, t in weights.items()}}, folder / "last.pt")
    return f"file:{folder / 'last.pt'}::{__name__}:small_mobilenet"


def small_mobilenet():
    return torchvision.models.mobilenet_v3_small(width_mult=0.25)


def efficientnet(folder):
    return "untrained:torchvision:efficientnet_b0"


def convnext(folder):
    return saved_by_timm("convnext_atto", folder, 32, depths=(1, 1, 2, 1), dims=(8, 16, 24, 32))


def vit(folder):
    config = transformers.ViTConfig(image_size=32, patch_size=8, **SMALL)
    return saved_by_transformers(transformers.ViTForImageClassification(config), folder)


def swin(folder):
    settings = {"img_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 24, "depths": (1, 1, 2, 1)}
    return saved_by_timm("swin_tiny_patch4_window7_224", folder, 32, num_heads=(1, 2, 2, 4), **settings)


def dinov2(folder):
    config = transformers.Dinov2Config(image_size=28, patch_size=7, mlp_ratio=2, **SMALL)
    return saved_by_transformers(transformers.Dinov2Model(config), folder)


def siglip(folder):
    config = transformers.SiglipVisionConfig(image_size=32, patch_size=8, **SMALL)
    return saved_by_transformers(transformers.SiglipVisionModel(config), folder)


def data2vec(folder):
    config = transformers.Data2VecVisionConfig(image_size=32, patch_size=8, **SMALL)
    return saved_by_transformers(transformers.Data2VecVisionForImageClassification(config), folder)


def mixer(folder):
    return saved_by_timm("mixer_s32_224", folder, 64, img_size=64, mlp_ratio=(0.5, 0.5))


ARCHITECTURES = [resnet, mobilenet, efficientnet, convnext, vit, swin, dinov2, siglip, data2vec, mixer]


@pytest.fixture(params=ARCHITECTURES, ids=lambda make: make.__name__)
def spec(request, tmp_path):
    torch.manual_seed(0)
    return request.param(tmp_path)


def tensors(layers):
    """Copies of all parameters and buffers."""
    return [t.clone() for layer in layers for t in layer.module.state_dict(keep_vars=True).values()]


def test_the_life_of_an_estimator(spec, tmp_path):
    middle = load_backbone(spec).stages[3]
    net = FineTuneClassifier(spec, freeze_until=middle, max_epochs=1, batch_size=6, random_state=0).fit(IMAGES, LABELS)
    assert net.strategy_ == "fine-tune"
    frozen, trained = net.backbone_.layers[: net._prefix.n_frozen], net.backbone_.layers[net._prefix.n_frozen :]
    assert frozen and trained[0].name.startswith(middle)

    proba = net.predict_proba(IMAGES)
    assert proba.shape == (12, 2) and np.isfinite(proba).all() and set(net.predict(IMAGES)) <= {"cat", "dog"}
    save(net, tmp_path / "net.safetensors")
    loaded = load(tmp_path / "net.safetensors", params={"backbone": spec})  # some name code, or a folder
    for again in (loaded, pickle.loads(pickle.dumps(net)), clone(net).fit(IMAGES, LABELS)):
        np.testing.assert_array_equal(again.predict_proba(IMAGES), proba)

    before, moving = tensors(frozen), tensors(trained)
    net.partial_fit(IMAGES, LABELS)
    assert all(torch.equal(old, new) for old, new in zip(before, tensors(frozen), strict=True))
    assert not all(torch.equal(old, new) for old, new in zip(moving, tensors(trained), strict=True))


def test_the_features_of_each_stage(spec):
    backbone = load_backbone(spec)
    assert 4 <= len(backbone.stages) <= 16
    x = backbone.preprocess(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        assert backbone.features(x).shape == (2, backbone.num_features)
        together = backbone.features(x, backbone.stages)
        parts = [backbone.features(x, upto=stage) for stage in backbone.stages]
    torch.testing.assert_close(torch.cat(parts, 1), together, rtol=0, atol=0)
    assert not any(torch.equal(part[0], part[1]) for part in parts)


def test_grey_images_and_those_of_another_size(spec):
    net = FineTuneClassifier(spec, strategy="linear-probe", max_epochs=1, random_state=0)
    grey = IMAGES[:, :12, :10, 0]
    assert net.fit(grey, LABELS).predict(grey).shape == (12,)
    assert net.n_trainable_parameters_ == 2 * (net.backbone_.num_features + 1)
    stages = net.backbone_.stages[1:3]
    assert net.set_params(stages=stages, strategy="fine-tune").fit(grey, LABELS).predict(grey).shape == (12,)
