"""Size and normalization of users' modules, given or missing."""

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from sktricks import (  # noqa: E402
    BackboneConfigWarning,
    FineTuneClassifier,
    PretrainedFeatures,
    load,
    load_backbone,
    save,
)
from sktricks.transfer.backbones._backbone import Preprocess  # noqa: E402
from sktricks.transfer.backbones._raw_pixels import looks_pretrained  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 12, 16, 3)).astype(np.uint8)
LABELS = np.arange(8) % 2
CFG = {"input_size": (3, 24, 24), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "interpolation": "bicubic"}


class Net(nn.Module):
    """A small net; with ``learned=True``, its BatchNorm has statistics like after pretraining."""

    def __init__(self, learned=True, channels=3, cfg=None):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.norm = nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6)
        if learned:
            self.norm.running_mean.fill_(0.25)
        if cfg:
            self.pretrained_cfg = cfg

    def forward(self, x):
        return self.norm(self.conv(x)).relu().mean((2, 3))


def make_pretrained():
    return Net()


def silent():
    return load_backbone(Net(), mean=0, std=1)


@pytest.mark.parametrize("spec", [Net(), Net, make_pretrained, f"{__name__}:make_pretrained"])
def test_a_module_that_looks_pretrained_and_says_nothing_is_reported(spec):
    with pytest.warns(
        BackboneConfigWarning, match=r"backbone Net looks pretrained .*load_backbone\(module, image_shape"
    ):
        load_backbone(spec)
    for estimator in (PretrainedFeatures(spec), FineTuneClassifier(spec, max_epochs=1)):
        for _ in range(2):  # whether or not it has been loaded before
            with pytest.warns(BackboneConfigWarning, match="looks pretrained") as caught:
                estimator.fit(IMAGES, LABELS)
            assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "spec",
    [Net(learned=False), Net(cfg=CFG), silent(), nn.Sequential(nn.Conv2d(3, 4, 3)), "untrained:tiny32", "tiny32"],
)
def test_others_are_not_reported(spec):
    load_backbone(spec)
    PretrainedFeatures(spec).fit(IMAGES)


@pytest.mark.parametrize(("name", "value"), [("running_mean", 0.1), ("running_var", 0.9)])
def test_running_statistics_show_that_a_net_was_trained(name, value):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=False))
    assert not looks_pretrained(model)
    getattr(model[1], name)[1] = value
    assert looks_pretrained(model)


def test_the_biases_of_norms_show_it_in_nets_of_a_library():
    model = pytest.importorskip("torchvision").models.SwinTransformer([4, 4], 8, [2], [1], [2, 2])
    assert not looks_pretrained(model)
    model.norm.bias.data[1] = 0.1
    assert looks_pretrained(model)
    own = nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3))
    nn.init.uniform_(own[1].bias)  # may well be initial weights
    assert not looks_pretrained(own)


def test_a_net_of_a_library_without_norms_looks_pretrained():
    alexnet = pytest.importorskip("torchvision").models.alexnet()
    assert looks_pretrained(alexnet)
    assert not looks_pretrained(pytest.importorskip("torchvision").models.resnet18())


def test_a_pretrained_cfg_decides():
    backbone = load_backbone(Net(cfg=CFG))
    assert backbone.preprocess == Preprocess((24, 24), 3, CFG["mean"], CFG["std"], "bicubic")
    features = PretrainedFeatures(Net(cfg=CFG)).fit(IMAGES)
    assert features.image_shape_ == (12, 16, 3) and features.backbone_.preprocess == backbone.preprocess


def test_a_wrong_pretrained_cfg_is_an_error():
    with pytest.raises(ValueError, match="pretrained_cfg of Net does not define a valid preprocessing"):
        load_backbone(Net(cfg={**CFG, "std": (0.1, 0.2, -0.3)}))
    with pytest.raises(ValueError, match="pretrained_cfg of Net does not define a valid preprocessing"):
        load_backbone(Net(cfg={"mean": (0.5,) * 3}))


def test_files_are_decoded_to_the_size_of_the_module():
    image = pytest.importorskip("PIL.Image")
    files = []
    for pixels in IMAGES:
        file = io.BytesIO()
        image.fromarray(pixels).save(file, "PNG")
        files.append(file.getvalue())
    for spec in (Net(cfg=CFG), load_backbone(Net(), image_shape=24, mean=0.5, std=0.25, interpolation="bicubic")):
        net = FineTuneClassifier(spec, max_epochs=2, random_state=0).fit(files, LABELS)
        assert net.image_shape_ == (24, 24, 3)
        resized = np.stack([image.fromarray(pixels).resize((24, 24), image.Resampling.BICUBIC) for pixels in IMAGES])
        np.testing.assert_allclose(net.predict_proba(files), net.predict_proba(resized), atol=1e-6)
    with pytest.raises(
        ValueError, match="fitted on images of shape .24, 24, 3., but X has .12, 16, 3.. Image files are"
    ):
        net.predict(IMAGES)


@pytest.mark.parametrize("given", [24, (24, 24), (24, 24, 3), np.int64(24)])
def test_settings_are_kept(given, tmp_path):
    backbone = load_backbone(Net(), image_shape=given, mean=(0.4, 0.5, 0.6), std=0.25, interpolation="bicubic")
    assert backbone.preprocess == Preprocess((24, 24), 3, (0.4, 0.5, 0.6), (0.25,), "bicubic")
    net = FineTuneClassifier(backbone, max_epochs=1, random_state=0).fit(IMAGES, LABELS)
    assert net.backbone_.preprocess == backbone.preprocess
    save(net, tmp_path / "net.sktricks")
    again = load(tmp_path / "net.sktricks", backbone=backbone)
    np.testing.assert_array_equal(again.predict_proba(IMAGES), net.predict_proba(IMAGES))


def test_the_settings_win_over_a_pretrained_cfg():
    backbone = load_backbone(Net(cfg=CFG), image_shape=(20, 28), mean=0, std=1)
    assert backbone.preprocess == Preprocess((20, 28), 3, (0.0,), (1.0,), "bicubic")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": (0.5,) * 4, "std": 0.5}, r"mean must be 3 finite numbers, got \(0.5, 0.5, 0.5, 0.5\)"),
        ({"mean": 0.5, "std": (0.5, 0.5)}, r"std must be 3 finite numbers, got \(0.5, 0.5\)"),
        ({"mean": 0.5, "std": (0.5, 0.5, 0)}, "std must be greater than 0"),
        ({"mean": 0.5}, "mean and std must be given together"),
        ({"interpolation": "nearest"}, "interpolation must be 'bilinear', 'bicubic' or None, got 'nearest'"),
        ({"image_shape": 2, "mean": 0, "std": 1}, r"backbone Net cannot take images of image_shape=\(2, 2, 3\)"),
        ({"image_shape": 0}, "image_shape must be .height, width, channels..* got 0"),
        ({"image_shape": True}, "image_shape must be .height, width, channels..* got True"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        load_backbone(Net(), **settings)


def test_a_gray_net_has_one_mean():
    with pytest.raises(ValueError, match="mean must be 1 finite numbers"):
        load_backbone(Net(channels=1), image_shape=24, mean=(0.5,) * 3, std=0.5)
    assert load_backbone(Net(channels=1), image_shape=24, mean=0.5, std=0.5).preprocess.channels == 1
