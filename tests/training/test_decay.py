import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sktricks import FineTuneClassifier, FreezeLayers, NetClassifier, load, save
from sktricks.training._decay import has_no_decay, split_by_decay

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
IMAGES = RNG.integers(0, 256, (40, 8, 8)).astype(np.uint8)


class Kinds(nn.Module):
    """A convolution, a normalization layer, a linear layer and a scalar, all nonzero."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.map = nn.Conv1d(1, 3, 3), nn.GroupNorm(1, 3), nn.Linear(3, 2)
        self.number = nn.Parameter(torch.ones(()))
        for p in self.parameters():
            nn.init.ones_(p)

    def forward(self, x):
        return self.map(self.norm(self.conv(x.unsqueeze(1))).mean(2)) * self.number


def flat(y_pred, y):
    """A loss with zero gradient, so that only weight decay changes the weights."""
    return (0 * y_pred).sum(1)


def decayed(**params):
    settings = {"loss": flat, "schedule": "constant", "max_epochs": 1, "lr": 0.1, "weight_decay": 0.5}
    return NetClassifier(Kinds, random_state=0, **{**settings, **params}).fit(X, Y)


def values(net):
    return {name: p.flatten()[0].item() for name, p in net.net_.module_.named_parameters()}


def decays(net):
    return [(group["weight_decay"], len(group["params"])) for group in net.net_.optimizer_.param_groups]


@pytest.mark.parametrize(("optimizer", "left"), [("adamw", 0.95), ("sgd", 0.95)])
def test_maps_and_convolutions_decay_but_not_biases_norms_and_numbers(optimizer, left):
    found = values(decayed(optimizer=optimizer))
    expected = dict.fromkeys(found, 1.0) | {"conv.weight": left, "map.weight": left}
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_vectors_of_categories_decay():
    table = np.c_[X, np.arange(40) % 3]
    net = NetClassifier(categorical_features=[6], max_epochs=1, random_state=0).fit(table, Y)
    maps = net.net_.optimizer_.param_groups[0]["params"]
    assert any(p is net.net_.module_.categories.vectors for p in maps)


def test_a_group_is_split_and_keeps_its_settings():
    first, second = split_by_decay({"params": [torch.ones(2), torch.ones(2, 3), torch.ones(())], "lr": 0.3})
    assert [p.shape for p in first["params"]] == [(2, 3)] and [p.shape for p in second["params"]] == [(2,), ()]
    assert (first["lr"], second["lr"], second["weight_decay"]) == (0.3, 0.3, 0.0) and "weight_decay" not in first


@pytest.mark.parametrize("shape", [(2,), (2, 2)])
def test_of_one_kind_there_is_one_group(shape):
    assert [has_no_decay(p) for group in split_by_decay({"params": [torch.ones(shape)]}) for p in group["params"]] == [
        len(shape) < 2
    ]
    assert len(split_by_decay({"params": [torch.ones(shape)]})) == 1


def test_a_group_of_ones_own_with_its_own_decay_stays_whole():
    own = [("conv*", {"weight_decay": 0.25})]
    net = decayed(net_params={"optimizer__param_groups": own})
    assert decays(net) == [(0.25, 2), (0.5, 1), (0.0, 4)]
    assert values(net)["conv.bias"] == values(net)["conv.weight"] == pytest.approx(0.975)


def test_everything_decays_where_a_group_says_so():
    net = decayed(net_params={"optimizer__param_groups": [("*", {"weight_decay": 0.5})]})
    assert list(values(net).values()) == pytest.approx([0.95] * 7)


@pytest.mark.parametrize("before", [0.5, 0.0])
def test_going_on_with_another_decay_spares_the_same(before):
    net = decayed(weight_decay=before)
    net.set_params(weight_decay=0.2).partial_fit(X, Y)
    assert decays(net) == [(0.2, 2), (0.0, 5)]
    net.set_params(weight_decay=0.0).partial_fit(X, Y)
    net.set_params(weight_decay=0.3).partial_fit(X, Y)
    assert decays(net) == [(0.3, 2), (0.0, 5)]


def test_an_optimizer_without_decay_has_one_group():
    assert len(decayed(optimizer=torch.optim.Rprop).net_.optimizer_.param_groups) == 1


def test_a_saved_net_goes_on_sparing(tmp_path):
    net = NetClassifier(weight_decay=0.5, max_epochs=2, random_state=0).fit(X, Y)
    save(net, tmp_path / "net")
    again = load(tmp_path / "net")
    for one in (net, again):
        one.set_params(weight_decay=0.1).partial_fit(X, Y)
    assert decays(again) == decays(net)
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))


def without_decay(optimizer):
    """The parameters in groups that do not decay."""
    return {id(p) for group in optimizer.param_groups if group["weight_decay"] == 0 for p in group["params"]}


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_what_thaws_comes_back_as_what_it_was(scale):
    callbacks = [FreezeLayers(0.5, unfreeze_at=2)]
    net = FineTuneClassifier(
        backbone_lr_scale=scale, callbacks=callbacks, strategy="fine-tune", max_epochs=2, random_state=0
    ).fit(IMAGES, Y)
    vectors = {id(p) for p in net.net_.module_.parameters() if p.ndim < 2}
    held = {id(p) for group in net.net_.optimizer_.param_groups for p in group["params"]}
    assert without_decay(net.net_.optimizer_) == vectors and held == {id(p) for p in net.net_.module_.parameters()}


def test_a_plain_skorch_net_has_one_group_for_what_thaws():
    net = NeuralNetClassifier(
        Kinds, callbacks=[FreezeLayers(1, unfreeze_at=2)], max_epochs=2, train_split=None, verbose=0, lr=1e-3
    ).fit(X, Y.astype(np.int64))
    assert [len(group["params"]) for group in net.optimizer_.param_groups] == [7]


def test_without_decay_there_is_one_group_until_there_is_some():
    net = decayed(weight_decay=0.0, warm_start=True)
    assert len(net.net_.optimizer_.param_groups) == 1
    net.set_params(weight_decay=0.3).fit(X, Y)
    vectors = {id(p) for p in net.net_.module_.parameters() if p.ndim < 2}
    assert without_decay(net.net_.optimizer_) == vectors
    assert {group["weight_decay"] for group in net.net_.optimizer_.param_groups} == {0.0, 0.3}
