"""timm, torchvision and transformers: files in the format of each hub, without a network, and invalid files."""

import json
import pickle
import re
import shutil
import ssl
import threading
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import safetensors.torch
import torch
from _hubs import hub_repository, write_for_timm
from torch import nn

from sktricks import BackboneConfigWarning, FineTuneClassifier, PretrainedFeatures, list_backbones, load_backbone
from sktricks.transfer.backbones import Backbone, _hubs
from sktricks.transfer.backbones._backbone import Preprocess
from sktricks.transfer.backbones._classifier import find_classifiers, remove_classifier
from sktricks.transfer.backbones._huggingface import preprocess_of
from sktricks.transfer.backbones._torchvision import build
from sktricks.transfer.cache import _pool

timm = pytest.importorskip("timm", exc_type=ImportError)
torchvision = pytest.importorskip("torchvision", exc_type=ImportError)
transformers = pytest.importorskip("transformers", exc_type=ImportError)
huggingface_hub = pytest.importorskip("huggingface_hub")

pytestmark = pytest.mark.usefixtures("no_network")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
VIT |= {"image_size": 32, "patch_size": 8}


class RunsCode:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of Hugging Face's hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """An empty folder of checkpoints of torch's hub."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture
def vit_folder(tmp_path):
    """A classifier of transformers, saved, with its processor."""
    folder = tmp_path / "vit"
    transformers.ViTForImageClassification(transformers.ViTConfig(**VIT)).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size, image_mean=[0.1, 0.2, 0.3], resample=3).save_pretrained(folder)
    return folder


def edit(path, **changes):
    """Change a file of JSON."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def raised_by(spec, kind=ValueError):
    with pytest.raises(kind) as caught:
        load_backbone(spec)
    return str(caught.value)


# -- timm --------------------------------------------------------------------------------------------------------------


def test_timm_from_the_cache_of_its_hub(hub):
    model = timm.create_model("resnet10t")
    safetensors.torch.save_file(model.state_dict(), hub_repository(hub, "timm/resnet10t.c3_in1k") / "model.safetensors")
    for name in ("resnet10t", "resnet10t.c3_in1k"):
        backbone = load_backbone(f"timm:{name}")
        assert backbone.stages == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
        assert backbone.num_features == 512 and backbone.name == f"timm:{name}"
        torch.testing.assert_close(backbone.model.layer4[0].conv1.weight, model.layer4[0].conv1.weight)
        ready = backbone.preprocess
        assert (ready.size, ready.channels, ready.interpolation) == ((176, 176), 3, "bicubic")
        assert ready.mean == (0.485, 0.456, 0.406) and ready.std == (0.229, 0.224, 0.225)
    x = backbone.preprocess(torch.rand(2, 1, 16, 16))
    with torch.no_grad():
        expected = model.eval().forward_head(model.forward_features(x), pre_logits=True)
        torch.testing.assert_close(backbone.features(x), expected)
    n_bytes = sum(4 * tensor.numel() for tensor in backbone.model.state_dict().values())
    assert len(pickle.dumps(backbone)) < 1.1 * n_bytes  # timm's own copy of the weights is not in it
    assert load_backbone("timm:resnet10t").fingerprint() == backbone.fingerprint()


def test_timm_from_a_repository_of_a_user(hub):
    model = timm.create_model("convnext_atto", num_classes=7, depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    config = {"architecture": "convnext_atto", "num_classes": 7, "model_args": {}, "pretrained_cfg": {}}
    config["model_args"] = {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}
    config["pretrained_cfg"] = {"input_size": [3, 48, 48], "mean": [0.1, 0.2, 0.3], "something_new": 1}
    write_for_timm(hub_repository(hub, "someone/birds"), model, config)
    backbone = load_backbone("timm:someone/birds")
    assert backbone.num_features == 8 and backbone.preprocess.size == (48, 48)
    assert backbone.preprocess.mean == (0.1, 0.2, 0.3)
    torch.testing.assert_close(backbone.model.head.norm.weight, model.head.norm.weight)
    torch.testing.assert_close(backbone.model.stem[0].weight, model.stem[0].weight)
    assert list_backbones("hf:*") == ["hf:someone/birds"]


def test_timm_weights_of_another_architecture(hub):
    path = hub_repository(hub, "timm/resnet10t.c3_in1k") / "model.safetensors"
    safetensors.torch.save_file({"conv1.0.weight": torch.zeros(24, 3, 3, 3), "other": torch.zeros(1)}, path)
    message = raised_by("timm:resnet10t")
    assert f"the weights in {path} do not fit timm:resnet10t: " in message
    assert " keys differ (bn1.bias, bn1.running_mean, bn1.running_var, ...)" in message


def test_timm_names():
    assert "similar names are ['timm:resnet18'" in raised_by("timm:resnet19")
    assert "'resnet18.a1_in1k'" in raised_by("timm:resnet18.a1")
    assert {"timm:resnet18", "timm:resnet18d"} <= set(list_backbones("timm:resnet18*"))


def test_timm_folders_that_are_none(tmp_path):
    assert "must be a timm configuration (FileNotFoundError" in raised_by(f"timm:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    assert "must be a timm configuration (KeyError: 'architecture')" in raised_by(f"timm:{tmp_path}")
    (tmp_path / "config.json").write_text('{"architecture": "resnet10t"}')
    assert "neither model.safetensors nor pytorch_model.bin" in raised_by(f"timm:{tmp_path}")


@pytest.fixture
def convnext_folder(tmp_path):
    """A small net of timm, saved."""
    settings = {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}
    model = timm.create_model("convnext_atto", num_classes=7, **settings)
    cfg = {"input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [0.1, 0.2, 0.3]}
    config = {"architecture": "convnext_atto", "num_classes": 7, "model_args": settings, "pretrained_cfg": cfg}
    write_for_timm(tmp_path, model, config)
    return tmp_path


@pytest.mark.parametrize("spec", ["timm:", "untrained:timm:"])
@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained_cfg_overlay", "pretrained", "pretrained_strict"])
def test_a_configuration_of_timm_cannot_name_other_files(convnext_folder, tmp_path_factory, name, spec):
    code = tmp_path_factory.mktemp("other") / "code.pth"
    torch.save({"state_dict": RunsCode()}, code)
    expected = load_backbone(f"timm:{convnext_folder}").fingerprint()
    value = {"file": str(code)} if name == "pretrained_cfg_overlay" else str(code)
    model_args = {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8], name: value}
    edit(convnext_folder / "config.json", model_args=model_args)
    with pytest.warns(BackboneConfigWarning, match=f"{name} in model_args of .*config.json is ignored"):
        backbone = load_backbone(f"{spec}{convnext_folder}")
    assert spec != "timm:" or backbone.fingerprint() == expected


def test_pointers_in_the_pretrained_cfg_of_timm_are_not_followed(convnext_folder):
    pointers = {"file": "/none", "url": "http://none", "hf_hub_id": "a/b", "custom_load": True, "source": "hf-hub"}
    edit(convnext_folder / "config.json", pretrained_cfg={"input_size": [3, 32, 32], **pointers})
    backbone = load_backbone(f"timm:{convnext_folder}")
    assert backbone.num_features == 8
    assert not any(backbone.model.pretrained_cfg.get(name) for name in pointers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "local-dir:/tmp"}, "has no architecture 'local-dir:/tmp'"),
        ({"architecture": ["x"]}, "must be a timm configuration"),
        ({"model_args": {"depths": "x"}}, "timm cannot build timm:.* from .*config.json"),
        ({"pretrained_cfg": {"input_size": [3, 0, 0]}}, "config.json does not define a valid preprocessing: the size"),
        ({"pretrained_cfg": {"input_size": None}}, "config.json does not define a valid preprocessing"),
        ({"pretrained_cfg": 3}, "must be a timm configuration"),
    ],
)
def test_configurations_of_timm_with_wrong_values(convnext_folder, change, message):
    edit(convnext_folder / "config.json", **change)
    assert re.search(message, raised_by(f"timm:{convnext_folder}"))


@pytest.mark.parametrize("source", ["timm", "hf"])
@pytest.mark.parametrize(
    "name", ["../x", "a/../b", "a//b", "/none", "a/b/c", "a/b\n", "a/b\0", "r\u00e9/x", "a/" + "x" * 5000]
)
def test_names_that_no_repository_can_have(source, name):
    message = raised_by(f"{source}:{name}")
    assert message.startswith(f"backbone={f'{source}:{name}'!r} must name an existing folder")
    assert "'user/repository'" in message


def test_a_net_of_timm_passed_as_it_is():
    model = timm.create_model("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    backbone = load_backbone(model, image_shape=(64, 64, 1))
    assert backbone.num_features == 8 and backbone.preprocess.channels == 3
    assert backbone.preprocess.mean == model.pretrained_cfg["mean"]
    assert backbone.preprocess.size == (64, 64) and load_backbone(model).preprocess.size == (224, 224)
    assert load_backbone(model).preprocess.interpolation == "bicubic" == model.pretrained_cfg["interpolation"]
    assert isinstance(model.head.fc, nn.Linear)


# -- torchvision -------------------------------------------------------------------------------------------------------


def test_torchvision_without_auxiliary_classifiers():
    """They require larger feature maps than those of small images, but only in training."""
    net = FineTuneClassifier("untrained:torchvision:googlenet", strategy="fine-tune", max_epochs=1, random_state=0)
    X = np.resize(IMAGES, (4, 64, 64, 3))
    assert net.fit(X, [0, 1, 0, 1]).predict_proba(X).shape == (4, 2)
    assert not any("aux" in layer.name for layer in net.backbone_.layers)


def save_squeezenet(checkpoints, content):
    url = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url
    path = checkpoints / url.rpartition("/")[2]
    torch.save(content, path)
    return path


def test_torchvision_from_the_cache_of_its_hub(checkpoints):
    model = torchvision.models.squeezenet1_1()
    save_squeezenet(checkpoints, model.state_dict())
    for name in ("squeezenet1_1", "squeezenet1_1.IMAGENET1K_V1"):
        backbone = load_backbone(f"torchvision:{name}")
        assert backbone.num_features == 512 and backbone.stages[-1] == "features.12"
        assert (backbone.preprocess.size, backbone.preprocess.interpolation) == ((224, 224), "bilinear")
        torch.testing.assert_close(backbone.model.features[0].weight, model.features[0].weight)
        assert isinstance(backbone.model.classifier[1], nn.Identity)  # a convolution
        x = backbone.preprocess(torch.rand(2, 3, 16, 16))
        with torch.no_grad():
            torch.testing.assert_close(backbone.features(x), model.eval().features(x).mean((2, 3)))


def test_torchvision_weights_of_another_architecture(checkpoints):
    path = save_squeezenet(checkpoints, torchvision.models.squeezenet1_0().state_dict())
    message = raised_by("torchvision:squeezenet1_1")
    assert f"the weights in {path} do not fit torchvision:squeezenet1_1: 34 keys differ (features.0.bias, " in message


def test_torchvision_file_that_would_run_code(checkpoints):
    path = save_squeezenet(checkpoints, {"features.0.weight": RunsCode()})
    message = raised_by("torchvision:squeezenet1_1")
    assert f"{path} is refused, since it contains more than weights" in message and "exec" in message


def test_torchvision_names():
    assert "similar names are ['torchvision:resnet18'" in raised_by("torchvision:resnet17")
    assert "['DEFAULT', 'IMAGENET1K_V1', 'IMAGENET1K_V2']" in raised_by("torchvision:resnet50.V3")
    assert list_backbones("torchvision:resnet1*") == [f"torchvision:resnet{n}" for n in (101, 152, 18)]


# -- transformers ------------------------------------------------------------------------------------------------------


def test_transformers_from_a_folder(vit_folder):
    with pytest.raises(ValueError, match=r"cannot take images of image_shape=\(16, 16, 1\).* Omit image_shape"):
        load_backbone(f"hf:{vit_folder}", image_shape=(16, 16, 1))
    backbone = load_backbone(f"hf:{vit_folder}")
    assert backbone.num_features == 16 and len(backbone.stages) == 6 and backbone.stages[0] == "embeddings"
    ready = backbone.preprocess
    assert ready.size == (32, 32) and ready.channels == 3 and ready.interpolation == "bicubic"
    np.testing.assert_allclose(ready.mean, (0.1, 0.2, 0.3))
    x = ready(torch.rand(2, 1, 16, 16))
    with torch.no_grad():
        tokens = backbone.model(x).last_hidden_state
        torch.testing.assert_close(backbone.features(x), tokens[:, 0])  # no pooler that the file has no weights for
        torch.testing.assert_close(backbone.features(x, upto=backbone.stages[-1]), tokens.mean(1))
    saved = safetensors.torch.load_file(vit_folder / "model.safetensors")
    assert torch.equal(backbone.model.embeddings.cls_token, saved["vit.embeddings.cls_token"])


@pytest.mark.parametrize("kind", ["SiglipVision", "Data2VecVision", "ViT"])
def test_base_models_of_transformers_lose_nothing(kind):
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**VIT))
    backbone = load_backbone(model, image_shape=(32, 32, 3))
    assert set(backbone.model.state_dict()) == set(model.state_dict())


def test_classifiers_of_transformers_are_removed():
    for kind in ("Siglip", "Data2VecVision", "ViT"):
        vision = {"vision_config": VIT} if kind == "Siglip" else VIT
        config = getattr(transformers, f"{kind}Config")(**vision, num_labels=5)
        model = getattr(transformers, f"{kind}ForImageClassification")(config)
        backbone = load_backbone(model, image_shape=(32, 32, 3))
        assert isinstance(backbone.model.classifier, nn.Identity) and backbone.num_features == 16


def test_timm_nets_without_a_classifier_lose_nothing():
    model = timm.create_model("mixer_s32_224", num_classes=0, img_size=64, mlp_ratio=(0.5, 0.5))
    assert set(load_backbone(model, image_shape=(64, 64, 3)).model.state_dict()) == set(model.state_dict())


def test_transformers_from_the_cache_of_its_hub(hub, vit_folder):
    files = hub_repository(hub, "someone/vit")
    for path in vit_folder.iterdir():
        path.rename(files / path.name)
    net = FineTuneClassifier("hf:someone/vit", strategy="linear-probe", max_epochs=1, random_state=0)
    assert net.fit(IMAGES, [0, 1] * 3).backbone_.name == "hf:someone/vit"
    assert PretrainedFeatures("hf:someone/vit").fit_transform(IMAGES).shape == (6, 16)
    assert "someone/vitt is not on this machine" in raised_by("hf:someone/vitt", ConnectionError)


def test_transformers_half_precision_becomes_single(vit_folder):
    transformers.ViTModel(transformers.ViTConfig(**VIT)).half().save_pretrained(vit_folder)
    backbone = load_backbone(f"hf:{vit_folder}")
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def test_transformers_takes_the_part_that_sees_images(tmp_path):
    config = transformers.CLIPConfig(
        vision_config=VIT, text_config={name: VIT[name] for name in VIT if name not in ("image_size", "patch_size")}
    )
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    size = {"height": 32, "width": 32}
    transformers.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size=size).save_pretrained(tmp_path)
    backbone = load_backbone(f"hf:{tmp_path}")
    assert backbone.num_features == 16 and backbone.preprocess.size == (32, 32)


@pytest.mark.parametrize(
    ("settings", "x", "expected"),
    [
        ({"image_mean": [0.5], "image_std": [0.25]}, 1.0, 2.0),
        ({"image_mean": [0.5], "image_std": [0.25], "do_normalize": False}, 0.75, 0.75),
        ({"image_mean": [127.5], "image_std": [127.5], "do_rescale": False}, 0.0, -1.0),
        ({"image_mean": [1.0], "image_std": [1.0], "rescale_factor": 1 / 127.5}, 1.0, 1.0),
    ],
)
def test_transformers_ways_to_normalise(settings, x, expected):
    config = transformers.ViTConfig(num_channels=1, image_size=4)
    ready = preprocess_of(settings, config)(torch.full((1, 1, 4, 4), x))
    torch.testing.assert_close(ready, torch.full((1, 1, 4, 4), expected))


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, (32, 32)),
        ({"size": 48}, (48, 48)),
        ({"size": {"height": 24, "width": 40}}, (24, 40)),
        ({"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": {"height": 36, "width": 36}}, (36, 36)),
        ({"size": {"shortest_edge": 40}, "do_center_crop": False, "crop_size": {"height": 36, "width": 36}}, (40, 40)),
    ],
)
def test_transformers_ways_to_say_a_size(settings, size):
    assert preprocess_of(settings, transformers.ViTConfig(**VIT)).size == size


def test_transformers_weights_of_another_architecture(vit_folder):
    edit(vit_folder / "config.json", num_hidden_layers=6)
    message = raised_by(f"hf:{vit_folder}")
    assert "do not fit a vit: 32 keys differ (" in message
    edit(vit_folder / "config.json", hidden_size=8)
    assert "do not fit a vit: " in raised_by(f"hf:{vit_folder}")


def test_transformers_files_that_would_run_code(vit_folder):
    (vit_folder / "model.safetensors").unlink()
    torch.save({"a": RunsCode()}, vit_folder / "pytorch_model.bin")
    assert "is refused, since loading it would run code from its files (" in raised_by(f"hf:{vit_folder}")
    edit(vit_folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    (vit_folder / "own.py").write_text("raise SystemExit('code ran')")
    assert "its configuration names Python files" in raised_by(f"hf:{vit_folder}")


def test_transformers_folders_that_are_none(vit_folder, tmp_path):
    (vit_folder / "preprocessor_config.json").write_text("[]")
    assert "preprocessor_config.json" in raised_by(f"hf:{vit_folder}")
    (vit_folder / "model.safetensors").unlink()
    assert "model.safetensors" in raised_by(f"hf:{vit_folder}")
    assert "with config.json" in raised_by(f"hf:{tmp_path}")
    small = {name: VIT[name] for name in VIT if name not in ("image_size", "patch_size")}
    transformers.BertModel(transformers.BertConfig(**small)).save_pretrained(tmp_path / "bert")
    assert "must be an image encoder, but it takes input_ids" in raised_by(f"hf:{tmp_path / 'bert'}")


@pytest.mark.skipif(not hasattr(transformers, "TimmWrapperConfig"), reason="transformers wraps no nets of timm yet")
def test_a_net_of_timm_in_a_folder_of_transformers_cannot_name_other_files(tmp_path):
    config = transformers.TimmWrapperConfig(architecture="resnet10t", do_pooling=True)
    transformers.TimmWrapperModel(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    torch.save({"state_dict": RunsCode()}, tmp_path / "code.pth")
    edit(tmp_path / "config.json", model_args={"checkpoint_path": str(tmp_path / "code.pth")})
    with pytest.warns(BackboneConfigWarning, match="checkpoint_path in model_args"):
        assert load_backbone(f"hf:{tmp_path}").num_features == 512
    edit(tmp_path / "config.json", model_args={}, architecture=f"local-dir:{tmp_path}")
    assert "must name an architecture of timm, got 'local-dir:" in raised_by(f"hf:{tmp_path}")


def test_transformers_without_a_processor(vit_folder):
    (vit_folder / "preprocessor_config.json").unlink()
    spec = f"hf:{vit_folder}"
    with pytest.warns(BackboneConfigWarning, match=r"no preprocessor_config.json: .* 32 x 32 .*mean 0.5, std 0.5"):
        backbone = load_backbone(spec)
    assert backbone.preprocess == Preprocess((32, 32), 3, (0.5,) * 3, (0.5,) * 3)
    with pytest.warns(BackboneConfigWarning, match="mean=..., std=..."):
        net = FineTuneClassifier(spec, strategy="linear-probe", max_epochs=1, random_state=0).fit(IMAGES, [0, 1] * 3)
    assert net.predict(IMAGES).shape == (6,)
    given = load_backbone(spec, mean=(0.1, 0.2, 0.3), std=0.5, interpolation="bicubic")
    assert given.preprocess == Preprocess((32, 32), 3, (0.1, 0.2, 0.3), (0.5,), "bicubic")
    assert load_backbone(f"untrained:{spec}").preprocess.size is None  # no image size is known or required


def test_transformers_without_a_processor_or_a_size(tmp_path):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
    transformers.ResNetModel(config).save_pretrained(tmp_path)
    message = raised_by(f"hf:{tmp_path}")
    assert f"backbone='hf:{tmp_path}' has no preprocessor_config.json and no image_size" in message
    assert "image_shape=..., mean=..., std=...)" in message
    backbone = load_backbone(f"hf:{tmp_path}", image_shape=(48, 40, 3), mean=0.5, std=0.25)
    assert backbone.preprocess == Preprocess((48, 40), 3, (0.5,), (0.25,))
    net = FineTuneClassifier(backbone, strategy="linear-probe", max_epochs=1, random_state=0).fit(IMAGES, [0, 1] * 3)
    assert net.backbone_.preprocess == backbone.preprocess and net.predict(IMAGES).shape == (6,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": 0.5}, "mean and std must be given together, got mean=0.5 and std=None"),
        ({"mean": 0.5, "std": 0}, "std must be greater than 0"),
        ({"mean": (0.5, 0.5), "std": 0.5}, "mean must be 3 finite numbers"),
        ({"mean": float("nan"), "std": 0.5}, "mean must be 3 finite numbers"),
        ({"mean": 10**400, "std": 0.5}, "mean must contain finite numbers, got 1000"),
        ({"mean": 0.5, "std": [10**400]}, r"std must contain finite numbers, got \[1000"),
        ({"interpolation": np.array([1, 2])}, r"interpolation must be .*, got array\(\[1, 2\]\)"),
        ({"image_shape": -1}, r"image_shape must be .* in positive integers, got -1"),
        ({"image_shape": ""}, "image_shape must be .height, width, channels..* got ''"),
        ({"image_shape": (8,)}, r"image_shape must be .height, width, channels..* got \(8,\)"),
        ({"image_shape": (8, 0, 3)}, r"image_shape must be .height, width, channels..* got \(8, 0, 3\)"),
        ({"image_shape": (8, 8.0, 3)}, r"image_shape must be .height, width, channels..* got \(8, 8\.0, 3\)"),
        ({"interpolation": "nearest"}, "interpolation must be 'bilinear', 'bicubic' or None, got 'nearest'"),
    ],
)
def test_wrong_settings_of_the_preprocessing(settings, message):
    with pytest.raises(ValueError, match=message):
        load_backbone("tiny32", **settings)


@pytest.mark.parametrize("settings", [{"mean": 1j, "std": 1.0}, {"pretrained": "no"}, {"pretrained": np.array([1, 2])}])
def test_settings_of_a_wrong_type(settings):
    with pytest.raises(TypeError, match=f"{next(iter(settings))} must be .*, got "):
        load_backbone("tiny32", **settings)


@pytest.mark.parametrize(
    "change", [{"image_mean": "x"}, {"image_std": [0, 0, 0]}, {"size": {"height": -1, "width": 3}}]
)
def test_a_processor_with_wrong_values(vit_folder, change):
    edit(vit_folder / "preprocessor_config.json", **change)
    assert "preprocessor_config.json" in raised_by(f"hf:{vit_folder}")


def test_a_configuration_of_transformers_with_wrong_values(vit_folder):
    edit(vit_folder / "config.json", vision_config=1.5)  # the net has no part of its own for images
    assert load_backbone(f"hf:{vit_folder}").num_features == 16
    edit(vit_folder / "config.json", hidden_size="x")
    assert f"{vit_folder} must be a folder of transformers" in raised_by(f"hf:{vit_folder}")


def test_transformers_weights_that_share_no_key(vit_folder):
    safetensors.torch.save_file({"a.weight": torch.zeros(3)}, vit_folder / "model.safetensors", {"format": "pt"})
    message = raised_by(f"hf:{vit_folder}")
    assert "they share no key; the net has embeddings" in message and "the file a.weight" in message


def test_transformers_leaves_its_messages_as_they_were(vit_folder):
    before = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    load_backbone(f"hf:{vit_folder}")
    assert (transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()) == before


# -- without a network -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "file", "host"),
    [
        ("timm:resnet18", "model.safetensors or pytorch_model.bin of timm/resnet18.a1_in1k", "huggingface.co"),
        ("timm:someone/net", "config.json of someone/net", "huggingface.co"),
        ("torchvision:resnet18", "resnet18-f37072fd.pth", "download.pytorch.org"),
        ("hf:facebook/dinov2-small", "config.json of facebook/dinov2-small", "huggingface.co"),
    ],
)
def test_a_download_that_cannot_happen(hub, checkpoints, spec, file, host):
    message = raised_by(spec, ConnectionError)
    assert f"{file} is not on this machine and cannot be downloaded from {host}: it does not answer" in message
    assert f"Without a network, put it into {hub}" in message


def test_a_hub_that_is_never_heard_of(hub, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(_hubs, "is_answering", lambda url: never.wait())
    monkeypatch.setattr(_hubs, "PATIENCE", 0.05)
    assert "it does not answer" in raised_by("hf:someone/net", ConnectionError)
    never.set()


def test_a_hub_that_the_user_has_switched_off(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in raised_by("timm:resnet18", ConnectionError)


@pytest.mark.parametrize(
    ("error", "answers"),
    [
        (HTTPError("https://host", 403, "forbidden", None, None), True),
        (URLError(ssl.SSLCertVerificationError("unknown issuer")), True),  # the hub's own library may know it
        (URLError(ConnectionRefusedError()), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
    ],
)
def test_what_counts_as_an_answer(error, answers, monkeypatch):
    def urlopen(request, timeout):
        assert request.get_method() == "HEAD" and 0 < timeout < 5
        raise error

    monkeypatch.setattr(_hubs, "urlopen", urlopen)
    assert _hubs.is_answering("https://host") is answers


def test_a_download_from_torchs_hub(checkpoints, tmp_path):
    (tmp_path / "net.pth").write_bytes(b"weights")
    path = _hubs.fetch_url((tmp_path / "net.pth").as_uri())
    assert path == checkpoints / "net.pth" and path.read_bytes() == b"weights"
    (tmp_path / "net.pth").unlink()
    assert _hubs.fetch_url((tmp_path / "net.pth").as_uri()) == path  # from the cache


def test_a_download_from_hugging_faces_hub(hub, monkeypatch):
    errors = huggingface_hub.errors
    answers = {"a.bin": errors.EntryNotFoundError("404"), "b.bin": "/there/b.bin"}
    answers["c.bin"] = errors.LocalEntryNotFoundError("it broke off")

    def download(repository, name):
        if isinstance(answers[name], Exception):
            raise answers[name]
        return answers[name]

    monkeypatch.setattr(_hubs, "is_answering", lambda url: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert str(_hubs.fetch_hub("someone/net", ["a.bin", "b.bin"], "hf")) == "/there/b.bin"
    with pytest.raises(ValueError, match="^the repository someone/net has no file a.bin"):
        _hubs.fetch_hub("someone/net", ["a.bin"], "hf")
    with pytest.raises(ConnectionError, match="^c.bin is not on this machine"):
        _hubs.fetch_hub("someone/net", ["c.bin"], "hf")
    answers["d.bin"] = errors.RepositoryNotFoundError.__new__(errors.RepositoryNotFoundError)  # init needs a response
    with pytest.raises(ValueError, match="^there is no repository someone/net on https://"):
        _hubs.fetch_hub("someone/net", ["d.bin"], "hf")


def test_a_download_that_breaks_off(checkpoints, monkeypatch):
    monkeypatch.setattr(_hubs, "is_answering", lambda url: True)
    message = raised_by("torchvision:resnet18", ConnectionError)
    assert "resnet18-f37072fd.pth is not on this machine and cannot be downloaded" in message
    assert not list(checkpoints.iterdir())


# -- loaded once ------------------------------------------------------------------------------------------------------


@pytest.fixture
def loads(monkeypatch):
    """The names of the nets that are loaded, without those from the pool."""
    names, original = [], _pool.load_for_images
    monkeypatch.setattr(_pool, "load_for_images", lambda spec, *how: names.append(spec) or original(spec, *how))
    return names


def test_a_net_of_a_hub_is_loaded_once_until_its_folder_changes(vit_folder, loads):
    images, spec = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8), f"hf:{vit_folder}"
    features = PretrainedFeatures(spec, cache=None)
    first = features.fit_transform(images)
    FineTuneClassifier(spec, strategy="fine-tune", max_epochs=1).fit(images, [0, 1] * 3)
    np.testing.assert_array_equal(features.fit_transform(images), first)
    assert loads == [spec]
    transformers.ViTForImageClassification(transformers.ViTConfig(**VIT)).save_pretrained(vit_folder)
    assert not np.allclose(features.fit_transform(images), first) and loads == [spec, spec]


def test_only_the_last_net_of_a_hub_is_kept(vit_folder, loads, tmp_path):
    images, specs = np.zeros((2, 32, 32, 3), np.uint8), [f"hf:{vit_folder}", f"hf:{tmp_path / 'copy'}"]
    shutil.copytree(vit_folder, tmp_path / "copy")
    for spec in (*specs, specs[0], "tiny32", specs[0]):
        PretrainedFeatures(spec, cache=None).fit(images)
    assert [name for name in loads if name != "tiny32"] == [*specs, specs[0]]


def test_an_untrained_net_is_another_each_time(loads):
    for _ in range(2):
        PretrainedFeatures("untrained:timm:resnet10t", cache=None).fit(np.zeros((2, 32, 32, 3), np.uint8))
    assert loads == ["untrained:timm:resnet10t"] * 2


# -- whole families, as shapes alone: on the device "meta" nothing is computed ----------------------------------------


def on_meta(make):
    with torch.device("meta"):
        return make().eval()


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("mobilenetv3_small_050", ["conv_stem", "bn1", *[f"blocks.{n}" for n in range(6)], "conv_head"]),
        ("vit_tiny_patch16_224", ["patch_embed", *[f"blocks.{n}" for n in range(12)], "norm"]),
        ("convnext_atto", ["stem", *[f"stages.{n}" for n in range(4)], "head"]),
        ("swin_tiny_patch4_window7_224", ["patch_embed", *[f"layers.{n}" for n in range(4)], "norm"]),
        ("mixer_s32_224", ["stem", *[f"blocks.{n}" for n in range(8)], "norm"]),
        ("regnety_002", ["stem", "s1", "s2", "s3", "s4"]),
    ],
)
def test_families_of_timm(name, stages):
    model, example = on_meta(lambda: timm.create_model(name)), torch.empty(1, 3, 224, 224, device="meta")
    kept = model.get_classifier()
    (classifier,) = find_classifiers(model, example)
    assert model.get_submodule(classifier) is kept
    backbone = Backbone(remove_classifier(model, example), Preprocess(), example, name)
    assert backbone.stages == stages
    assert backbone.num_features == model(example).shape[1] == model.head_hidden_size


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        *[(name, "fc") for name in ("resnet18", "googlenet", "inception_v3", "shufflenet_v2_x0_5")],
        *[(name, "classifier.1") for name in ("mobilenet_v2", "efficientnet_b0", "mnasnet1_0", "squeezenet1_0")],
        ("mobilenet_v3_small", "classifier.3"),
        ("vgg16_bn", "classifier.6"),
        ("densenet121", "classifier"),
        ("convnext_large", "classifier.2"),
        ("vit_l_16", "heads.head"),
        ("swin_t", "head"),
    ],
)
def test_families_of_torchvision(name, classifier):
    model, example = on_meta(lambda: build(torchvision.models, name)), torch.empty(1, 3, 224, 224, device="meta")
    assert find_classifiers(model, example) == [classifier]
    backbone = Backbone(remove_classifier(model, example), Preprocess(), example, name)
    assert not any("aux" in layer.name.lower() for layer in backbone.layers)
    assert 4 <= len(backbone.stages) <= 16
    assert backbone.num_features == model(example).shape[1] != 1000
