"""Properties of every training, whichever engine runs it."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from skorch.callbacks import Callback
from torch import nn

from sktricks import NetClassifier
from sktricks.training._hooks import InputHooks
from sktricks.training._rows import Rows, check_rows
from sktricks.training.engines import dual, skorch, stacked
from sktricks.training.run import open_run

X, y = make_classification(200, 8, random_state=0)


class Zero(nn.Linear):
    """A linear layer that starts at zero."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def linear(n_features, n_outputs):
    """A plain linear layer that starts at zero."""
    layer = nn.Linear(n_features, n_outputs)
    layer.load_state_dict(Zero(n_features, n_outputs).state_dict())
    return layer


class Tells(NetClassifier):
    """Records which hooks are called, without repetitions."""

    def __getattribute__(self, name):
        seen = vars(InputHooks)["_calls"]
        if name in vars(InputHooks) and name not in seen:
            seen.append(name)
        return super().__getattribute__(name)


def test_hooks_are_called_in_the_order_in_which_they_stand_in_the_file(monkeypatch):
    monkeypatch.setattr(InputHooks, "_calls", [], raising=False)
    Tells(max_epochs=1).fit(X[:100], y[:100])  # one batch, so that float64 is an option
    first, last = "_check_X", "_after_training"
    names = list(vars(InputHooks))
    hooks = names[names.index(first) : names.index(last) + 1]
    assert [name for name in vars(InputHooks)["_calls"] if name in hooks] == hooks


@pytest.mark.parametrize(
    ("params", "valid", "expected"),
    [
        ({}, False, {stacked, skorch}),
        ({"module": linear, "optimizer": "sgd"}, False, {dual, stacked, skorch}),
        ({"module": linear, "optimizer": "sgd"}, True, {skorch}),
        ({"module": Zero, "optimizer": "sgd"}, False, {stacked, skorch}),  # a subclass may do anything
        ({"module": linear, "optimizer": "adamw"}, False, {stacked, skorch}),
        ({"module": linear, "optimizer": "sgd", "schedule": "plateau"}, False, {skorch}),
    ],
    ids=["default", "linear", "with validation", "own class", "adamw", "plateau"],
)
def test_engines_say_what_they_support(params, valid, expected):
    net = NetClassifier(random_state=0, max_epochs=60, **params)
    rows = check_rows(net, np.tile(X[:20], 3), y[:20], fresh=True)
    rows.valid = Rows(rows.X, rows.y) if valid else None
    with open_run(net, rows, fresh=True) as run:
        assert {engine for engine in (dual, stacked, skorch) if engine.supports(run)} == expected


def test_a_linear_module_that_starts_at_zero_is_trained_in_terms_of_its_rows(monkeypatch):
    done, train = [], dual.train
    monkeypatch.setattr(dual, "train", lambda runs: (done.append(runs), train(runs)))
    wide, net = np.tile(X[:20], 3), NetClassifier(linear, optimizer="sgd", lr=0.01, max_epochs=60, random_state=0)
    fast = net.fit(wide, y[:20]).predict_proba(wide)
    assert len(done) == 1
    monkeypatch.setattr(dual, "supports", lambda run: False)
    np.testing.assert_allclose(net.fit(wide, y[:20]).predict_proba(wide), fast, rtol=1e-4)


def test_a_training_replaces_the_callbacks_of_the_one_before():
    net = NetClassifier(max_epochs=1, clip_norm=1.0, average="ema", random_state=0).partial_fit(X, y)
    names = [name for name, _ in net.partial_fit(X, y).net_.callbacks_]
    assert len(names) == len(set(names)) and "own_average" not in names
    assert "own_average" in dict(net.fit(X, y).net_.callbacks_)


def test_an_optimizer_that_evaluates_the_loss_again_gets_a_closure():
    net = NetClassifier(Zero, optimizer=torch.optim.LBFGS, lr=0.5, max_epochs=2, batch_size=200, random_state=0)
    assert net.fit(X, y).loss_curve_[1] < net.loss_curve_[0]


def test_a_second_training_that_goes_on_steps_before_its_schedule():  # else torch warns
    net = NetClassifier(max_epochs=2, warm_start=True, random_state=0).fit(X, y)
    copy.deepcopy(net).fit(X, y)
    net.partial_fit(X, y)


class Listener(Callback):
    """Records the calls of its methods, for batches and others."""

    def initialize(self):
        self.told = []
        self.on_batch_end = self.note  # an attribute that shadows the method
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
    assert len(told) > 10


class Late(Callback):
    """Becomes active in the second epoch, and adds another callback."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            self.heard, self.friend = [], Listener().initialize()
            self.on_batch_end = lambda net, **kwargs: self.heard.append(1)
            net.callbacks_.append(("friend", self.friend))


def test_callbacks_that_come_later_hear_of_each_batch_from_then_on():
    net = NetClassifier(max_epochs=3, batch_size=100, callbacks=[("mine", Late())], random_state=0).fit(X, y)
    late = dict(net.net_.callbacks_)["mine"]
    assert len(late.heard) == 4 and late.friend.told.count("on_batch_end") == 4


def frozen(name):
    """A linear layer whose parameter of this name is not trained."""

    def make(n_features, n_outputs):
        layer = linear(n_features, n_outputs)
        layer.get_parameter(name).requires_grad_(False)
        return layer

    return make


WIDE, SIGN = np.random.default_rng(0).normal(size=(60, 64)), np.arange(60) % 2
SGD = {"optimizer": "sgd", "lr": 0.1, "max_epochs": 5, "random_state": 0}


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_frozen_part_of_a_linear_module_that_starts_at_zero_stays_as_it_is(name):
    net = NetClassifier(frozen(name), **SGD).fit(WIDE, SIGN)
    assert not net.net_.module_.get_parameter(name).any()
    assert any(p.any() for p in net.net_.module_.parameters())


@pytest.mark.parametrize("loss", ["auto", "bce"])
def test_one_logit_of_a_linear_module_that_starts_at_zero_is_for_two_classes(loss):
    net = NetClassifier(linear(64, 1), loss=loss, **SGD).fit(WIDE, WIDE[:, 0] > 0)
    assert net.score(WIDE, WIDE[:, 0] > 0) > 0.8


@pytest.mark.parametrize(
    ("module", "columns", "match"), [(linear(64, 5), 64, "must return 2 outputs"), (linear(64, 2), 60, "60 columns")]
)
def test_a_linear_module_that_starts_at_zero_must_fit_the_data(module, columns, match):
    with pytest.raises(ValueError, match=match):
        NetClassifier(module, **SGD).fit(WIDE[:, :columns], SIGN)


def test_validation_rows_all_count_the_same():
    net = NetClassifier(class_weight={0: 1, 1: 10}, max_epochs=2, random_state=0)
    net.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    assert net.validation_loss_curve_[-1] == pytest.approx(log_loss(y[100:], net.predict_proba(X[100:])), rel=1e-4)
