import pickle
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import EpochScoring
from torch import nn

from sktricks import (
    FineTuneClassifier,
    MixUp,
    NetClassifier,
    NetRegressor,
    RandomFlip,
    TrainingInterruptedWarning,
    cache_info,
)
from sktricks.training import _fit_many
from sktricks.training._fit_many import fit_many
from sktricks.training.engines import stacked

rng = np.random.default_rng(0)
X = rng.normal(size=(83, 5))
y = np.array(["ant", "bee", "cow"])[(X @ rng.normal(size=(5, 3))).argmax(axis=1)]
IMAGES = rng.integers(0, 256, (40, 8, 8)).astype(np.uint8)
FOLDS = [np.arange(83) % 4 != fold for fold in range(4)] + [np.ones(83, bool)]  # of 62 and 63 rows, and all
SMALL = {"max_epochs": 2, "batch_size": 20, "net_params": {"module__width": 8}}


class Fit:
    """The object that an ensemble passes to ``_fit_many``."""

    verbose = 0

    def __init__(self, estimator, X, y, **params):
        self.estimator, self.X, self.y, self.params = estimator, X, y, params

    def data(self):
        return self.X, self.y

    def naming(self):
        return nullcontext()


def layers(n_features, n_outputs):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(n_features, 8, bias=False), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, n_outputs)
    )


def exact_layers(n_features, n_outputs):
    return layers(n_features, n_outputs).double()


class Own(nn.Module):
    """A module that only vmap can stack, with a parameter that is a number."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.inner, self.outer, self.scale = (
            nn.Linear(n_features, 8),
            nn.Linear(8, n_outputs),
            nn.Parameter(torch.ones(())),
        )

    def forward(self, x):
        return self.outer(torch.sin(self.inner(x)) * self.scale)


class Normed(nn.Sequential):
    def __init__(self, n_features, n_outputs):
        super().__init__(nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Linear(8, n_outputs))


class NormedByBatch(nn.Sequential):
    def __init__(self, n_features, n_outputs):
        norm = nn.BatchNorm1d(8, track_running_stats=False)
        super().__init__(nn.Linear(n_features, 8), norm, nn.Linear(8, n_outputs))


class Dropped(nn.Sequential):
    def __init__(self, n_features, n_outputs):
        super().__init__(nn.Linear(n_features, 8), nn.Dropout(0.2), nn.Linear(8, n_outputs))


class Idle(nn.Linear):
    """An unused parameter has no gradient, and must not decay."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        self.idle = nn.Parameter(torch.ones(3))


class Branching(nn.Linear):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


class Convolution(nn.Sequential):
    def __init__(self, n_outputs):
        super().__init__(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, n_outputs))


class OwnFit(NetClassifier):
    def fit(self, X, y):
        return super().fit(X, y)


def fit_both(make, X=X, y=y, weights=None, folds=FOLDS):
    """Nets of several seeds on several folds, fitted together and one after the other."""
    together, alone = [], []
    for seed, rows in enumerate(folds):
        params = {} if weights is None or seed == 0 else {"sample_weight": weights[rows]}
        together.append(Fit(make(seed), X[rows], y[rows], **params))
        alone.append(make(seed).fit(X[rows], y[rows], **params))
    return fit_many(together), alone


def assert_alike(one, other, X=X):
    trained = [list(net.net_.module_.state_dict().values()) for net in (one, other)]
    exact = next(one.net_.module_.parameters()).dtype == torch.float64
    close = {"rtol": 1e-7, "atol": 1e-9} if exact else {"rtol": 1e-5, "atol": 1e-5}
    for a, b in zip(*trained, strict=True):
        assert_allclose(a.numpy(), b.numpy(), rtol=0 if exact else close["rtol"], atol=close["atol"])
    said = "predict_proba" if hasattr(one, "predict_proba") else "predict"
    assert_allclose(getattr(one, said)(X), getattr(other, said)(X), **close)
    assert one.n_iter_ == other.n_iter_
    assert len(one.net_.history) == len(other.net_.history)
    for a, b in zip(one.net_.history, other.net_.history, strict=True):
        assert a.keys() == b.keys()
        assert_allclose(a["train_loss"], b["train_loss"], **close)
        assert a["train_loss_best"] == b["train_loss_best"]
        for mine, its in zip(a["batches"], b["batches"], strict=True):
            assert mine == pytest.approx(its, rel=10 * close["rtol"])


SETTINGS = {
    "default": {},
    "sgd, clipped": {"optimizer": "sgd", "clip_norm": 0.1},
    "rmsprop, constant": {"optimizer": "rmsprop", "schedule": "constant"},
    "betas": {"optimizer": torch.optim.Adam, "net_params": {"module__width": 8, "optimizer__betas": (0.5, 0.9)}},
    "strong decay": {"weight_decay": 30.0, "lr": 1e-2},
    "groups of one's own": {
        "net_params": {"module__width": 8, "optimizer__param_groups": [("head*", {"lr": 1e-2, "weight_decay": 1.0})]}
    },
    "class weights": {"class_weight": "balanced", "label_smoothing": 0.1},
    "augmenter": {"augmenter": RandomFlip(p=0.5), "image_shape": None},
    "layers": {"module": layers, "net_params": None},
    "layers in float64": {"module": exact_layers, "net_params": None},
    "default in float64": {"batch_size": 83},
    "vmap": {"module": Own, "net_params": None},
}


@pytest.mark.filterwarnings("ignore::sktricks.ImageShapeWarning")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_each_net_is_what_fit_makes_of_it(settings):
    def make(seed):
        return NetClassifier(random_state=seed, **{**SMALL, **settings})

    for one, other in zip(*fit_both(make), strict=True):
        assert_alike(one, other)
        assert_array_equal(one.classes_, other.classes_)


def test_regression_with_weights_of_which_some_are_zero():
    values = np.stack([X[:, 0] * 40 + 7, X[:, 1] ** 2], axis=1)
    weights = np.where(np.arange(83) % 5 == 0, 0.0, np.linspace(1, 2, 83))
    for one, other in zip(
        *fit_both(lambda seed: NetRegressor(random_state=seed, **SMALL), y=values, weights=weights), strict=True
    ):
        assert_alike(one, other)
        assert_allclose(one.predict(X), other.predict(X), atol=1e-5)


def test_several_labels():
    labels = np.stack([X[:, 0] > 0, X[:, 1] > 0.5], axis=1).astype(int)
    for one, other in zip(*fit_both(lambda seed: NetClassifier(random_state=seed, **SMALL), y=labels), strict=True):
        assert_alike(one, other)


@pytest.mark.parametrize("augmenter", [None, RandomFlip(p=0.5), MixUp()])
def test_images(augmenter):
    def make(seed):
        return NetClassifier(random_state=seed, augmenter=augmenter, **SMALL)

    folds = [np.arange(40) % 3 != fold for fold in range(3)]
    for one, other in zip(*fit_both(make, IMAGES, np.arange(40) % 3, folds=folds), strict=True):
        assert_allclose(one.predict_proba(IMAGES), other.predict_proba(IMAGES), atol=1e-4)


@pytest.mark.filterwarnings("ignore::sktricks.ImageShapeWarning")
@pytest.mark.parametrize("augmenter", [MixUp(alpha=1.0), RandomFlip(p=0.5)])
def test_weights_are_mixed_with_their_rows(augmenter):
    def make(seed):
        return NetClassifier(random_state=seed, augmenter=augmenter, **SMALL)

    weights = np.where(np.arange(83) % 5 == 0, 9.0, np.linspace(1, 2, 83))
    for one, other in zip(*fit_both(make, weights=weights), strict=True):
        assert_alike(one, other)


def test_rates_epochs_and_schedules_of_their_own():
    def make(seed):
        settings = {**SMALL, "max_epochs": 1 + seed % 3, "schedule": ["constant", "warmup-cosine"][seed % 2]}
        return NetClassifier(random_state=seed, lr=1e-3 * (1 + seed), weight_decay=0.1 * seed, **settings)

    for one, other in zip(*fit_both(make), strict=True):
        assert_alike(one, other)


def test_a_fold_that_lacks_a_class_is_left_to_itself():
    folds = [*FOLDS[:2], y != "cow"]
    fits = [Fit(NetClassifier(random_state=0, **SMALL), X[rows], y[rows]) for rows in folds]
    done = fit_many(fits)
    assert [one is NotImplemented for one in done] == [False, False, True]


def test_training_goes_on_as_after_fit():
    def make(seed):
        return NetClassifier(random_state=seed, warm_start=True, **SMALL)

    for one, other in zip(*fit_both(make), strict=True):
        assert_alike(one.fit(X, y), other.fit(X, y))
        assert_alike(one.partial_fit(X, y), other.partial_fit(X, y))
        assert_alike(pickle.loads(pickle.dumps(one)), other)


def test_more_nets_than_the_cache_holds(monkeypatch):
    monkeypatch.setattr(_fit_many, "MAX_CACHE", 1)
    sizes, train = [], stacked.train
    monkeypatch.setattr(stacked, "train", lambda runs: sizes.append(len(runs)) or train(runs))
    done, alone = fit_both(lambda seed: NetClassifier(random_state=seed, **SMALL), folds=FOLDS[:4])
    assert sizes == [2, 2]
    for one, other in zip(done, alone, strict=True):
        assert_alike(one, other)


def test_the_global_generator_stays_where_it_is():
    before = torch.get_rng_state()
    fit_both(lambda seed: NetClassifier(random_state=seed, **SMALL), folds=FOLDS[:2])
    assert torch.equal(torch.get_rng_state(), before)


REFUSED = {
    "BatchNorm": {"module": Normed},
    "statistics of the batch": {"module": NormedByBatch},
    "dropout": {"module": Dropped},
    "dropout of the default module": {"net_params": {"module__dropout": 0.1}},
    "idle parameter": {"module": Idle},
    "branch on values": {"module": Branching},
    "instance": {"module": nn.Linear(5, 3)},
    "callbacks": {"callbacks": [EpochScoring("accuracy", lower_is_better=False)]},
    "early stopping": {"early_stopping": True},
    "loss of one's own": {"loss": lambda y_pred, y: nn.functional.cross_entropy(y_pred, y, reduction="none")},
    "loss that leaves rows out": {"net_params": {"criterion__ignore_index": 1}},
    "optimizer that looks at more than numbers": {"optimizer": torch.optim.LBFGS},
    "loader": {"net_params": {"iterator_train__shuffle": False}},
    "large": {"net_params": {"module__width": 1500}},
    "wide rows": {"module": layers, "batch_size": 83, "data": np.zeros((83, 2000))},
}


@pytest.mark.parametrize("settings", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_together_or_would_not_gain_is_left_to_the_loop(settings):
    settings = {"max_epochs": 1, "data": X, **settings}
    data = settings.pop("data")
    nets = [NetClassifier(random_state=seed, **settings) for seed in range(2)]
    assert fit_many([Fit(net, data, y) for net in nets]) == [NotImplemented] * 2


def test_convolutions_are_left_to_the_loop():
    nets = [NetClassifier(Convolution, max_epochs=1, random_state=seed) for seed in range(2)]
    assert fit_many([Fit(net, IMAGES, np.arange(40) % 2) for net in nets]) == [NotImplemented] * 2


def test_a_fit_of_a_subclass_and_parameters_of_fit_are_left_to_the_loop():
    assert fit_many([Fit(OwnFit(**SMALL), X, y) for _ in range(2)]) == [NotImplemented] * 2
    fits = [Fit(NetClassifier(**SMALL), X, y, X_val=X, y_val=y) for _ in range(2)]
    assert fit_many(fits) == [NotImplemented] * 2


def test_only_nets_with_the_same_parameters_train_together():
    nets = [NetClassifier(random_state=0, **SMALL) for _ in range(2)]
    others = [NetClassifier(random_state=0, **{**SMALL, "net_params": {"module__width": 9}}), NetRegressor(**SMALL)]
    done = fit_many([Fit(net, X, y) for net in [nets[0], *others, nets[1]]])
    assert [one is NotImplemented for one in done] == [False, True, True, False]


def test_ctrl_c_leaves_usable_nets(monkeypatch):
    calls, take_step = [], stacked.take_step

    def interrupt(*args):
        calls.append(1)
        if len(calls) == 8:  # in the second epoch, of five batches
            raise KeyboardInterrupt
        return take_step(*args)

    monkeypatch.setattr(stacked, "take_step", interrupt)
    fits = [Fit(NetClassifier(random_state=seed, **SMALL), X, y) for seed in range(2)]
    with pytest.warns(TrainingInterruptedWarning, match="2 nets was interrupted after 1 of 2 epochs") as caught:
        done = fit_many(fits)
    assert caught[0].filename == __file__
    for one in done:
        assert one.n_iter_ == len(one.net_.history) == 1
        assert one.partial_fit(X, y).predict_proba(X).shape == (83, 3)


def test_errors_in_a_net_are_those_of_fit():
    nets = [NetClassifier(**SMALL), NetClassifier(**SMALL).set_params(lr=-1)]
    with pytest.raises(ValueError, match="'lr' parameter of NetClassifier"):
        fit_many([Fit(net, X, y) for net in nets])


def test_heads_on_a_frozen_backbone_encode_each_row_once():
    def make(seed):
        return FineTuneClassifier(
            strategy="linear-probe", stages=["stage1"], max_epochs=2, batch_size=16, random_state=seed
        )

    folds = [np.arange(40) % 2 == fold for fold in range(2)] + [np.ones(40, bool)]
    fits = [Fit(make(seed), IMAGES[rows], np.arange(40)[rows] % 3) for seed, rows in enumerate(folds)]
    done = fit_many(fits)
    assert cache_info().encoded == 40
    for seed, (one, rows) in enumerate(zip(done, folds, strict=True)):
        alone = make(seed).fit(IMAGES[rows], np.arange(40)[rows] % 3)
        assert_alike(one, alone, IMAGES)


def test_a_net_that_diverges_leaves_those_it_trains_with_alone():
    nets = [NetClassifier(**SMALL, optimizer="sgd", lr=lr, random_state=0) for lr in (0.01, 1e30, 0.02)]
    done = fit_many([Fit(net, X.astype(np.float32), y) for net in nets])
    assert done[1] is NotImplemented  # fitted separately, it raises its own error
    for number in (0, 2):
        alone = clone(nets[number]).fit(X.astype(np.float32), y)
        assert_allclose(done[number].predict_proba(X), alone.predict_proba(X), atol=1e-5)
        assert done[number].n_iter_ == 2
