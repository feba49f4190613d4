"""Fits in threads of one process give the same results as sequential fits, and do not change global state."""

import contextlib
import multiprocessing
import os
import pickle
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from torch import nn

from sktricks import (
    AugmentedClassifier,
    CascadeClassifier,
    FineTuneClassifier,
    FineTuneRegressor,
    FreezeLayers,
    GaussianNoise,
    MixUp,
    NetClassifier,
    NetEnsembleClassifier,
    NetRegressor,
    PretrainedFeatures,
    RandomFlip,
    StackingClassifier,
    VotingClassifier,
    clear_cache,
    find_lr,
    load_backbone,
)
from sktricks._threads import WARNING_FILTERS
from sktricks.training._randomness import GENERATORS, draws_nothing

X, y = make_classification(60, 6, n_informative=4, random_state=0)
VALUES = X[:, 0] - X[:, 1]
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1)).astype(np.uint8)
LABELS = np.arange(16) % 2
DROPOUT = {"module__width": 16, "module__dropout": 0.3}


class Noisy(nn.Module):
    """A module that draws random numbers in training, without a dropout layer."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, x):
        return self.layer(x + torch.randn_like(x) if self.training else x)


class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 2))


class DroppingBackbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.out = nn.Conv2d(1, 8, 3), nn.Dropout(0.3), nn.Conv2d(8, 8, 3)

    def forward(self, x):
        return self.out(self.drop(torch.relu(self.conv(x))))


def net(**params):
    return NetClassifier(**{"max_epochs": 3, "batch_size": 20, "random_state": 0, **params})


def tuned(**params):
    return FineTuneClassifier(**{"max_epochs": 1, "batch_size": 8, "random_state": 0, **params})


MEMBERS = [("a", net()), ("b", net(net_params=DROPOUT)), ("c", net(random_state=1))]
ESTIMATORS = {
    "mlp": (net(), X, y),
    "dropout": (net(net_params=DROPOUT), X, y),
    "noisy": (net(module=Noisy), X, y),
    "early stopping": (net(early_stopping=True, class_weight="balanced"), X, y),
    "range test": (net(lr="auto", net_params=DROPOUT), X, y),
    "averaged": (net(average="swa", clip_norm=1.0, schedule="one-cycle"), X, y),
    "augmented": (net(augmenter=GaussianNoise(0.1), predict_views=2), X, y),
    "mixed images": (
        net(augmenter=MixUp(), module=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 2))),
        IMAGES,
        LABELS,
    ),
    "frozen": (net(callbacks=[FreezeLayers("head")], net_params=DROPOUT), X, y),
    "regressor": (NetRegressor(max_epochs=3, random_state=0, net_params=DROPOUT), X, VALUES),
    "probe": (tuned(strategy="linear-probe"), IMAGES, LABELS),
    "fine-tune": (tuned(strategy="fine-tune", augmenter=RandomFlip()), IMAGES, LABELS),
    "partly frozen": (tuned(strategy="fine-tune", freeze_until="stage3"), IMAGES, LABELS),
    "lp-ft": (tuned(strategy="lp-ft"), IMAGES, LABELS),
    "gradual": (tuned(strategy="gradual", max_epochs=2), IMAGES, LABELS),
    "dropping backbone": (tuned(backbone=DroppingBackbone, strategy="fine-tune"), IMAGES, LABELS),
    "untrained": (tuned(backbone="untrained:tiny32", strategy="fine-tune"), IMAGES, LABELS),
    "fine-tuned regressor": (FineTuneRegressor(max_epochs=1, random_state=0), IMAGES, LABELS * 1.0),
    "batched": (NetEnsembleClassifier(net(), n_members=2, random_state=0), X, y),
    "loop": (NetEnsembleClassifier(net(net_params=DROPOUT), n_members=2, mode="loop", random_state=0), X, y),
    "snapshots": (NetEnsembleClassifier(net(max_epochs=4), n_members=2, mode="snapshot", random_state=0), X, y),
    "vote": (VotingClassifier(MEMBERS, voting="soft", weights="greedy", cv=2), X, y),
    "stack": (StackingClassifier(MEMBERS, net(), cv=2), X, y),  # scikit-learn's estimators change the warning filters
    "cascade": (CascadeClassifier(MEMBERS, cv=2, tolerance=0.5), X, y),
    "copies": (AugmentedClassifier(net(net_params=DROPOUT), GaussianNoise(0.1), random_state=0), X, y),
    "features": (make_pipeline(PretrainedFeatures(), net()), IMAGES, LABELS),
}
FEW, MANY = 3, 24  # threads


def in_threads(function, n):
    """Return the results of a function in several threads that start at the same time."""
    start = threading.Barrier(n)

    def run(number):
        start.wait()
        return function(number)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # makes threads switch more often
    try:
        with ThreadPoolExecutor(n) as pool:
            return list(pool.map(run, range(n)))
    finally:
        sys.setswitchinterval(before)


def outputs_of(estimator, X):
    return getattr(estimator, "predict_proba", estimator.predict)(X)


@pytest.fixture(scope="module", autouse=True)
def imported():
    """Import modules that are imported lazily: sympy, which torch uses, adds a warning filter."""
    net().fit(X, y)


@pytest.fixture(autouse=True)
def global_state_stays():
    """Check that each test leaves the generators of torch and numpy and the warning filters unchanged."""
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    drawn, numbers, filters = torch.get_rng_state(), np.random.get_state()[1].copy(), list(warnings.filters)  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), drawn)
    np.testing.assert_array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    assert warnings.filters == filters


@pytest.mark.parametrize("name", ESTIMATORS)
def test_fits_in_threads_equal_sequential_fits(name):
    check_in_threads(*ESTIMATORS[name], FEW)


@pytest.mark.long
@pytest.mark.parametrize("name", ESTIMATORS)
def test_fits_in_many_threads_equal_sequential_fits(name):
    check_in_threads(*ESTIMATORS[name], MANY)


def check_in_threads(estimator, X, y, n):
    """Fit and predict clones in threads."""
    alone = outputs_of(clone(estimator).fit(X, y), X)
    clear_cache()
    for proba in in_threads(lambda number: outputs_of(clone(estimator).fit(X, y), X), n):
        np.testing.assert_array_equal(proba, alone)


def test_different_fits_in_threads_equal_sequential_fits():
    check_mixture(list(ESTIMATORS)[::3])


@pytest.mark.long
def test_all_fits_in_threads_equal_sequential_fits():
    check_mixture(list(ESTIMATORS))


def check_mixture(names):
    """Fit one estimator of each kind at the same time."""
    alone = [outputs_of(clone(e).fit(X, y), X) for e, X, y in map(ESTIMATORS.get, names)]

    def fit(number):
        estimator, X, y = ESTIMATORS[names[number]]
        return outputs_of(clone(estimator).fit(X, y), X)

    for name, proba, expected in zip(names, in_threads(fit, len(names)), alone, strict=True):
        np.testing.assert_array_equal(proba, expected, err_msg=name)


@pytest.mark.parametrize("name", ["vote", "stack", "loop"])
def test_members_fitted_in_threads(name):
    estimator, X, y = ESTIMATORS[name]
    alone = outputs_of(clone(estimator).fit(X, y), X)
    with parallel_config("threading", n_jobs=3):
        np.testing.assert_array_equal(outputs_of(clone(estimator).fit(X, y), X), alone)


@pytest.mark.parametrize("name", ["dropout", "probe", "fine-tune", "stack", "batched", "features"])
def test_predictions_of_one_estimator_in_threads(name):
    estimator, X, y = ESTIMATORS[name]
    fitted = clone(estimator).fit(X, y)
    alone = outputs_of(fitted, X)
    for proba in in_threads(lambda number: outputs_of(fitted, X), FEW):
        np.testing.assert_array_equal(proba, alone)


class Meeting(nn.Module):
    """A backbone whose forward passes wait for those of other threads, if two are allowed at once."""

    barrier = None

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.late = nn.Conv2d(6, 6, 3)

    def forward(self, x):
        self.meet()
        x = self.stem(x)
        self.meet()
        return self.late(x).relu().mean((2, 3))

    def meet(self):
        if Meeting.barrier is not None:
            with contextlib.suppress(threading.BrokenBarrierError):
                Meeting.barrier.wait()


PARTS = {
    "linear-probe": {"strategy": "linear-probe"},
    "fine-tune": {"strategy": "fine-tune"},
    "partly frozen": {"strategy": "fine-tune", "freeze_until": "late"},
    "lp-ft": {"strategy": "lp-ft"},
    "gradual": {"strategy": "gradual", "max_epochs": 2},
}


@pytest.mark.parametrize("cache", ["auto", None])
@pytest.mark.parametrize("case", PARTS)
@pytest.mark.parametrize("again", [False, True], ids=["fitted", "unpickled"])
def test_threads_predict_with_nets_that_share_a_backbone(case, cache, again, monkeypatch):
    """Each thread gets the predictions for its own images by its own net, from the first call on."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = load_backbone(Meeting(), image_shape=(8, 8, 1), mean=0, std=1)
    nets = [tuned(backbone=backbone, cache=cache, random_state=seed, **PARTS[case]) for seed in (0, 1)]
    nets = [one.fit(IMAGES, LABELS if seed == 0 else LABELS[::-1]) for seed, one in enumerate(nets)]
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (4, 8, 8, 1)).astype(np.uint8) for _ in range(4)]
    pairs = list(zip([*nets, *nets], images, strict=True))
    if again:
        pairs = pickle.loads(pickle.dumps(pairs))
    alone = [outputs_of(one, some) for one, some in pickle.loads(pickle.dumps(pairs))]
    in_turn = case == "linear-probe" and cache == "auto"  # a cache admits one thread at a time
    for patience in (0.05, 0.05 if in_turn else 30):  # and so do first calls, which build the faster copy of the net
        clear_cache()
        monkeypatch.setattr(Meeting, "barrier", threading.Barrier(4, timeout=patience))
        found = in_threads(lambda number: outputs_of(*pairs[number]), 4)
        for one, expected in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one, expected)
        assert patience < 1 or not Meeting.barrier.broken


def test_partial_fits_range_tests_and_backbones_in_threads():
    def work(number):
        fitted = net(net_params=DROPOUT).partial_fit(X, y).partial_fit(X, y)
        curve = find_lr(net(net_params=DROPOUT), X, y, n_steps=30)
        return outputs_of(fitted, X), curve.losses, load_backbone("tiny32").fingerprint()

    alone = work(0)
    for done in in_threads(work, FEW):
        for one, expected in zip(done, alone, strict=True):
            np.testing.assert_array_equal(one, expected)


# -- locks -------------------------------------------------------------------------------------------------------------


class Guarded(warnings.catch_warnings):
    """A replacement of catch_warnings that fails unless the thread holds the lock."""

    def __enter__(self):
        assert WARNING_FILTERS()._is_owned(), "catch_warnings without the lock"
        return super().__enter__()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_warning_filters_change_only_under_a_lock(name, monkeypatch):
    estimator, X, y = ESTIMATORS[name]
    with monkeypatch.context() as patched:
        patched.setattr(warnings, "catch_warnings", Guarded)
        outputs_of(clone(estimator).fit(X, y), X)


def test_a_training_without_random_draws_does_not_hold_the_lock():
    nets = {name: ESTIMATORS[name][0] for name in ("mlp", "dropout", "noisy", "probe", "fine-tune", "untrained")}
    fitted = {name: clone(one).fit(*ESTIMATORS[name][1:]) for name, one in nets.items()}
    quiet = {
        n: draws_nothing(one.net_, one._trained_part() or one.net_.module_, one.augmenter) for n, one in fitted.items()
    }
    assert quiet == {
        "mlp": True,
        "dropout": False,
        "noisy": False,
        "probe": True,
        "fine-tune": True,
        "untrained": True,
    }


@pytest.mark.parametrize("name", ["mlp", "dropout"])
def test_which_thread_waits_for_which(name):
    """A net with dropout waits while another thread uses the generators, and holds the lock during its epochs."""
    held = []

    class Looks(FreezeLayers):
        def on_epoch_begin(self, net, **kwargs):
            held.append(GENERATORS()._is_owned())

    Looks.__module__ = "sktricks"
    estimator = clone(ESTIMATORS[name][0]).set_params(callbacks=[Looks(0)])
    estimator.fit(X, y)
    assert held == [name == "dropout"] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forking_while_another_thread_trains():
    alone = outputs_of(net(net_params=DROPOUT).fit(X, y), X)
    holding, let_go = threading.Event(), threading.Event()

    def hold():
        with GENERATORS(), WARNING_FILTERS():
            holding.set()
            let_go.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(60)
    try:
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=send_fit, args=(sender,))
        child.start()
        assert receiver.poll(60), "the forked process waits for a lock that nobody holds"
        np.testing.assert_array_equal(receiver.recv(), alone)
        child.join(60)
    finally:
        let_go.set()
        thread.join()


def send_fit(sender):
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    sender.send(outputs_of(net(net_params=DROPOUT).fit(X, y), X))
