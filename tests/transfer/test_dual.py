"""A head trained in the dual form equals the head trained by the loop over batches."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from skorch.callbacks import Callback
from torch import nn

from sktricks import FineTuneClassifier, FineTuneRegressor, TrainingInterruptedWarning
from sktricks.training.engines import dual

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (90, 6, 6, 3), dtype=np.uint8)
LABELS = np.arange(90) % 3
VALUES = X.mean(axis=(1, 2, 3)) / 255
TWO = np.stack([VALUES, -VALUES], 1)
HOOKED = nn.CrossEntropyLoss()
HOOKED.register_forward_hook(lambda module, inputs, output: 3 * output)
WEIGHT = RNG.uniform(0.2, 2, 90)
COMMON = {"strategy": "linear-probe", "max_epochs": 30, "batch_size": 40, "lr": 0.01, "random_state": 0}


class Wide(nn.Module):
    """A backbone with more features than rows, by default."""

    def __init__(self, n_features=400):
        super().__init__()
        self.layer = nn.Conv2d(3, n_features, 6)
        nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        return self.layer(x).flatten(1)


@pytest.fixture
def by_rows(monkeypatch):
    """A list that grows with each training in the dual form; ``allowed[0] = False`` disables that form."""
    done, allowed = [], [True]
    supports, train = dual.supports, dual.train
    monkeypatch.setattr(dual, "supports", lambda run: allowed[0] and supports(run))
    monkeypatch.setattr(dual, "train", lambda runs: (done.append(runs), train(runs)))
    return done, allowed


def both(by_rows, make, y, **fit_params):
    """The same estimator trained in the dual form, and by the loop over batches."""
    done, allowed = by_rows
    first = make().fit(X, y, **fit_params)
    assert len(done) == 1
    allowed[0] = False
    return first, make().fit(X, y, **fit_params)


def flat_loss(output, y):
    return nn.functional.mse_loss(output.view(-1), y.view(-1))


def loss_in_place(output, y):
    return output.sub_(y).square().mean(1)


def loss_with_draws(output, y):
    return (output + torch.randn_like(output) - y).square().mean(1)


CASES = {
    "classes": ({}, LABELS, None),
    "weights": ({}, LABELS, WEIGHT),
    "some more rows than features": ({"backbone": partial(Wide, 60)}, LABELS, WEIGHT),
    "one batch": ({"batch_size": 90}, LABELS, None),
    "constant rate": ({"schedule": "constant", "lr": 1e-3}, LABELS, None),
    "the settings of a linear probe": ({"lr": None}, LABELS, WEIGHT),
    "decay, which spares the bias": ({"weight_decay": 0.5}, LABELS, None),
    "no momentum": ({"net_params": {"optimizer__momentum": 0.0}}, LABELS, None),
    "smooth labels": ({"label_smoothing": 0.1}, LABELS, None),
    "several labels": ({}, np.stack([LABELS == 0, LABELS < 2], 1).astype(int), WEIGHT),
    "a loss of one value": ({"loss": lambda output, y: nn.functional.cross_entropy(output, y)}, LABELS, None),
    "a loss that flattens": ({"loss": flat_loss}, TWO, None),
    "a loss in place": ({"loss": loss_in_place, "lr": 1e-4}, TWO, WEIGHT),
    "a loss with draws": ({"loss": loss_with_draws}, TWO, None),
    "a loss with a hook": ({"loss": HOOKED}, LABELS, None),
    "a value": ({"lr": 1e-4}, VALUES, WEIGHT),
    "two values": ({"lr": 1e-4}, TWO, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_net(by_rows, case):
    params, y, weight = CASES[case]
    cls = FineTuneRegressor if y.dtype == float else FineTuneClassifier
    ours, theirs = both(by_rows, lambda: cls(**{"backbone": Wide} | COMMON | params), y, sample_weight=weight)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4, atol=1e-5)
    for name, value in theirs.net_.module_.head.state_dict().items():
        torch.testing.assert_close(ours.net_.module_.head.state_dict()[name], value, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)
    np.testing.assert_array_equal(ours.lr_curve_, theirs.lr_curve_)
    assert ours.n_iter_ == theirs.n_iter_ == 30
    assert ours.net_.history[-1].keys() == theirs.net_.history[-1].keys() - {"dur"}


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_training_goes_on_from_there(by_rows, decay):
    ours, theirs = both(by_rows, lambda: FineTuneClassifier(Wide, **COMMON, weight_decay=decay), LABELS)
    for net in (ours, theirs):
        for _ in range(3):
            net.partial_fit(X, LABELS)
    assert len(by_rows[0]) == 1  # whose weights were zero
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-4)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-3)


def test_the_first_of_two_phases(by_rows):
    settings = COMMON | {"strategy": "lp-ft", "max_epochs": 2, "lr": 1e-3}
    ours, theirs = both(by_rows, lambda: FineTuneClassifier(Wide, **settings), LABELS)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-3, atol=1e-5)


class Look(Callback):
    """Record the head at each batch."""

    def on_batch_end(self, net, **kwargs):
        assert net.module_.head.linear.weight.any()


@pytest.mark.parametrize(
    "params",
    [
        {"callbacks": [Look()]},
        {"early_stopping": True},
        {"clip_norm": 1.0},
        {"average": "ema"},
        {"schedule": "one-cycle"},
        {"optimizer": "adamw"},
        {"net_params": {"optimizer__nesterov": True}},
        {"net_params": {"callbacks__train_loss": None}},
        {"net_params": {"callbacks__valid_loss": Look()}},
        {"net_params": {"iterator_train__shuffle": False}},
        {"net_params": {"iterator_train": torch.utils.data.DataLoader}},
    ],
    ids=lambda params: next(iter(params)),
)
def test_what_needs_each_batch_gets_it(by_rows, params):
    net = FineTuneClassifier(Wide, **COMMON | params).fit(X, LABELS)
    assert not by_rows[0]
    assert net.n_iter_ <= 30


def test_a_second_training_from_zero_is_none_of_its_own(by_rows):
    net = FineTuneRegressor(Wide, **COMMON)
    for _ in range(2):
        net.partial_fit(X[:1], VALUES[:1])  # the only value is the mean, so that nothing is learned
    assert len(by_rows[0]) <= 1 and net.net_.history[:, "epoch"] == [1, 2]


def test_many_rows_are_not_multiplied_with_each_other(by_rows):
    FineTuneClassifier(partial(Wide, 59), **COMMON).fit(X, LABELS)
    FineTuneRegressor(Wide, **COMMON | {"max_epochs": 3}).fit(X, VALUES)
    assert not by_rows[0]


def test_an_interrupted_fit_leaves_a_usable_net(monkeypatch):
    step = dual.DualTraining._take_step

    def interrupt(training, batch, rate):
        if len(training.losses) == 7:  # the second batch of the third epoch
            raise KeyboardInterrupt
        return step(training, batch, rate)

    monkeypatch.setattr(dual.DualTraining, "_take_step", interrupt)
    with pytest.warns(TrainingInterruptedWarning, match="interrupted after 2 of 30 epochs; the net keeps"):
        net = FineTuneClassifier(Wide, **COMMON | {"schedule": "constant"}).fit(X, LABELS)
    assert net.n_iter_ == len(net.loss_curve_) == 2
    assert accuracy_score(LABELS, net.predict(X)) > 0.5


def test_a_training_that_diverges_says_so_either_way(by_rows):
    done, allowed = by_rows
    net = FineTuneClassifier(Wide, **{**COMMON, "lr": 1e30}, weight_decay=1.0)
    for allowed[0] in (True, False):
        with pytest.raises(ValueError, match=r"lr=1e\+30: the training diverged in epoch [12],"):
            net.fit(X, LABELS)
    assert len(done) == 1
