import copy
from inspect import signature

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from skorch.callbacks import Callback
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from sktricks import NetClassifier
from sktricks.training import _update
from sktricks.training._update import update
from sktricks.training.engines import skorch as _skorch

X, y = make_classification(200, 8, random_state=0)


def make_optimizer(kind, **settings):
    """An optimizer of two groups, and the net that it updates; one weight never gets a gradient."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.Linear(2, 2))
    groups = [{"params": net[0].parameters(), "weight_decay": 0.1}, {"params": [*net[2:].parameters()], "lr": 0.02}]
    return kind(groups, lr=0.01, **{"fused": True, **settings}), net


def train(net, optimizer, step, n_steps=5):
    x = torch.linspace(-1, 1, 40).reshape(8, 5)
    for _ in range(n_steps):
        optimizer.zero_grad()
        net[:3](x).square().sum().backward()
        step()
    return [p.detach().clone() for p in net.parameters()]


@pytest.fixture
def steps(monkeypatch):
    """Whose ``step`` was called."""
    seen = []
    originals = {kind: kind.step for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)}
    for kind, original in originals.items():
        monkeypatch.setattr(kind, "step", lambda self, *a, _as=original: seen.append(self) or _as(self, *a))
    return seen


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_the_same_bits_as_step(kind):
    optimizer, net = make_optimizer(kind)
    other, twin = make_optimizer(kind)
    for one, two in zip(train(net, optimizer, lambda: update(optimizer)), train(twin, other, other.step), strict=True):
        assert torch.equal(one, two)
    states = zip(optimizer.state.values(), other.state.values(), strict=True)
    assert all(torch.equal(one[name], two[name]) for one, two in states for name in one)


@pytest.mark.parametrize(
    ("kind", "settings", "calls"),
    [
        (torch.optim.Adam, {}, 1),  # which makes the state
        (torch.optim.AdamW, {}, 1),
        (torch.optim.AdamW, {"amsgrad": True}, 5),
        (torch.optim.Adam, {"maximize": True}, 5),
        (torch.optim.Adam, {"fused": None}, 5),
        (torch.optim.SGD, {"fused": None}, 5),
    ],
)
def test_only_a_plain_fused_adam_is_updated_directly(kind, settings, calls, steps):
    optimizer, net = make_optimizer(kind, **settings)
    train(net, optimizer, lambda: update(optimizer))
    assert len(steps) == calls


def test_weights_that_thaw_get_their_state_from_step(steps):
    optimizer, net = make_optimizer(torch.optim.AdamW)
    net[0].requires_grad_(False)
    train(net, optimizer, lambda: update(optimizer), 2)
    net[0].requires_grad_(True)
    before = net[0].weight.clone()
    train(net, optimizer, lambda: update(optimizer), 2)
    assert len(steps) == 2 and not torch.equal(net[0].weight, before)


def test_hooks_of_a_step_are_called():
    optimizer, net = make_optimizer(torch.optim.AdamW)
    seen = []
    own = optimizer.register_step_post_hook(lambda *args: seen.append("own"))
    for_all = register_optimizer_step_pre_hook(lambda *args: seen.append("all"))
    try:
        train(net, optimizer, lambda: update(optimizer), 3)
    finally:
        for_all.remove()
    own.remove()
    assert seen == ["all", "own"] * 3
    train(net, optimizer, lambda: update(optimizer), 3)
    assert len(seen) == 6


def test_a_step_that_somebody_has_wrapped_is_called(steps):
    optimizer, net = make_optimizer(torch.optim.AdamW)
    seen, inner = [], optimizer.step
    optimizer.step = lambda: seen.append(1) or inner()
    train(net, optimizer, lambda: update(optimizer), 3)
    assert len(seen) == 3
    optimizer, net = make_optimizer(torch.optim.AdamW)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0) for _ in range(2)]  # wrap it to count
    del steps[:]
    train(net, optimizer, lambda: update(optimizer), 3)
    says_what = hasattr(optimizer.step, "__wrapped__")  # a schedule of an older torch does not
    assert schedules and len(steps) == (1 if says_what else 3)


@pytest.mark.skipif("decoupled_weight_decay" not in signature(torch.optim.Adam).parameters, reason="no such option yet")
def test_the_weight_decay_of_adamw_in_adam_is_left_to_step(steps):
    optimizer, net = make_optimizer(torch.optim.Adam, decoupled_weight_decay=True)
    train(net, optimizer, lambda: update(optimizer))
    assert len(steps) == 5


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_net_learns_the_same_by_either(optimizer, monkeypatch):
    calls = []
    monkeypatch.setattr(_skorch, "update", lambda one: calls.append(one) or update(one))
    net = NetClassifier(optimizer=optimizer, max_epochs=3, random_state=0)
    first = net.fit(X, y).predict_proba(X)
    assert calls
    monkeypatch.setattr(_update, "FUNCTIONS", {})
    np.testing.assert_array_equal(net.fit(X, y).predict_proba(X), first)


def test_a_second_training_that_goes_on_steps_before_its_schedule():  # else torch warns
    net = NetClassifier(max_epochs=2, warm_start=True, random_state=0).fit(X, y)
    copy.deepcopy(net).fit(X, y)
    net.partial_fit(X, y)


class Listener(Callback):
    """Notes what it is told, at batches and beside them."""

    def initialize(self):
        self.told = []
        self.on_batch_end = self.note  # by an attribute, which shadows the method
        return self

    def note(self, net, **kwargs):
        self.told.append("on_batch_end")

    def on_grad_computed(self, net, **kwargs):
        self.told.append("on_grad_computed")

    def on_epoch_end(self, net, **kwargs):
        self.told.append("on_epoch_end")


def test_callbacks_hear_of_each_batch_in_every_training():
    net = NetClassifier(max_epochs=2, batch_size=100, callbacks=[("mine", Listener())], random_state=0).fit(X, y)
    told = dict(net.net_.callbacks_)["mine"].told
    assert told == (["on_grad_computed", "on_batch_end"] * 2 + ["on_epoch_end"]) * 2
    net.partial_fit(X, y)
    assert len(told) > 10 and net.net_.listeners_ is None


class Late(Callback):
    """Begins to listen in the second epoch, and brings another callback along."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            self.heard, self.friend = [], Listener().initialize()
            self.on_batch_end = lambda net, **kwargs: self.heard.append(1)
            net.callbacks_.append(("friend", self.friend))


def test_callbacks_that_come_later_hear_of_each_batch_from_then_on():
    net = NetClassifier(max_epochs=3, batch_size=100, callbacks=[("mine", Late())], random_state=0).fit(X, y)
    late = dict(net.net_.callbacks_)["mine"]
    assert len(late.heard) == 4 and late.friend.told.count("on_batch_end") == 4
