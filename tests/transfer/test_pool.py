import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sktricks import FineTuneClassifier, PretrainedFeatures, layer_table
from sktricks.transfer.cache import _pool

X, Y = np.random.default_rng(0).random((20, 8, 8)), np.arange(20) % 2


ESTIMATORS = [PretrainedFeatures, FineTuneClassifier]


@pytest.mark.parametrize("make", ESTIMATORS)
def test_copies_and_clones_share_the_module(make):
    estimator = make(nn.Conv2d(1, 4, 3))
    assert copy.copy(estimator).backbone is clone(estimator).backbone is estimator.backbone
    assert pickle.loads(pickle.dumps(make("tiny32"))).backbone == "tiny32"


@pytest.mark.parametrize("make", ESTIMATORS)
def test_a_clone_of_what_is_fitted_copies_no_net(make, monkeypatch):
    fitted = make(nn.Conv2d(1, 4, 3)).fit(X, Y)
    if make is PretrainedFeatures:
        fitted.set_output(transform="pandas")
    monkeypatch.setattr(nn.Module, "__deepcopy__", None, raising=False)  # whoever copies one fails
    monkeypatch.setattr(make, "__getstate__", None)
    cloned = clone(fitted)
    assert cloned.backbone is fitted.backbone and not hasattr(cloned, "n_features_in_")
    assert getattr(cloned, "_sklearn_output_config", None) == getattr(fitted, "_sklearn_output_config", None)


class Counted(nn.Conv2d):
    """Records each of its copies."""

    copies = []

    def __deepcopy__(self, memo):
        self.copies.append(1)
        other = Counted(1, 4, 3)
        other.load_state_dict(self.state_dict())
        return other


@pytest.fixture
def counted():
    module = Counted(1, 4, 3)
    _pool.find_loaded(module, (8, 8, 1), torch.device("cpu"))
    Counted.copies.clear()
    return module


def search_in(module, **params):
    if params:
        net = FineTuneClassifier(module, max_epochs=1, random_state=0, **params)
        return GridSearchCV(net, {"lr": [1e-3, 1e-2]}, cv=3).fit(X, Y)
    model = make_pipeline(PretrainedFeatures(module), LogisticRegression())
    return GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=3).fit(X, Y)


@pytest.mark.parametrize("params", [{}, {"strategy": "linear-probe"}], ids=["PretrainedFeatures", "linear-probe"])
def test_a_search_over_a_frozen_net_copies_it_once(params, counted):
    search = search_in(counted, **params)
    assert len(Counted.copies) == 1
    search_in(counted, **params)
    assert len(Counted.copies) == 2  # the best estimator has the other
    del search
    search_in(counted, **params)
    assert len(Counted.copies) == 2


def test_each_training_of_a_net_copies_it_once(counted):
    search_in(counted, strategy="fine-tune")
    assert len(Counted.copies) == 7  # fits


@pytest.mark.parametrize(
    "look", [lambda e: e.net_, lambda e: e.backbone_, layer_table], ids=["net_", "backbone_", "layers"]
)
def test_a_net_that_was_seen_serves_no_other_fit(look, counted):
    def fit():
        return FineTuneClassifier(counted, strategy="linear-probe", max_epochs=1, random_state=0).fit(X, Y)

    expected = fit().predict_proba(X)
    fitted = fit()
    look(fitted)
    fitted._prefix.backbone.model.weight.data.zero_()
    del fitted
    np.testing.assert_array_equal(fit().predict_proba(X), expected)
    assert len(Counted.copies) == 2


def test_shallow_copies_keep_the_net_in_use(counted):
    fitted = PretrainedFeatures(counted).fit(X)
    other, backbone = copy.copy(fitted), weakref.ref(fitted._prefix.backbone)
    del fitted
    assert PretrainedFeatures(counted).fit(X)._prefix.backbone.model is not other._prefix.backbone.model
    del other
    assert backbone() is None
    PretrainedFeatures(counted).fit(X)
    assert len(Counted.copies) == 2


def test_frozen_and_other_nets_are_apart(counted):
    FineTuneClassifier(counted, strategy="linear-probe", max_epochs=1).fit(X, Y)
    backbone = PretrainedFeatures(counted).fit(X).backbone_
    assert all(p.requires_grad for p in backbone.parameters()) and not backbone.model._forward_pre_hooks
    net = FineTuneClassifier(counted, strategy="linear-probe", max_epochs=1).fit(X, Y)
    assert not any(p.requires_grad for p in net.backbone_.parameters())


def test_a_module_that_is_no_longer_used_goes():
    module = nn.Conv2d(1, 4, 3)
    PretrainedFeatures(module).fit(X)
    gone, n_known = weakref.ref(module), len(_pool.OF_MODULES)
    del module
    gc.collect()
    assert gone() is None and len(_pool.OF_MODULES) < n_known


# -- classes and factories ---------------------------------------------------------------------------------------------


class Made:
    """A factory that counts its calls; its net has the weights of a seed, or random ones.

    If ``draws``, it first draws initial weights with torch's generator, as factories of pretrained nets do.
    """

    calls = []  # of a class, where it does not count as a setting of the factory

    def __init__(self, seed, draws=False):
        self.seed, self.draws = seed, draws
        self.calls.clear()

    def __call__(self):
        self.calls.append(self.seed)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()) if self.draws or self.seed is None else None
        if self.seed is None:
            return net
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())


@pytest.mark.parametrize(("draws", "random_state", "n_calls"), [(False, None, 1), (True, 0, 1), (True, None, 2)])
def test_a_factory_is_called_once_per_search_or_twice_if_it_draws_without_a_seed(draws, random_state, n_calls):
    make = Made(seed=0, draws=draws)
    net = FineTuneClassifier(make, max_epochs=1, random_state=random_state)
    GridSearchCV(net, {"lr": [1e-3, 1e-2], "strategy": ["linear-probe", "fine-tune"]}, cv=2).fit(X, Y)
    assert len(make.calls) == n_calls


def test_a_factory_of_random_weights_is_called_for_each_seed():
    make = Made(seed=None)
    fitted = [FineTuneClassifier(make, max_epochs=1, random_state=seed).fit(X, Y) for seed in (0, 0, 1, 2, 0)]
    weights = [net.backbone_.model[0].weight for net in fitted]
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[4])
    assert not torch.equal(weights[0], weights[2]) and not torch.equal(weights[2], weights[3])
    assert len(make.calls) == 4


def test_what_is_trained_leaves_the_net_of_a_factory_as_it_was():
    make = Made(seed=0)
    before = make()[0].weight
    first = FineTuneClassifier(make, strategy="fine-tune", max_epochs=3, random_state=0).fit(X, Y)
    assert not torch.equal(first.backbone_.model[0].weight, before)
    probe = FineTuneClassifier(make, strategy="linear-probe", max_epochs=3, random_state=0).fit(X, Y)
    assert torch.equal(probe.backbone_.model[0].weight, before)


def test_a_fit_does_not_depend_on_whether_the_factory_was_called():
    settings = {"strategy": "fine-tune", "max_epochs": 2, "random_state": 3}
    new = FineTuneClassifier(Made(seed=0), **settings).fit(X, Y)
    make = Made(seed=0)
    again = [FineTuneClassifier(make, **settings).fit(X, Y) for _ in range(2)]
    for net in again:
        np.testing.assert_array_equal(net.predict_proba(X), new.predict_proba(X))


FILL = 1.0  # a global that a factory reads


def make_filled():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())
    nn.init.constant_(net[0].weight, FILL)
    nn.init.zeros_(net[0].bias)
    return net


def test_a_factory_is_called_again_if_what_it_reads_has_changed(monkeypatch):
    value = torch.ones(())

    def make_enclosed():
        net = make_filled()
        net[0].weight.data.mul_(value)
        return net

    def weight_of(make, seed):
        net = FineTuneClassifier(make, strategy="linear-probe", max_epochs=1, random_state=seed).fit(X, Y)
        return float(net.backbone_.model[0].weight.detach().mean())

    assert [weight_of(make, seed) for make in (make_filled, make_enclosed) for seed in range(3)] == [1.0] * 6
    monkeypatch.setitem(globals(), "FILL", 2.0)
    value.mul_(2)
    assert [weight_of(make, seed) for make in (make_filled, make_enclosed) for seed in (2, 3)] == [2, 2, 4, 4]
    other = Made(seed=0)
    first = PretrainedFeatures(other).fit_transform(X)
    other.seed = 1
    assert not np.array_equal(PretrainedFeatures(other).fit_transform(X), first)
