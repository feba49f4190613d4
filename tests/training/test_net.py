import copy
import os
import pickle
import re
import threading
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import ShuffleSplit, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

import sktricks.training._epochs
import sktricks.training._inputs
import sktricks.training._make_net
import sktricks.training.engines.skorch
import sktricks.training.run
from sktricks import (
    ColorJitter,
    CutMix,
    GaussianNoise,
    ImageShapeWarning,
    MixUp,
    NetClassifier,
    NetRegressor,
    RandomApply,
    RandomFlip,
    RandomRotation,
    SlowFitWarning,
    TrainingInterruptedWarning,
    make_augmentation_pipeline,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
NOISE = np.arange(80) * 7919 % 5 > 1  # independent of X
IMAGES = RNG.integers(0, 256, (40, 6, 6, 1)).astype(np.uint8)
SHADES = (IMAGES[:, :3].mean((1, 2, 3)) > IMAGES[:, 3:].mean((1, 2, 3))).astype(int)
FAST = {"max_epochs": 4, "batch_size": 20, "net_params": {"module__width": 8}, "random_state": 0}


def classifier(**params):
    return NetClassifier(**{**FAST, **params})


def regressor(**params):
    return NetRegressor(**{**FAST, **params})


def with_module(module, **params):
    return NetClassifier(module, **{**FAST, "net_params": None, **params})


def weights_of(net):
    return {name: tensor.clone() for name, tensor in net.net_.module_.state_dict().items()}


def same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TableNet(nn.Module):
    """Has everything that must be copied with a module: parameters, buffers, dropout."""

    def __init__(self, n_features=4, n_outputs=2):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.body(x))


class ConvNet(nn.Module):
    def __init__(self, n_outputs=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, n_outputs)
        self.seen = []

    def forward(self, x):
        self.seen.append((x.dtype, tuple(x.shape), float(x.min()), float(x.max())))
        return self.head(self.conv(x).mean((2, 3)))


# -- what a module may be ----------------------------------------------------------------------------------------------


def test_defaults_are_good_on_tables():
    X, y = load_iris(return_X_y=True)
    assert cross_val_score(NetClassifier(random_state=0), X, y, cv=3).mean() > 0.93
    X, y = load_diabetes(return_X_y=True)
    assert cross_val_score(NetRegressor(random_state=0), X, y, cv=3).mean() > 0.4


def test_inputs_are_standardised():
    shifted = classifier().fit(X * [1, 1e3, 1e-3, 1] + [0, 1e4, 0, -5], Y)
    np.testing.assert_allclose(
        shifted.predict_proba(X * [1, 1e3, 1e-3, 1] + [0, 1e4, 0, -5]), classifier().fit(X, Y).predict_proba(X)
    )


def test_a_constant_column_is_no_trouble():
    assert np.isfinite(classifier().fit(np.c_[X, np.full(80, 3.0)], Y).predict_proba(np.c_[X, np.full(80, 4.0)])).all()


@pytest.mark.parametrize(
    "module",
    [TableNet, TableNet(), lambda n_features, n_outputs: nn.Linear(n_features, n_outputs), lambda: nn.Linear(4, 2)],
    ids=["class", "instance", "factory", "factory without arguments"],
)
def test_kinds_of_modules(module):
    assert with_module(module, max_epochs=60, lr=0.05).fit(X, Y).score(X, Y) > 0.85


@pytest.mark.parametrize("module", ["mpl", "conv"])
def test_an_unknown_module_is_an_error(module):
    with pytest.raises(ValueError, match=f"module must be 'mlp', a torch module class.*got '{module}'"):
        with_module(module).fit(X, Y)


def test_a_module_of_one_output_in_one_dimension():
    class Sum(nn.Linear):
        def __init__(self):
            super().__init__(4, 1)

        def forward(self, x):
            return super().forward(x)[:, 0]

    net = NetRegressor(Sum, max_epochs=60, lr=0.1, random_state=0).fit(X, X.sum(1))
    assert net.predict(X).shape == (80,) and net.score(X, X.sum(1)) > 0.99


def test_images_reach_a_plain_module_in_zero_to_one():
    net = with_module(ConvNet, max_epochs=1).fit(IMAGES, SHADES)
    dtype, shape, low, high = net.net_.module_.seen[0]
    assert dtype == torch.float32 and shape[1:] == (1, 6, 6) and low >= 0 and 0.9 < high <= 1
    net.net_.module_.seen.clear()
    net.predict(IMAGES[:3])
    assert net.net_.module_.seen[0][1][1:] == (1, 6, 6)


def test_a_value_range_of_ones_own():
    net = with_module(ConvNet, max_epochs=1, value_range=(-255, 255)).fit(IMAGES, SHADES)
    assert net.net_.module_.seen[0][2] >= 0.5


def test_image_layouts_give_the_same():
    nets = [
        with_module(ConvNet).fit(IMAGES, SHADES),
        with_module(ConvNet).fit(IMAGES[..., 0], SHADES),
        with_module(ConvNet, image_shape=(6, 6)).fit(IMAGES.reshape(40, 36), SHADES),
    ]
    proba = [nets[0].predict_proba(IMAGES), nets[1].predict_proba(IMAGES[..., 0])]
    proba.append(nets[2].predict_proba(IMAGES.reshape(40, 36)))
    np.testing.assert_array_equal(proba[0], proba[1])
    np.testing.assert_array_equal(proba[0], proba[2])


def rows_seen(module):
    """The number of images of several sizes per forward pass when predicting many."""
    net = with_module(module, max_epochs=1)
    for side in (6, 64, 224):
        images = np.zeros((4, side, side, 1), np.uint8)
        fitted = net.fit(images, [0, 1, 0, 1])
        fitted.predict(np.repeat(images, 50, axis=0))
        yield fitted.net_.module_.seen[-1][1][0]


class WideNet(ConvNet):
    """Five million numbers more."""

    def __init__(self, n_outputs=2):
        super().__init__(n_outputs)
        self.unused = nn.Parameter(torch.zeros(5_000_000))


def test_fewer_large_images_go_through_a_net_at_once():
    assert list(rows_seen(ConvNet)) == [64, 16, 8]
    assert list(rows_seen(WideNet)) == [128, 32, 8]


@pytest.mark.parametrize("side", [6, 64])
def test_a_prediction_is_the_same_to_the_last_bit_whoever_comes_with_it(side):
    images = np.random.default_rng(0).integers(0, 256, (30, side, side, 1)).astype(np.uint8)
    net = with_module(ConvNet, max_epochs=1).fit(images, np.arange(30) % 2)
    proba = net.predict_proba(images)
    for rows in (slice(0, 1), slice(5, 18), slice(29, None)):
        np.testing.assert_array_equal(net.predict_proba(images[rows]), proba[rows])


# -- what the user passed in stays as it is ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_nothing_of_the_users_changes(method):
    class Note(Callback):
        def __init__(self):
            self.notes = []

        def on_epoch_end(self, net, **kwargs):
            self.notes.append(1)

    module, note, weight, x, y = TableNet(), Note(), np.linspace(0, 1, 80), X.copy(), Y.copy()
    params, callbacks, class_weight = {"optimizer__betas": [0.8, 0.9]}, [("note", note)], {0: 1, 1: 2}
    before, mode = copy.deepcopy(module.state_dict()), module.training
    net = with_module(module, net_params=params, callbacks=callbacks, class_weight=class_weight)
    getattr(net, method)(x, y, sample_weight=weight)
    assert same_weights(dict(module.state_dict()), dict(before)) and module.training == mode
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert note.notes == [] and callbacks == [("note", note)]
    assert params == {"optimizer__betas": [0.8, 0.9]} and class_weight == {0: 1, 1: 2}
    assert x.tobytes() == X.tobytes() and y.tobytes() == Y.tobytes()
    np.testing.assert_array_equal(weight, np.linspace(0, 1, 80))
    assert net.module is module and net.net_.module_ is not module


def test_images_and_augmenter_stay_as_they_are():
    images, jitter = IMAGES.astype(np.float32), ColorJitter(brightness=0.9, random_state=0)
    before = vars(jitter).copy()
    with_module(ConvNet, augmenter=jitter).fit(images, SHADES)
    assert images.tobytes() == IMAGES.astype(np.float32).tobytes() and vars(jitter) == before


def test_an_earlier_fit_with_an_instance_does_not_leak_into_cross_validation():
    net = with_module(TableNet(n_features=40), max_epochs=60, lr=0.02)
    wide = RNG.normal(size=(80, 40))
    assert net.fit(wide, NOISE).score(wide, NOISE) > 0.95  # it can overfit the rows
    scores = cross_val_score(net, wide, NOISE, cv=ShuffleSplit(8, test_size=0.5, random_state=0))
    assert abs(scores.mean() - 0.5) < 0.1


def test_a_second_fit_forgets_the_first():
    net = classifier(early_stopping=True).fit(X[::-1] * 3, Y)
    again = net.fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(again, clone(net).fit(X, Y).predict_proba(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tables_keep_their_dtype_and_may_be_read_only(dtype):
    x = X.astype(dtype)
    expected = classifier().fit(x, Y).predict_proba(x)
    assert expected.dtype == dtype
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(classifier().fit(x, Y).predict_proba(x), expected)


def test_integer_tables_and_frames():
    x = (X * 100).astype(np.uint8)
    frame = pd.DataFrame(x, columns=list("abcd"))
    net = classifier().fit(frame, Y)
    np.testing.assert_array_equal(net.feature_names_in_, list("abcd"))
    np.testing.assert_array_equal(net.predict_proba(frame), classifier().fit(x, Y).predict_proba(x))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_of_every_dtype_give_the_same(dtype):
    expected = with_module(ConvNet).fit(IMAGES, SHADES).predict_proba(IMAGES)
    images = IMAGES.astype(dtype)
    images.flags.writeable = False
    proba = with_module(ConvNet).fit(images, SHADES).predict_proba(images)
    np.testing.assert_array_equal(proba, expected)


@pytest.mark.parametrize("net", [NetClassifier(), NetRegressor(), NetClassifier(callbacks=[], net_params={"a": 1})])
def test_an_unfitted_net_is_a_small_pickle(net):
    assert len(pickle.dumps(net)) < 10_000


def test_a_fitted_net_pickles_and_copies():
    net = with_module(TableNet, early_stopping=True).fit(X, Y)
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
        again.partial_fit(X, Y)
    assert net.n_iter_ == 4 and again.n_iter_ == 5


def test_a_fitted_net_does_not_hold_the_rows():
    few = len(pickle.dumps(classifier(early_stopping=True).fit(X, Y)))
    x, y = np.tile(X, (100, 1)), np.tile(Y, 100)
    assert len(pickle.dumps(classifier(early_stopping=True, batch_size=2000).fit(x, y))) < few + 5_000


# -- randomness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["mlp", TableNet])
def test_the_same_seed_gives_the_same_bits(module):
    settings = {"early_stopping": True, "net_params": None, "augmenter": MixUp()}
    first, second = (with_module(module, **settings).fit(X, Y) for _ in range(2))
    assert same_weights(weights_of(first), weights_of(second))
    other = with_module(module, **{**settings, "random_state": 1}).fit(X, Y)
    assert not same_weights(weights_of(first), weights_of(other))


def test_partial_fits_with_the_same_seed_give_the_same_bits():
    first, second = (with_module(TableNet).partial_fit(X, Y).partial_fit(X, Y) for _ in range(2))
    assert same_weights(weights_of(first), weights_of(second))


def test_the_global_generators_are_neither_read_nor_moved():
    def run():
        net = with_module(TableNet, early_stopping=True).fit(X, Y).partial_fit(X, Y)
        net.predict(X)
        return weights_of(net)

    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = run()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    assert same_weights(first, run())


def test_without_a_seed_two_fits_differ():
    first, second = (classifier(random_state=None).fit(X, Y) for _ in range(2))
    assert not same_weights(weights_of(first), weights_of(second))


# -- training ----------------------------------------------------------------------------------------------------------


def log_loss_of(net, x, y):
    return -np.log(net.predict_proba(x)[np.arange(len(y)), y]).mean()


def test_early_stopping_brings_the_best_weights_back():
    train, valid = (X[:40], NOISE[:40].astype(int)), (X[40:], NOISE[40:].astype(int))
    net = classifier(max_epochs=60, lr=0.03, early_stopping=True, n_iter_no_change=4, net_params=None)
    net.fit(*train, X_val=valid[0], y_val=valid[1])
    losses = net.net_.history[:, "valid_loss"]
    assert net.n_iter_ == len(losses) == np.argmin(losses) + 1 + 4 < 60
    assert log_loss_of(net, *valid) == pytest.approx(min(losses), rel=1e-6)


def test_early_stopping_takes_the_best_of_a_training_that_ran_out_of_epochs():
    train, valid = (X[:40], NOISE[:40].astype(int)), (X[40:], NOISE[40:].astype(int))
    net = classifier(max_epochs=12, lr=0.03, early_stopping=True, n_iter_no_change=50, net_params=None)
    net.fit(*train, X_val=valid[0], y_val=valid[1])
    losses = net.net_.history[:, "valid_loss"]
    assert len(losses) == 12 and np.argmin(losses) < 11
    assert log_loss_of(net, *valid) == pytest.approx(min(losses), rel=1e-6)


def test_early_stopping_brings_buffers_back_too():
    settings = {"max_epochs": 12, "lr": 0.05, "early_stopping": True, "n_iter_no_change": 50}
    net = with_module(TableNet, **settings).fit(X[:40], NOISE[:40], X_val=X[40:], y_val=NOISE[40:])
    losses = net.net_.history[:, "valid_loss"]
    assert np.argmin(losses) < 11
    assert log_loss_of(net, X[40:], NOISE[40:].astype(int)) == pytest.approx(min(losses), rel=1e-6)


def test_validation_rows_are_watched_but_stop_nothing_without_early_stopping():
    net = classifier(max_epochs=8, n_iter_no_change=1).fit(X[:40], NOISE[:40], X_val=X[40:], y_val=NOISE[40:])
    assert net.n_iter_ == len(net.net_.history[:, "valid_loss"]) == 8
    np.testing.assert_array_equal(
        net.predict_proba(X), classifier(max_epochs=8).fit(X[:40], NOISE[:40]).predict_proba(X)
    )


def test_validation_fraction_is_stratified_and_held_out():
    rare = np.repeat([0, 1], [72, 8])
    net = classifier(early_stopping=True, validation_fraction=0.25).fit(X, rare)
    train, held_out = train_test_split(np.arange(80), test_size=0.25, stratify=rare, random_state=0)
    assert rare[held_out].sum() == 2
    given = classifier(early_stopping=True).fit(X[train], rare[train], X_val=X[held_out], y_val=rare[held_out])
    np.testing.assert_array_equal(net.net_.history[:, "valid_loss"], given.net_.history[:, "valid_loss"])


def test_validation_fraction_as_a_splitter():
    splitter = ShuffleSplit(3, test_size=0.3, random_state=5)
    train, held_out = next(splitter.split(X))
    net = classifier(early_stopping=True, validation_fraction=splitter).fit(X, Y)
    given = classifier(early_stopping=True).fit(X[train], Y[train], X_val=X[held_out], y_val=Y[held_out])
    np.testing.assert_array_equal(net.predict_proba(X), given.predict_proba(X))


def test_validation_rows_go_in_pairs():
    with pytest.raises(ValueError, match="X_val and y_val must be passed together"):
        classifier().fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="X_val and y_val must be passed together"):
        classifier().fit(X, Y, y_val=Y)


def test_validation_rows_of_another_width_are_an_error():
    with pytest.raises(ValueError, match="X_val has 3 features"):
        classifier().fit(X, Y, X_val=X[:, :3], y_val=Y)


def test_validation_rows_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"^y_val has labels that are not among the classes .*'X'.*'y'"):
        classifier().fit(X, np.where(Y == 0, "X", "y"), X_val=X, y_val=np.where(Y == 0, "y", "new"))
    with pytest.raises(ValueError, match="^X_val and y_val: Found input variables with inconsistent numbers"):
        classifier().fit(X, Y, X_val=X, y_val=Y[:5])
    with pytest.raises(ValueError, match="X_val contains infinity"):
        classifier().fit(X, Y, X_val=np.full_like(X, np.inf), y_val=Y)


@pytest.mark.parametrize("make", [NetClassifier, NetRegressor])
def test_geometry_of_rows_without_a_shape_is_warned_of(make):
    rows = np.random.default_rng(0).normal(size=(20, 64))
    net = make(augmenter=RandomRotation(10), max_epochs=1)
    with pytest.warns(ImageShapeWarning, match=r"64 columns.*has no effect.*image_shape=\(8, 8\)") as caught:
        net.fit(rows, np.arange(20) % 2)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.predict(rows)
        net.set_params(image_shape=(8, 8)).fit(rows, np.arange(20) % 2)
        net.set_params(image_shape=None, augmenter=GaussianNoise(std=0.1)).fit(rows, np.arange(20) % 2)


def test_validation_rows_are_never_augmented():
    class Shift(RandomFlip):
        """Adds a hundred to every value."""

        def apply(self, images, params, value_range):
            return images + 100

    net = regressor(augmenter=Shift(), max_epochs=1, lr=1e-6).fit(X, Y, X_val=X, y_val=Y)
    plain = regressor(max_epochs=1, lr=1e-6).fit(X, Y, X_val=X, y_val=Y)
    assert net.net_.history[-1, "valid_loss"] == pytest.approx(plain.net_.history[-1, "valid_loss"], rel=1e-3)


class NoteNorms(Callback):
    """The norm of the gradient in each step."""

    def __init__(self):
        self.norms = []

    def on_batch_end(self, net, training=None, **kwargs):
        self.norms.append(torch.cat([p.grad.flatten() for p in net.module_.parameters()]).norm().item())


def test_clip_norm():
    def norms(clip_norm):
        net = classifier(clip_norm=clip_norm, callbacks=[NoteNorms()]).fit(X, Y)
        return np.array(next(callback for _, callback in net.net_.callbacks_ if type(callback) is NoteNorms).norms)

    assert norms(None).max() > 0.05
    assert norms(0.01).max() <= 0.01 * (1 + 1e-6) and norms(0.01).min() > 0


def test_warm_start_goes_on():
    net = classifier(warm_start=True, max_epochs=3).fit(X, Y)
    first = net.net_
    loss = first.history[-1, "train_loss"]
    net.fit(X, Y)
    assert net.net_ is first and net.n_iter_ == 6 and len(first.history) == 6
    assert first.history[3, "train_loss"] < loss
    cold = classifier(max_epochs=3).fit(X, Y)
    assert cold.fit(X, Y).n_iter_ == 3


@pytest.mark.parametrize(
    ("params", "fused"),
    [
        ({}, True),
        ({"optimizer": "adam"}, True),
        ({"optimizer": "sgd"}, None),  # whose fused form fails where some weights thaw later than others
        ({"optimizer": "rmsprop"}, None),
        ({"net_params": {"optimizer__foreach": True}}, None),
        ({"net_params": {"optimizer__fused": False}}, False),
    ],
)
def test_adam_updates_all_weights_at_once_unless_told_otherwise(params, fused):
    group = classifier(**{"net_params": None, "max_epochs": 1, **params}).fit(X, Y).net_.optimizer_.param_groups[0]
    assert group.get("fused") is fused


@pytest.mark.parametrize("again", ["fit", "partial_fit"])
def test_going_on_follows_the_settings(again):
    groups = [("head.*", {"lr": 1.0, "weight_decay": 0.5})]
    net = classifier(
        warm_start=True, max_epochs=1, lr=0.1, weight_decay=0.2, net_params={"optimizer__param_groups": groups}
    )
    net.fit(X, Y).set_params(lr=0.01, weight_decay=0.3, batch_size=7, schedule="constant")
    getattr(net, again)(X, Y)
    rates = {(group["lr"], group["weight_decay"]) for group in net.net_.optimizer_.param_groups}
    assert {(round(rate, 12), decay) for rate, decay in rates} == {(0.01, 0.3), (0.01, 0.0), (0.1, 0.5)}
    assert len(net.net_.history[-1]["batches"]) == -(-len(X) // 7)


def test_a_rate_of_nothing_to_speak_of_leaves_a_warm_start_as_it_was():
    net = classifier(warm_start=True, max_epochs=3, optimizer="sgd", weight_decay=0).fit(X, Y)
    before = weights_of(net)
    net.set_params(lr=1e-30).fit(X, Y)
    assert same_weights(before, weights_of(net))


def test_warm_start_with_early_stopping_may_do_no_worse_than_before():
    net = classifier(warm_start=True, early_stopping=True, n_iter_no_change=2, max_epochs=5).fit(X, Y).fit(X, Y)
    assert 5 < net.n_iter_ <= 10
    assert len(net.net_.history) == net.n_iter_


def test_warm_start_with_other_classes_is_an_error():
    net = classifier(warm_start=True, max_epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match="not among the classes"):
        net.fit(X, Y + 1)


def test_partial_fit_trains_one_epoch_a_call():
    net = classifier().partial_fit(X[:40], Y[:40])
    before = weights_of(net)
    net.partial_fit(X[40:], Y[40:])
    assert net.n_iter_ == 2 and not same_weights(before, weights_of(net))
    losses = [net.partial_fit(X, Y).net_.history[-1, "train_loss"] for _ in range(10)]
    assert losses[-1] < losses[0]


def test_partial_fit_with_classes():
    net = classifier().partial_fit(X[Y == 1], np.full(Y.sum(), "b"), classes=["a", "b", "c"])
    assert net.predict_proba(X).shape == (80, 3)
    net.partial_fit(X, np.array(["a", "c"])[Y])
    with pytest.raises(ValueError, match=r"not among the classes \['a', 'b', 'c'\]: \['d'\]"):
        net.partial_fit(X, np.full(80, "d"))
    np.testing.assert_array_equal(net.classes_, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("class_weight", "sample_weight"),
    [("balanced", None), (None, np.linspace(1, 2, 40)), ({"a": 3}, None), ({"b": 2, "c": 1}, np.linspace(1, 2, 40))],
)
def test_partial_fit_begins_with_one_class_of_any_weight(class_weight, sample_weight):
    net = classifier(class_weight=class_weight)
    for label in "bac":
        net.partial_fit(X[:40], np.full(40, label), classes=["a", "b", "c"], sample_weight=sample_weight)
    assert net.predict_proba(X).shape == (80, 3) and net.n_iter_ == 3


def test_partial_fit_with_other_classes_than_before_is_an_error():
    net = classifier().partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y, classes=[2, 1, 0])
    for classes in ([0, 1], [0, 1, 2, 3], ["0", "1", "2"]):
        with pytest.raises(ValueError, match=r"classes=.* is not the same as on last call to partial_fit, was: \[0, 1"):
            net.partial_fit(X, Y, classes=classes)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        classifier().fit(X, Y).partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must contain labels of one type"):
        classifier().partial_fit(X, Y, classes=np.array([0, "a", None], dtype=object))
    with pytest.raises(ValueError, match=r"classes must be None or \[0, 1\] if y has columns, got \[0, 1, 2\]"):
        classifier().partial_fit(X, np.eye(2)[Y], classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({0: -1, 1: 1}, "class_weight must contain finite, non-negative weights"),
        ({0: np.nan}, "class_weight must contain finite, non-negative weights"),
        ({0: 0, 1: 0}, "class_weight must leave at least one row with positive weight"),
        ({0: 0}, "sample_weight and class_weight must leave at least two classes, .* only for the class 1"),
        ({"zebra": 2}, "not in class_weight"),
    ],
)
def test_class_weights_that_cannot_be(class_weight, message):
    with pytest.raises(ValueError, match=message):
        classifier(class_weight=class_weight).fit(X, Y)


def test_early_stopping_with_a_class_of_one_row_names_it_by_its_label():
    y = np.where(Y == 1, "common", "usual").astype(object)
    y[7] = "rare"
    with pytest.raises(ValueError, match="2 rows of each class, .* got 1 row of class 'rare': drop its row, pass"):
        classifier(early_stopping=True).fit(X, y)
    net = classifier(early_stopping=True, max_epochs=2).fit(X, y, X_val=X, y_val=y)
    assert list(net.classes_) == ["common", "rare", "usual"]


def test_partial_fit_with_labels_that_classes_lacks():
    with pytest.raises(ValueError, match="not among the classes"):
        classifier().partial_fit(X, Y, classes=[1, 2])


def test_partial_fit_of_one_class_without_classes():
    with pytest.raises(ValueError, match="at least two classes"):
        classifier().partial_fit(X, np.zeros(80))


def test_partial_fit_of_one_row():
    net = classifier().partial_fit(X, Y)
    before = weights_of(net)
    assert not same_weights(before, weights_of(net.partial_fit(X[:1], Y[:1])))


def test_partial_fit_of_other_columns_is_an_error():
    with pytest.raises(ValueError, match="3 features"):
        classifier().partial_fit(X, Y).partial_fit(X[:, :3], Y)


def test_partial_fit_after_fit_and_fit_after_partial_fit():
    net = classifier().fit(X, Y).partial_fit(X, Y)
    assert net.n_iter_ == 5
    np.testing.assert_array_equal(net.fit(X, Y).predict_proba(X), classifier().fit(X, Y).predict_proba(X))


@pytest.mark.parametrize("make", [classifier, regressor])
def test_rows_of_weight_zero_are_left_out(make):
    weight = np.arange(80) % 3
    weighted = make().fit(np.where(weight[:, None] > 0, X, 1e6), Y, sample_weight=weight)
    without = make().fit(X[weight > 0], Y[weight > 0], sample_weight=weight[weight > 0])
    assert same_weights(weights_of(weighted), weights_of(without))


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_weight_of_two_is_a_row_given_twice(make):
    once = np.random.default_rng(1).integers(1, 3, 80)
    settings = {"batch_size": 500, "max_epochs": 20, "optimizer": "sgd", "lr": 0.05}
    weighted = make(**settings).fit(X, Y, sample_weight=once)
    repeated = make(**settings).fit(X.repeat(once, axis=0), Y.repeat(once))
    np.testing.assert_allclose(weighted.net_.history[:, "train_loss"], repeated.net_.history[:, "train_loss"])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X))


def test_weights_pull():
    weight = np.where(NOISE, 20.0, 1.0)
    plain, pulled = (classifier(max_epochs=20).fit(X, NOISE, sample_weight=w).predict_proba(X) for w in (None, weight))
    assert pulled[:, 1].mean() > plain[:, 1].mean() + 0.1


@pytest.mark.parametrize(
    ("weight", "message"),
    [(-np.ones(80), "sample_weight must not be negative"), (np.zeros(80), "sample_weight.*zeros only")],
)
def test_weights_that_are_none(weight, message):
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(classifier(), method)(X, Y, sample_weight=weight)


# -- losses and optimizers ---------------------------------------------------------------------------------------------


def own_loss(y_pred, y_true):
    return ((y_pred - y_true) ** 2).mean(1)


@pytest.mark.parametrize("loss", [nn.MSELoss, nn.MSELoss(), own_loss, nn.HuberLoss(delta=10.0), nn.functional.mse_loss])
def test_losses_of_ones_own(loss):
    net = regressor(loss=loss, max_epochs=60, lr=0.02).fit(X, X[:, 0] * 2 + 1)
    assert net.score(X, X[:, 0] * 2 + 1) > 0.8
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).predict(X), net.predict(X))


@pytest.mark.parametrize("loss", [nn.MSELoss(), own_loss, nn.functional.mse_loss])
def test_losses_of_ones_own_take_weights(loss):
    weight = np.arange(80) % 3
    expected = regressor(loss=nn.MSELoss).fit(X, Y, sample_weight=weight)
    assert same_weights(weights_of(regressor(loss=loss).fit(X, Y, sample_weight=weight)), weights_of(expected))
    assert not same_weights(weights_of(regressor(loss=loss).fit(X, Y)), weights_of(expected))


def test_a_loss_of_the_whole_batch_takes_no_weights():
    def whole(y_pred, y_true):
        return ((y_pred - y_true) ** 2).mean()

    assert regressor(loss=whole, max_epochs=60, lr=0.02).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.8
    with pytest.raises(ValueError, match="loss must return one value per row"):
        regressor(loss=whole).fit(X, Y, sample_weight=np.ones(80))


def test_an_instance_of_a_loss_stays_as_it_is():
    loss = nn.MSELoss()
    regressor(loss=loss).fit(X, Y)
    assert loss.reduction == "mean"


def test_huber_minds_outliers_less():
    y = X[:, 0].copy()
    y[:6] += 100
    errors = [
        np.abs(NetRegressor(nn.Linear(4, 1), loss=loss, lr=0.1, random_state=0).fit(X, y).predict(X[6:]) - X[6:, 0])
        for loss in ("huber", "squared_error")
    ]
    assert np.median(errors[0]) < 0.5 * np.median(errors[1])


def test_parameters_of_the_loss():
    plain, other = (regressor(loss="huber").fit(X, Y), regressor(loss="huber"))
    other.set_params(criterion__delta=0.1).fit(X, Y, sample_weight=np.ones(80))
    assert other.net_.history[0, "train_loss"] < 0.5 * plain.net_.history[0, "train_loss"]
    kept = classifier(label_smoothing=0.5).set_params(criterion__ignore_index=-7, max_epochs=60, lr=0.02).fit(X, Y)
    assert kept.net_.criterion_.label_smoothing == 0.5 and kept.predict_proba(X).max() < 0.85


def test_parameters_of_the_loss_do_not_fit_an_instance():
    with pytest.raises(ValueError, match="criterion__delta.*instance"):
        regressor(loss=nn.HuberLoss(), net_params={"criterion__delta": 2.0}).fit(X, Y)


def test_an_unknown_loss_is_an_error():
    with pytest.raises(ValueError, match="loss must be 'auto', one of.*'huber'.*got 'hubre'"):
        regressor(loss="hubre").fit(X, Y)


def test_binary_cross_entropy_by_name():
    events = (X[:, :2] > 0).astype(int)
    net, auto = (classifier(loss=loss).fit(X, events) for loss in ("bce", "auto"))
    np.testing.assert_array_equal(net.predict_proba(X), auto.predict_proba(X))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "rmsprop", torch.optim.NAdam, torch.optim.Adagrad])
def test_optimizers(optimizer):
    net = classifier(optimizer=optimizer, max_epochs=60, lr=0.02, weight_decay=0.003, net_params=None).fit(X, Y)
    assert net.score(X, Y) > 0.9 and net.net_.optimizer_.param_groups[0]["weight_decay"] == 0.003


def test_an_optimizer_without_weight_decay():
    class Plain(torch.optim.Optimizer):
        def __init__(self, params, lr=1):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            loss = None if closure is None else torch.enable_grad()(closure)()
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad, alpha=group["lr"])
            return loss

    assert classifier(optimizer=Plain, max_epochs=60, lr=0.2).fit(X, Y).score(X, Y) > 0.9


def test_sgd_has_momentum_that_can_be_changed():
    assert classifier(optimizer="sgd").fit(X, Y).net_.optimizer_.param_groups[0]["momentum"] == 0.9
    net = classifier(optimizer="sgd").set_params(optimizer__momentum=0.5).fit(X, Y)
    assert net.net_.optimizer_.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize(
    "wrong",
    [{"lr": 0}, {"lr": -1}, {"max_epochs": 0}, {"batch_size": 0}, {"optimizer": "adamx"}, {"clip_norm": 0}]
    + [{"validation_fraction": 1.0}, {"label_smoothing": 1.0}, {"weight_decay": -1}, {"net_params": [1]}],
)
def test_settings_out_of_range(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        classifier(**wrong).fit(X, Y)


# -- augmenters --------------------------------------------------------------------------------------------------------


def test_an_augmenter_draws_anew_in_every_epoch():
    net = with_module(ConvNet, augmenter=ColorJitter(brightness=0.5), max_epochs=3, batch_size=40)
    net.fit(IMAGES // 2, SHADES)
    lows_and_highs = {seen[2:] for seen in net.net_.module_.seen}
    assert len(lows_and_highs) == 3


def test_images_are_augmented_ahead_by_another_thread(monkeypatch):
    monkeypatch.setattr(sktricks.training.run, "computes_elsewhere", lambda device: True)

    class Spy(ColorJitter):
        threads = set()

        def _augment_images(self, *args, **kwargs):
            self.threads.add(threading.current_thread())
            return super()._augment_images(*args, **kwargs)

    make = partial(with_module, ConvNet, augmenter=Spy(0.5), max_epochs=3, batch_size=8)
    ahead = make().fit(IMAGES, SHADES).predict_proba(IMAGES)
    assert threading.main_thread() not in Spy.threads
    monkeypatch.setattr(sktricks.training.run, "computes_elsewhere", lambda device: False)
    np.testing.assert_array_equal(make().fit(IMAGES, SHADES).predict_proba(IMAGES), ahead)
    assert threading.main_thread() in Spy.threads


def test_an_error_in_the_other_thread_is_raised_in_fit(monkeypatch):
    monkeypatch.setattr(sktricks.training.run, "computes_elsewhere", lambda device: True)

    class Broken(ColorJitter):
        def _augment_images(self, *args, **kwargs):
            raise RuntimeError("no light")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="no light"):
        with_module(ConvNet, augmenter=Broken()).fit(IMAGES, SHADES)
    assert threading.active_count() == before


def test_mixed_labels_are_learned():
    net = classifier(augmenter=MixUp(alpha=1.0), max_epochs=60, lr=0.02, net_params=None).fit(X, Y)
    plain = classifier(max_epochs=60, lr=0.02, net_params=None).fit(X, Y)
    assert net.score(X, Y) > 0.85
    assert net.predict_proba(X).max(1).mean() < plain.predict_proba(X).max(1).mean() - 0.03


def test_mixed_values_and_mixed_soft_targets_are_learned():
    net = regressor(augmenter=MixUp(alpha=1.0, target="values"), max_epochs=60, lr=0.02).fit(X, X[:, 0])
    assert net.score(X, X[:, 0]) > 0.8
    soft = np.stack([1 / (1 + np.exp(-X[:, 0])), 1 - 1 / (1 + np.exp(-X[:, 0]))], 1)
    assert classifier(augmenter=MixUp()).fit(X, soft).predict_proba(X).shape == (80, 2)


SAME = np.ones((400, 4)) * [0.5, -1, 2, 0.1]  # rows that only their labels tell apart
ALIKE = np.repeat(IMAGES[:1], 400, axis=0)
RARE = np.arange(400) % 10 == 0
BALANCED = np.where(RARE, 9.0, 1.0)
MIXING = [
    MixUp(alpha=1.0),
    CutMix(),
    RandomApply(MixUp(alpha=1.0), p=0.5),
    make_augmentation_pipeline(GaussianNoise(0.01), MixUp(alpha=1.0), CutMix()),
]


@pytest.mark.parametrize("augmenter", MIXING)
def test_balanced_classes_are_equally_likely_where_rows_are_mixed(augmenter):
    settings = {"augmenter": augmenter, "max_epochs": 30, "batch_size": 100, "lr": 0.02}
    table = classifier(**settings).fit(SAME, RARE, sample_weight=BALANCED)
    images = classifier(class_weight="balanced", **settings).fit(ALIKE, RARE)
    assert table.predict_proba(SAME[:1])[0, 1] == pytest.approx(0.5, abs=0.03)
    assert images.predict_proba(ALIKE[:1])[0, 1] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("augmenter", [MixUp(alpha=1.0), CutMix()])
def test_mixed_labels_and_values_have_the_weighted_mean(augmenter):
    settings = {"max_epochs": 30, "batch_size": 100, "lr": 0.02}
    several = np.stack([RARE, ~RARE, RARE], axis=1)
    soft = np.where(RARE[:, None], [0.1, 0.9], [1.0, 0.0])
    for y, expected in ((several.astype(int), [0.5, 0.5, 0.5]), (soft, [0.55, 0.45])):
        net = classifier(augmenter=augmenter, **settings).fit(SAME, y, sample_weight=BALANCED)
        assert_allclose(net.predict_proba(SAME[:1])[0], expected, atol=0.03)
    augmenter = clone(augmenter).set_params(target="values")
    net = regressor(augmenter=augmenter, **settings).fit(SAME, 10.0 * RARE, sample_weight=BALANCED)
    assert net.predict(SAME[:1])[0] == pytest.approx(5, abs=0.3)


# -- what a fit tells --------------------------------------------------------------------------------------------------


def test_silent_by_default(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(early_stopping=True).fit(X, Y).partial_fit(X, Y)
    assert capfd.readouterr() == ("", "")


def test_a_progress_bar(capfd, monkeypatch):
    monkeypatch.setattr("sktricks._progress.DELAY", 0)
    classifier(verbose=1, max_epochs=3).fit(X, Y, X_val=X, y_val=Y)
    out, err = capfd.readouterr()
    assert out == "" and "3/3" in err and "train_loss" in err and "valid_loss" in err


def test_a_bar_of_rows_of_a_long_prediction(bars):
    net = classifier(verbose=1, max_epochs=3, augmenter=GaussianNoise(0.1), predict_views=1).fit(X, Y)
    net.predict(X[:5])
    net.predict(np.tile(X, (20, 1)))
    assert bars == [("fit", 3, 3), ("predict", 3200, 3200)]


class Pickled(Callback):
    """Store the net in the middle of a training, as skorch's Checkpoint does."""

    def on_epoch_end(self, net, **kwargs):
        pickle.dumps(net)


def test_a_net_that_shows_its_bar_can_be_pickled(monkeypatch, capfd):
    monkeypatch.setattr("sktricks._progress.DELAY", 0)
    classifier(verbose=1, callbacks=[Pickled()]).fit(X, Y)
    assert "4/4" in capfd.readouterr().err


def test_a_line_for_each_epoch(caplog, capfd):
    classifier(verbose=2, max_epochs=3).fit(X, Y)
    assert [line.split(" epochs")[0] for line in caplog.messages] == [f"fit: {number} of 3" for number in (1, 2, 3)]
    assert all("train_loss=" in line for line in caplog.messages) and capfd.readouterr().err == ""


def test_a_slow_fit_warns_once(monkeypatch):
    monkeypatch.setattr(sktricks.training._epochs, "SLOW", 0)
    with pytest.warns(SlowFitWarning, match="4 epochs may take about.*verbose=1") as caught:
        classifier().fit(X, Y)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(verbose=1).fit(X, Y)


class Interrupt(Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch, hook):
        self.epoch, self.hook = epoch, hook

    def stop(self, net, hook):
        if hook == self.hook and len(net.history) == self.epoch:
            raise KeyboardInterrupt

    def on_epoch_begin(self, net, **kwargs):
        self.stop(net, "on_epoch_begin")

    def on_batch_end(self, net, training=True, **kwargs):
        if training:
            self.stop(net, "on_batch_end")


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_batch_end"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_interrupted_fit_leaves_a_usable_net(hook, early_stopping):
    net = classifier(max_epochs=6, callbacks=[Interrupt(3, hook)], early_stopping=early_stopping)
    with pytest.warns(TrainingInterruptedWarning, match="interrupted after 2 of 6 epochs; the net keeps") as caught:
        net.fit(X, Y)
    assert caught[0].filename == __file__
    assert net.n_iter_ == 2 and net.predict(X).shape == (80,)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    net.net_.callbacks_ = [pair for pair in net.net_.callbacks_ if not isinstance(pair[1], Interrupt)]
    assert net.set_params(warm_start=True, early_stopping=False).fit(X, Y).n_iter_ == 8


def test_an_interrupted_fit_closes_its_bar(bars):
    with pytest.warns(TrainingInterruptedWarning):
        classifier(verbose=1, callbacks=[Interrupt(2, "on_batch_end")]).fit(X, Y)
    ((what, done, total),) = bars
    assert (what, total) == ("fit", 4) and 1 <= done < 2


def test_an_interruption_in_the_first_epoch():
    net = classifier(callbacks=[Interrupt(1, "on_batch_end")])
    with pytest.warns(TrainingInterruptedWarning, match="after 0 of 4"):
        net.fit(X, Y)
    assert net.n_iter_ == 0 and net.predict(X).shape == (80,)


# -- devices -----------------------------------------------------------------------------------------------------------


def test_a_device_that_refuses_float64_trains_in_float32(monkeypatch):
    for part in (sktricks.training._inputs, sktricks.training._make_net):
        monkeypatch.setattr(part, "supports_float64", lambda device: False)
    net = classifier().fit(X, Y, sample_weight=np.linspace(0, 1, 80), X_val=X, y_val=Y)
    assert {tensor.dtype for tensor in weights_of(net).values()} == {torch.float32}
    assert net.predict_proba(X).dtype == np.float32
    values = regressor().fit(X, X[:, 0])
    assert {tensor.dtype for tensor in weights_of(values).values()} == {torch.float32}
    assert values.predict(X).shape == (80,)


def test_a_real_device_without_float64_is_noticed(monkeypatch):
    zeros = torch.zeros

    def refuse(*args, dtype=None, **kwargs):
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return zeros(*args, dtype=dtype, **kwargs)

    assert sktricks.training._inputs.supports_float64(torch.device("cpu"))
    monkeypatch.setattr(torch, "zeros", refuse)
    assert not sktricks.training._inputs.supports_float64(torch.device("cpu"))
    assert sktricks.training._inputs.table_dtype(np.float64, torch.device("cpu")) == torch.float32


@pytest.mark.parametrize("device", ["gpu", "abacus", "", None, 1.5, ["cpu"]])
def test_a_device_that_torch_does_not_know_is_an_error(device):
    message = "device must be 'auto', 'cpu', 'cuda', 'cuda:0', 'mps' or a torch.device, got " + re.escape(repr(device))
    with pytest.raises(ValueError, match=message):
        classifier(device=device).fit(X, Y)


@pytest.mark.parametrize("device", ["cuda:99", torch.device("cuda:99"), "meta"])
def test_a_device_that_is_not_there_is_an_error(device):
    with pytest.raises(ValueError, match=r"device must exist on this machine, got .*: use 'auto'"):
        classifier(device=device).fit(X, Y)


# -- as scikit-learn's own ---------------------------------------------------------------------------------------------


def test_in_a_pipeline_with_weights():
    pipeline = make_pipeline(StandardScaler(), classifier(max_epochs=30, lr=0.02))
    assert pipeline.fit(X, Y, netclassifier__sample_weight=np.ones(80)).score(X, Y) > 0.9


def test_predictions_of_a_row_do_not_depend_on_the_other_rows():
    net = with_module(ConvNet).fit(IMAGES, SHADES)
    whole = net.predict_proba(IMAGES)
    np.testing.assert_array_equal(np.concatenate([net.predict_proba(IMAGES[i : i + 1]) for i in range(40)]), whole)
    np.testing.assert_array_equal(net.predict_proba(IMAGES[::-1])[::-1], whole)


def test_predicting_leaves_the_net_as_it_is():
    net = with_module(TableNet).fit(X, Y)
    before = weights_of(net)
    first = net.predict_proba(X)
    np.testing.assert_array_equal(net.predict_proba(X), first)
    assert same_weights(before, weights_of(net))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MultiMarginLoss, nn.functional.multi_margin_loss])
def test_label_smoothing_needs_a_loss_that_takes_it(loss):
    assert classifier(loss=loss).fit(X, Y).n_iter_ == 4
    with pytest.raises(ValueError, match="label_smoothing=0.1 requires a loss that takes label_smoothing"):
        classifier(loss=loss, label_smoothing=0.1).fit(X, Y)


def test_a_loss_with_class_weights_averages_over_the_rows():
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0], dtype=torch.float64))
    plain = classifier(loss=loss).fit(X, Y)
    weighted = classifier(loss=loss).fit(X, Y, sample_weight=np.full(80, 2.0))
    assert same_weights(weights_of(plain), weights_of(weighted))


def test_the_memory_of_a_gpu_is_given_back(monkeypatch):
    given_back = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(True))
    classifier().fit(X, Y)
    assert not given_back
    sktricks.training.run.release_memory(torch.device("cuda"))
    assert given_back


def test_processes_side_by_side_share_the_cores():
    threads = Parallel(n_jobs=2)(delayed(torch.get_num_threads)() for _ in range(2))
    assert sum(threads) <= max(2, os.cpu_count())
