"""Encoders: BatchNorms are folded into convolutions, in an internal copy."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from sktricks import FineTuneClassifier, PretrainedFeatures, load_backbone
from sktricks.transfer.freezing._layers import forward_hooks

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
LABELS = np.arange(12) % 2
CPU = torch.device("cpu")


def with_statistics(module):
    """Return a module whose BatchNorms have statistics."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.track_running_stats:
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
    return module.eval()


def blocks(*parts):
    """Return a net of a stem and a block, whose stages end after an activation."""
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    width = 6 if getattr(parts[0], "out_channels", 4) == 6 else 4
    head = nn.Sequential(nn.Conv2d(width, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return with_statistics(nn.Sequential(stem, nn.Sequential(*parts, nn.ReLU()), head))


def encoder_of(module):
    backbone = load_backbone(module, image_shape=(8, 8, 3), mean=0, std=1)
    encoder = backbone.encoder(backbone.fingerprint(), CPU)
    x = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        for stages in (None, backbone.stages):
            torch.testing.assert_close(encoder.backbone.features(x, stages), backbone.features(x, stages))
    return encoder


class Activated(nn.BatchNorm2d):
    """A BatchNorm with an activation inside, as in timm."""

    def __init__(self, n):
        super().__init__(n)
        self.act = nn.Tanh()

    def forward(self, x):
        return self.act(super().forward(x))


class Doubled(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


class InPlace(nn.Module):
    """Changes the output of its convolution before the BatchNorm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x).abs_())


class Twice(nn.Module):
    """Uses one convolution twice, and its output elsewhere as well."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.conv(self.norm(self.conv(x)))


class Besides(InPlace):
    def forward(self, x):
        x = self.conv(x)
        return self.norm(x) + x


class ByKeyword(InPlace):
    def forward(self, x):
        return self.norm(input=self.conv(input=x))


class Reads(InPlace):
    """Reads attributes that folded modules lack."""

    def forward(self, x):
        x = self.conv(x) / self.conv.out_channels
        return self.norm(x) / self.norm.num_features


@pytest.mark.parametrize(
    ("parts", "n_folded"),
    [
        ([nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)], 2),
        ([nn.Conv2d(4, 4, 3, groups=4, bias=False, padding_mode="reflect", padding=1), nn.BatchNorm2d(4)], 2),
        ([nn.Conv2d(4, 4, 3), Activated(4)], 2),
        ([nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False)], 2),
        ([nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)], 1),
        ([nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), nn.BatchNorm2d(4)], 1),
        ([nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)], 2),
        ([nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6)], 2),
        ([InPlace()], 1),
        ([Twice()], 1),
        ([Besides()], 0),  # the copy would return other features, so none is used
        ([nn.Conv2d(4, 4, 3), Doubled(4)], 0),
        ([nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)], 1),
        ([ByKeyword()], 1),
        ([Reads()], 0),
    ],
    ids=["plain", "grouped", "activated", "not affine", "batch", "parametrized", "pointwise", "strided", "in place"]
    + ["twice", "besides", "doubled", "norm first", "by keyword", "reads"],
)
def test_what_is_folded(parts, n_folded):
    assert encoder_of(blocks(*parts)).n_folded == n_folded


def test_a_convolution_whose_output_is_a_stage_is_not_folded():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Flatten()]
    assert encoder_of(with_statistics(nn.Sequential(*layers, nn.Linear(64, 2)))).n_folded == 0


def test_a_net_without_batch_norm_is_its_own_encoder():
    backbone = load_backbone(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)), image_shape=(8, 8, 3))
    assert backbone.encoder(backbone.fingerprint(), CPU).backbone is backbone


def test_folding_is_done_once_for_all_copies():
    backbone = load_backbone("tiny32", image_shape=(8, 8, 3))
    encoder = backbone.encoder(backbone.fingerprint(), CPU)
    assert encoder.n_folded == 10
    other = copy.deepcopy(backbone)
    assert other.encoder(other.fingerprint(), CPU) is encoder


def test_a_pickle_has_no_folded_copy():
    backbone = load_backbone("tiny32", image_shape=(8, 8, 3))
    fingerprint, size = backbone.fingerprint(), len(pickle.dumps(backbone))
    backbone.encoder(fingerprint, CPU)
    assert len(pickle.dumps(backbone)) == size
    again = pickle.loads(pickle.dumps(backbone))
    assert again.encoder(again.fingerprint(), CPU).n_folded == 10


@pytest.mark.parametrize("cache", ["auto", None])
def test_a_changed_backbone_is_folded_again(cache):
    features = PretrainedFeatures(cache=cache).fit(IMAGES)
    first = features.transform(IMAGES)
    with torch.no_grad():
        features.backbone_.model.stem[0].weight.data.mul_(2)
    assert not np.allclose(features.transform(IMAGES), first)
    with torch.no_grad():
        features.backbone_.model.stem[0].weight.data.div_(2)
    assert np.array_equal(features.transform(IMAGES), first)


def test_the_net_of_the_user_and_the_frozen_backbone_keep_their_bits():
    module = blocks(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    backbone = load_backbone(module, image_shape=(8, 8, 3), mean=0, std=1)
    net = FineTuneClassifier(backbone, strategy="linear-probe", random_state=0).fit(IMAGES, LABELS)
    net.predict(IMAGES)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(torch.equal(before[name], value) for name, value in backbone.model.state_dict().items())
    for name, value in net.backbone_.model.state_dict().items():
        assert torch.equal(before[name], value)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in net.backbone_.modules()) == 2


def test_predictions_agree_with_the_net_that_is_shown():
    net = FineTuneClassifier(strategy="linear-probe", random_state=0).fit(IMAGES, LABELS)
    prepared = net._prefix.prepare()(torch.from_numpy(IMAGES))[0]
    module = net.net_.module_.eval()
    with torch.no_grad():
        expected = module(prepared).softmax(1)
    np.testing.assert_allclose(net.predict_proba(IMAGES), expected, atol=1e-5)


class Slow(nn.Module):
    """A module that can be made to wait in its first passes."""

    entered = go_on = None

    def forward(self, x):
        if Slow.entered is not None:
            Slow.entered.release()
            assert Slow.go_on.acquire(timeout=30)
        return x


def test_first_predictions_in_threads(monkeypatch):
    """One thread folds a copy, during which others would copy its hooks, or change the modes of the backbone."""
    backbone = load_backbone(
        blocks(Slow(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), image_shape=(8, 8, 3), mean=0, std=1
    )
    fingerprint, x = backbone.fingerprint(), torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = backbone.features(x, backbone.stages)
    backbone.train()  # as after ``load``
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}

    @torch.no_grad()
    def predict(_):
        encoder = backbone.encoder(fingerprint, CPU)
        return encoder, encoder.backbone.features(x, backbone.stages)

    monkeypatch.setattr(Slow, "go_on", threading.Semaphore(0))
    monkeypatch.setattr(Slow, "entered", threading.Semaphore(0))
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        one = first.submit(predict, 0)
        for _ in range(2):  # a pass through the copy, and the first of the backbone, whose hooks and modes change
            assert Slow.entered.acquire(timeout=30)
            Slow.go_on.release()
        assert Slow.entered.acquire(timeout=30)
        other = second.submit(predict, 0)
        Slow.go_on.release(100)
        found = [one.result(30), other.result(30), first.submit(predict, 0).result(30)]
    assert len({id(encoder) for encoder, _ in found}) == 1 and found[0][0].n_folded == 2
    for _, features in found:
        torch.testing.assert_close(features, expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


def test_a_pass_through_the_backbone_leaves_its_hooks_out_of_the_copy():
    backbone = load_backbone(blocks(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)), image_shape=(8, 8, 3), mean=0, std=1)
    fingerprint = backbone.fingerprint()
    with forward_hooks(backbone.model, [name for name, _ in backbone.model.named_modules()], lambda *_: None):
        assert backbone.encoder(fingerprint, CPU).n_folded == 2
