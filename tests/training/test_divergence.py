import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sktricks import FineTuneClassifier, FreezeLayers, NetClassifier, NetRegressor

X, y = make_classification(90, 5, n_informative=3, random_state=0)
X = X.astype(np.float32)
VALUES = X[:, 0] + X[:, 1]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
LABELS = np.arange(40) % 2
SMALL = {"batch_size": 30, "net_params": {"module__width": 8}, "random_state": 0}
DIVERGES = {**SMALL, "optimizer": "sgd", "lr": 1e6}
MESSAGE = r"lr=1e\+06: the training diverged in epoch \d+, where the training loss is nan.*find_lr.*clip_norm=1.0"


class Linear(nn.Linear):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)


class NoNumber(Linear):
    """A module whose loss is NaN."""

    def forward(self, x):
        return super().forward(x) * float("nan")


class BadFromThirdEpoch(Callback):
    """Set a weight to NaN at the end of the third epoch, which no loss shows if it is the last one."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 3:
            net.module_.weight.data[0, 0] = float("nan")


class Poison(Callback):
    """Make the loss NaN from the third epoch on."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            net.module_.weight.data[0, 0] = float("nan")


class Masked(Linear):
    """A module with a valid mask of -inf, as in attention."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        self.register_buffer("mask", torch.full((2,), -torch.inf))


class NeverTheLast(Masked):
    """A module for which the last class is impossible."""

    def forward(self, x):
        return torch.cat([super().forward(x)[:, :2], self.mask[:1].expand(len(x), 1)], 1)


@pytest.mark.parametrize("more", [{}, {"early_stopping": True}, {"average": "ema"}], ids=str)
def test_a_training_that_diverges_is_an_error_and_leaves_nothing_behind(more):
    net = NetClassifier(**DIVERGES, max_epochs=20, **more)
    before = dict(vars(net))
    with pytest.raises(ValueError, match=MESSAGE):
        net.fit(X, y)
    assert vars(net) == before


def test_a_regressor_that_diverges():
    with pytest.raises(ValueError, match=MESSAGE):
        NetRegressor(**DIVERGES, max_epochs=20).fit(X, VALUES)


def test_a_loss_that_is_nan_ends_the_training_in_the_first_epoch():
    with pytest.raises(ValueError, match=r"lr=0\.002: the training diverged in epoch 1, .* loss is nan.*diagnose"):
        NetClassifier(NoNumber).fit(X, y)


def test_the_epoch_is_told_and_counts_from_the_start_of_this_training():
    net = NetClassifier(Linear, callbacks=[Poison()], max_epochs=5, random_state=0)
    with pytest.raises(ValueError, match="diverged in epoch 3, where the training loss is nan"):
        net.fit(X, y)
    net.set_params(max_epochs=2).fit(X, y)
    with pytest.raises(ValueError, match="diverged in epoch 1, where the training loss is nan"):
        net.partial_fit(X, y)


def test_weights_that_the_last_step_has_broken():
    net = NetClassifier(Linear, callbacks=[BadFromThirdEpoch()], max_epochs=3)
    with pytest.raises(ValueError, match=r"diverged in epoch 3, where the weights module\.weight are not finite"):
        net.fit(X, y)


@pytest.mark.parametrize("lr", [1e6, 1e12, 1e30])
@pytest.mark.parametrize("max_epochs", [1, 2, 3])
def test_a_training_that_no_error_ends_predicts_numbers(lr, max_epochs):
    net = NetClassifier(optimizer="sgd", lr=lr, max_epochs=max_epochs, random_state=0)
    try:
        net.fit(X, y)
    except ValueError as error:
        assert "diverged" in str(error)
    else:
        assert np.isfinite(net.predict_proba(X)).all()


def test_weights_whose_outputs_are_too_large():
    net = NetClassifier(Linear, optimizer="sgd", lr=3e38, max_epochs=1, batch_size=100, random_state=0)
    with pytest.raises(ValueError, match="diverged in epoch 1, where the weights are so large that the outputs"):
        net.fit(X, y)


def test_a_validation_loss_that_is_no_number():
    with pytest.raises(ValueError, match="diverged in epoch 1, where the validation loss is"):
        NetClassifier(**SMALL).fit(X, y, X_val=np.full((2, 5), 3e38, np.float32), y_val=[0, 1])


def test_callbacks_of_the_user_do_not_hide_it():
    net = NetClassifier(**DIVERGES, callbacks=[EarlyStopping(monitor="train_loss", patience=1)], max_epochs=20)
    with pytest.raises(ValueError, match="diverged"):
        net.fit(X, y)


@pytest.mark.parametrize("module", [Masked, NeverTheLast])
def test_infinity_that_was_there_before_is_no_divergence(module):
    net = NetClassifier(module, random_state=0).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    assert np.isfinite(net.predict_proba(X)).all()


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_a_search_scores_it_nan_and_takes_the_other():
    net = NetClassifier(**{**DIVERGES, "max_epochs": 20})
    with pytest.warns(FitFailedWarning, match="the training diverged"):
        search = GridSearchCV(net, {"lr": [1e6, 1e-6]}, cv=2).fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert search.best_params_ == {"lr": 1e-6}


# -- going on from a net -----------------------------------------------------------------------------------------------


def state_of(net):
    """Everything that a training changes in a fitted net, as comparable values."""
    inner = net.net_
    parts = {"module": inner.module_, "criterion": inner.criterion_}
    groups = [{**group, "params": [id(p) for p in group["params"]]} for group in inner.optimizer_.param_groups]
    memory = {id(p): {k: numbers(v) for k, v in kept.items()} for p, kept in inner.optimizer_.state.items()}
    return {
        "tensors": {(k, n): numbers(t) for k, part in parts.items() for n, t in part.state_dict().items()},
        "flags": {(k, n): p.requires_grad for k, part in parts.items() for n, p in part.named_parameters()},
        "hooks": {n: list(m._forward_pre_hooks.values()) for n, m in inner.module_.named_modules()},
        "groups": groups,
        "memory": memory,
        "history": [dict(epoch) for epoch in inner.history],
        "rates": (inner.lr, inner.batch_size, net.lr_, net.n_iter_),
        "attributes": {name: value for name, value in vars(net).items() if name.endswith("_")},
    }


def numbers(tensor):
    return tensor.detach().numpy().copy()


def fail_to_go_on(net, way, X, y):
    """Continue the training of a fitted net at a rate at which it diverges."""
    net.set_params(lr=1e30)
    with pytest.raises(ValueError, match="diverged"):
        if way == "partial_fit":
            net.partial_fit(X, y)
        else:
            net.set_params(warm_start=True, max_epochs=30).fit(X, y)


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", torch.optim.Adagrad])
def test_a_net_that_diverges_when_it_goes_on_is_what_it_was(way, optimizer):
    net = NetClassifier(**SMALL, optimizer=optimizer, max_epochs=3, clip_norm=1.0, average="ema").fit(X, y)
    before, proba = state_of(net), net.predict_proba(X)
    fail_to_go_on(net, way, X, y)
    np.testing.assert_equal(state_of(net), before)
    assert_array_equal(net.predict_proba(X), proba)


def test_a_net_that_has_failed_goes_on_as_if_it_had_not():
    nets = [NetClassifier(**SMALL, max_epochs=3, warm_start=True).fit(X, y) for _ in range(2)]
    fail_to_go_on(nets[0], "partial_fit", X, y)
    nets[0].set_params(lr=2e-3)
    for net in nets:
        net.fit(X, y).partial_fit(X, y)
    np.testing.assert_equal(nets[0].predict_proba(X), nets[1].predict_proba(X))
    assert nets[0].loss_curve_ == nets[1].loss_curve_


def test_what_a_failed_training_has_thawed_is_frozen_again():
    frozen = FreezeLayers("head", unfreeze_at=3)
    net = NetClassifier(**SMALL, optimizer="sgd", callbacks=[frozen], max_epochs=2).fit(X, y)
    before = state_of(net)
    assert not all(before["flags"].values())
    fail_to_go_on(net, "warm_start", X, y)
    np.testing.assert_equal(state_of(net), before)


def test_any_error_of_a_callback_undoes_a_training():
    class Fails(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 4:
                raise RuntimeError("the log is full")

    net = NetClassifier(**SMALL, callbacks=[Fails()], max_epochs=2, warm_start=True).fit(X, y)
    before = state_of(net)
    with pytest.raises(RuntimeError, match="the log is full"):
        net.fit(X, y)
    np.testing.assert_equal(state_of(net), before)


# -- fine-tuned nets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strategy", [{"strategy": "fine-tune"}, {"strategy": "fine-tune", "freeze_until": "stage3"}, {"strategy": "lp-ft"}]
)
def test_a_fine_tuned_net_that_diverges(strategy):
    net = FineTuneClassifier(**strategy, optimizer="sgd", lr=1e30, max_epochs=2, random_state=0)
    with pytest.raises(ValueError, match=r"lr=1e\+30: the training diverged in epoch"):
        net.fit(IMAGES, LABELS)
    assert not hasattr(net, "strategy_")


def test_gradual_thawing_that_diverges():
    net = FineTuneClassifier(strategy="gradual", optimizer="sgd", lr=1e30, max_epochs=4, random_state=0)
    with pytest.raises(ValueError, match=r"lr=1e\+30: the training diverged in epoch"):
        net.fit(IMAGES, LABELS)


def test_a_fine_tuned_net_that_diverges_when_it_goes_on_is_what_it_was():
    net = FineTuneClassifier(strategy="fine-tune", max_epochs=1, random_state=0).fit(IMAGES, LABELS)
    before = state_of(net)
    net.backbone_.model.train()
    before_modes = [part.training for part in net.net_.module_.modules()]
    fail_to_go_on(net, "warm_start", IMAGES, LABELS)
    np.testing.assert_equal(state_of(net), before)
    assert [part.training for part in net.net_.module_.modules()] == before_modes
