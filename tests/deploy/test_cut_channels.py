import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sktricks import FineTuneClassifier, FreezeLayers, NetClassifier
from sktricks.deploy._cut_channels import Plan, cut_channels, round_channels
from sktricks.transfer.backbones._lite0 import InvertedResidual, layer
from sktricks.transfer.backbones._tiny32 import ResidualBlock

X, y = load_digits(return_X_y=True)
X, y = X[:60], y[:60]
IMAGES = X.reshape(-1, 8, 8).astype(np.uint8)


class Residual(nn.Module):
    """Stages of 16, 24 and 320 channels; only the last gives no means over quarters."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.block = ResidualBlock(16, 24, 2)
        self.top = nn.Sequential(nn.Conv2d(24, 320, 1), nn.BatchNorm2d(320), nn.ReLU(inplace=True))

    def forward(self, x):
        return self.top(self.block(self.stem(x))).mean((2, 3))


class Depthwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = layer(1, 16, 3, 2)
        self.block = nn.Sequential(InvertedResidual(16, 24, 5, 2, 4), InvertedResidual(24, 24, 3, 1, 4))
        self.top = layer(24, 32)

    def forward(self, x):
        return self.top(self.block(self.stem(x))).mean((2, 3))


def fit_backbone(backbone=Residual, **params):
    params = {"strategy": "fine-tune", "max_epochs": 1, "random_state": 0, **params}
    return FineTuneClassifier(backbone, **params).fit(IMAGES, y)


def n_channels(net):
    return {name: part.out_channels for name, part in net._net.module_.named_modules() if isinstance(part, nn.Conv2d)}


@torch.no_grad()
def kill_channels(net, module):
    """Set every other channel of each convolution to 0, and make the head ignore it."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d) and len(part.weight) > 1:
            part.weight[1::2] = 0
            if part.bias is not None:
                part.bias[1::2] = 0
    prefix, head = net._prefix, net._net.module_.head
    features = prefix.encode(torch.from_numpy(IMAGES[..., None]), as_is=True)
    dead = (features == 0).all(0)
    assert 0.45 < dead.float().mean() < 0.75
    head.linear.weight[:, dead] = 0


@pytest.mark.parametrize("stages", ["auto", ["stem", "block"], ["block", "top"]], ids=str)
@pytest.mark.parametrize("backbone", [Residual, Depthwise])
def test_channels_without_effect_go_and_predictions_stay(backbone, stages):
    net = fit_backbone(backbone, stages=stages)
    kill_channels(net, net._prefix.backbone.model)
    expected = net.predict_proba(IMAGES)
    cut = cut_channels(net, 0.5, Plan())
    assert np.abs(cut.predict_proba(IMAGES) - expected).max() < 1e-5
    before, after = n_channels(net), n_channels(cut)
    assert all(after[name] == round_channels(n, 0.5) for name, n in before.items())


def test_hidden_units_without_effect_go_and_predictions_stay():
    net = NetClassifier(lambda n_features, n_outputs: nn.Sequential(
        nn.Linear(n_features, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, n_outputs)
    ), max_epochs=1, random_state=0).fit(X, y)  # fmt: skip
    with torch.no_grad():
        for part in net._net.module_[:2]:
            part.weight[:16], part.bias[:16] = 0, 0
    cut = cut_channels(net, 0.5, Plan())
    assert cut._net.module_[3].weight.shape == (10, 16)
    assert torch.equal(cut._net.module_[3].weight, net._net.module_[3].weight[:, 16:])
    assert np.abs(cut.predict_proba(X) - net.predict_proba(X)).max() < 1e-5


def test_a_stage_keeps_its_kinds_of_features():
    net = fit_backbone(stages=["block", "top"])
    cut = cut_channels(net, 0.5, Plan())
    assert net._prefix.widths == [5 * 24, 320] and cut._prefix.widths == [5 * 16, 160]
    assert cut._net.module_.head.standardize.blocks == [80, 160]
    assert cut._net.module_.head.linear.weight.shape == (10, 240)
    assert cut.backbone_.fingerprint() != net.backbone_.fingerprint()


def test_steps_lead_where_one_cut_leads():
    net, plan = fit_backbone(), Plan()
    stepwise = cut_channels(cut_channels(net, 0.25, plan), 0.5, plan)
    assert n_channels(stepwise) == n_channels(cut_channels(net, 0.5, Plan()))


def test_the_net_itself_stays_as_it_was():
    net = fit_backbone()
    tensors = {name: tensor.clone() for name, tensor in net._net.module_.state_dict().items()}
    cut_channels(net, 0.5, Plan())
    now = net._net.module_.state_dict()
    assert all(torch.equal(tensor, now[name]) for name, tensor in tensors.items())


def test_frozen_layers_keep_their_channels_and_values():
    net = fit_backbone(freeze_until="block", layer_decay=0.5)
    cut = cut_channels(net, 0.5, Plan())
    stem, same = (one._prefix.backbone.model.stem for one in (net, cut))
    assert all(torch.equal(a, b) for a, b in zip(stem.state_dict().values(), same.state_dict().values(), strict=True))
    assert not any(p.requires_grad for p in same.parameters())
    assert n_channels(cut)["backbone.model.block.conv1"] == 16
    assert cut._prefix.boundary is not None
    groups, before = cut._net.optimizer_.param_groups, net._net.optimizer_.param_groups
    assert [len(group["params"]) for group in groups] == [len(group["params"]) for group in before]
    assert [group["lr"] for group in groups] == [group["lr"] for group in before]
    trained = {id(p) for p in cut._net.module_.parameters() if p.requires_grad}
    assert {id(p) for group in groups for p in group["params"]} == trained


class Wired(nn.Module):
    """A net whose code depends on the number of its hidden units."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first, self.second = nn.Linear(n_features, 32), nn.Linear(32, 32)
        self.norm = nn.GroupNorm(4, 64)
        self.third, self.last = nn.Linear(32, 64), nn.Linear(64, n_outputs)

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.first(x)))) + torch.ones(32)
        return self.last(torch.relu(self.norm(self.third(x))))


def test_layers_that_cannot_lose_channels_are_found():
    net, plan = NetClassifier(Wired, max_epochs=1, random_state=0).fit(X, y), Plan()
    cut = cut_channels(net, 0.5, plan)
    assert list(plan.kept) == ["third", "second"]  # a GroupNorm, and a number in the code
    assert [len(getattr(cut._net.module_, name).weight) for name in ("first", "second", "third")] == [16, 32, 64]


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (lambda n_features, n_outputs: nn.Linear(n_features, n_outputs), "has none. Conv"),
        (
            lambda n_features, n_outputs: nn.Sequential(
                nn.Linear(n_features, 32), nn.GroupNorm(4, 32), nn.Linear(32, n_outputs)
            ),
            "has none; 0 cannot have fewer channels",
        ),
    ],
    ids=["linear", "group norm"],
)
def test_a_net_without_channels_to_remove_is_an_error(module, named):
    net = NetClassifier(module, max_epochs=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=named):
        cut_channels(net, 0.5, Plan())


def test_a_net_whose_channels_cannot_be_followed_is_an_error(monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError("modulo by zero")  # as for a ShuffleNet

    net = fit_backbone()
    monkeypatch.setattr("torch_pruning.DependencyGraph.build_dependency", fail)
    with pytest.raises(ValueError, match="Torch-Pruning can trace, but it raised ZeroDivisionError: modulo by zero"):
        cut_channels(net, 0.5, Plan())


def test_a_net_that_a_callback_has_frozen_is_an_error():
    net = fit_backbone(callbacks=[FreezeLayers("head")])
    with pytest.raises(ValueError, match="unless they are frozen"):
        cut_channels(net, 0.5, Plan())


@pytest.mark.parametrize(
    ("width", "amount", "expected"),
    [(64, 0.5, 32), (24, 0.5, 16), (24, 0.25, 16), (20, 0.5, 8), (16, 0.9, 8), (10, 0.5, 5), (4, 0.9, 1), (2, 0.3, 1)],
)
def test_numbers_of_channels_are_rounded(width, amount, expected):
    assert round_channels(width, amount) == expected
