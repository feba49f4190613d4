"""Inspecting, saving and copying a fitted estimator changes nothing in it, and makes no later prediction slower."""

import contextlib
import copy
import io
import pickle
import sys
from functools import cache

import numpy as np
import pytest
import torch
from _augmenters import other_augmenters
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, Ridge

import sktricks
from sktricks import (
    AugmentationPipeline,
    AugmentedClassifier,
    AugmentedRegressor,
    CascadeClassifier,
    DistilledClassifier,
    DistilledRegressor,
    FineTuneClassifier,
    FineTuneRegressor,
    GaussianNoise,
    ImageLoader,
    MixUp,
    NetClassifier,
    NetEnsembleClassifier,
    NetEnsembleRegressor,
    NetRegressor,
    PretrainedFeatures,
    RandomApply,
    RandomFlip,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
    layer_table,
    save,
)

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(24, 4))
IMAGES = RNG.integers(0, 256, (24, 8, 8, 1)).astype(np.uint8)
LABELS = np.arange(24) % 2
VALUES = TABLE[:, 0] - TABLE[:, 1]
LINES = [("one", LogisticRegression()), ("other", LogisticRegression(C=0.1))]
RIDGES = [("one", Ridge()), ("other", Ridge(alpha=10))]
NET, LINE = NetClassifier(max_epochs=2, random_state=0), NetRegressor(max_epochs=2, random_state=0)
QUICK = {"max_epochs": 2, "random_state": 0}


def on_images(**params):
    return FineTuneClassifier(**QUICK, **params), IMAGES, LABELS


CASES = {
    "table": (NetClassifier(**QUICK, predict_views=1, augmenter=GaussianNoise()), TABLE, LABELS),
    "values": (NetRegressor(**QUICK, early_stopping=True), TABLE, VALUES),
    "mean of weights": (NetClassifier(**QUICK, average="ema"), TABLE, LABELS),
    "probe": on_images(strategy="linear-probe"),
    "probe of a module": on_images(strategy="linear-probe", backbone=torch.nn.Conv2d(1, 4, 3)),
    "probe of views": on_images(strategy="linear-probe", augmenter=RandomFlip(), n_views=2, predict_views=1),
    "probe that draws anew": on_images(strategy="linear-probe", net_params={"optimizer__momentum": 0.5}),
    "partly frozen": on_images(freeze_until="stage3"),
    "all trained": on_images(strategy="fine-tune", layer_decay=0.5),
    "probe first": on_images(strategy="lp-ft"),
    "thawed by stages": on_images(strategy="gradual"),
    "values of images": (FineTuneRegressor(**QUICK), IMAGES, VALUES),
    "features": (PretrainedFeatures(), IMAGES, None),
    "copies": (AugmentedClassifier(LogisticRegression(), MixUp(), random_state=0), TABLE, LABELS),
    "copies of values": (AugmentedRegressor(Ridge(), GaussianNoise(), random_state=0), TABLE, VALUES),
    "steps": (AugmentationPipeline([("flip", RandomFlip()), ("noise", GaussianNoise())]), IMAGES, None),
    "step": (RandomApply(RandomFlip()), IMAGES, None),
    "flip": (RandomFlip(), IMAGES, LABELS),
    "noise": (GaussianNoise(), TABLE, LABELS),
    "mix": (MixUp(), TABLE, LABELS),
    "votes": (VotingClassifier(LINES, weights="greedy", cv=2), TABLE, LABELS),
    "mean": (VotingRegressor(RIDGES), TABLE, VALUES),
    "stack": (StackingClassifier([*LINES, ("net", NET)], cv=2), TABLE, LABELS),
    "stack of values": (StackingRegressor(RIDGES, cv=2, refit=False), TABLE, VALUES),
    "cascade": (CascadeClassifier(LINES, cv=2, tolerance=0.1), TABLE, LABELS),
    "student": (DistilledClassifier(LogisticRegression(), NET), TABLE, LABELS),
    "student of values": (DistilledRegressor(Ridge(), LINE), TABLE, VALUES),
    "nets": (NetEnsembleClassifier(NET, n_members=2, random_state=0), TABLE, LABELS),
    "nets of values": (NetEnsembleRegressor(LINE, n_members=2, random_state=0), TABLE, VALUES),
}
OTHERS = other_augmenters([estimator for estimator, _, _ in CASES.values()])
CASES |= {type(augmenter).__name__: (augmenter, IMAGES, LABELS) for augmenter in OTHERS}


@cache
def fit(case):
    estimator, X, y = CASES[case]
    return copy.deepcopy(estimator).fit(X, y), X


# -- the state of an estimator -----------------------------------------------------------------------------------------


def contents(estimator):
    """Return the state of all objects in an estimator by their paths, without that of nested objects."""
    found, known, waiting = {}, set(), [("", estimator)]
    while waiting:
        path, value = waiting.pop()
        found[path] = value, own_content(value)
        if id(value) not in known:
            known.add(id(value))
            waiting.extend((f"{path}.{name}", inner) for name, inner in parts_of(value))
    return found


def own_content(value):
    """Return the content of a value: the bytes of an array, the keys of a dict, the text of a number."""
    if isinstance(value, torch.Tensor):
        return own_content(value.detach().numpy()), value.requires_grad, value._version, value.grad is None
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes() if value.dtype != object else value.tolist()
    if isinstance(value, dict):
        return list(value)
    if isinstance(value, list | tuple):
        return len(value)
    return repr(value) if isinstance(value, str | int | float | bool | set | type(None)) else type(value)


def parts_of(value):
    """Return the names and values of the parts of a value."""
    if isinstance(value, dict):
        return [(repr(key), inner) for key, inner in value.items()]
    parts = [(str(place), inner) for place, inner in enumerate(value)] if isinstance(value, list | tuple) else []
    plain = isinstance(value, type | torch.Tensor | np.ndarray) or callable(value) and not hasattr(value, "forward")
    return parts if plain else [*parts, *getattr(value, "__dict__", {}).items()]


def check_unchanged(before, after):
    assert before.keys() == after.keys()
    for path, (value, content) in before.items():
        same, now = after[path]
        assert content == now, path
        assert same is value or isinstance(value, str | int | float | tuple), path


# -- inspecting it -----------------------------------------------------------------------------------------------------


def read_attributes(estimator, tmp_path):
    for name in dir(estimator):
        if not name.startswith("_"):
            with contextlib.suppress(AttributeError):  # a method that depends on a parameter
                getattr(estimator, name)


def print_layers(estimator, tmp_path):
    if hasattr(estimator, "net_"):
        with contextlib.redirect_stdout(io.StringIO()):
            layer_table(estimator)


def save_it(estimator, tmp_path):
    with contextlib.suppress(ImportError):  # skops, for members that are not ours
        save(estimator, tmp_path / "archive")


LOOKS = {
    "attributes": read_attributes,
    "repr": lambda estimator, tmp_path: (repr(estimator), str(estimator), estimator._repr_html_()),
    "parameters": lambda estimator, tmp_path: estimator.get_params(),
    "layer_table": print_layers,
    "save": save_it,
    "copy": lambda estimator, tmp_path: copy.copy(estimator),
    "deepcopy": lambda estimator, tmp_path: copy.deepcopy(estimator),
    "pickle": lambda estimator, tmp_path: pickle.loads(pickle.dumps(estimator)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::sktricks.ImageShapeWarning")
def test_inspecting_changes_nothing_and_makes_no_prediction_slower(case, tmp_path):
    estimator, X = fit(case)
    predict = getattr(estimator, "predict", getattr(estimator, "transform", None))
    predict(X)  # encodes what is cached afterwards
    cost, before = calls(predict, X), contents(estimator)
    for look in LOOKS.values():
        look(estimator, tmp_path)
    check_unchanged(before, contents(estimator))
    assert calls(predict, X) <= 1.02 * cost


def set_verbose(estimator, verbose):
    """Return a clone that reports its progress, with parts of ours that report theirs."""
    params = estimator.get_params()
    ours = [name for name in params if name.endswith("__verbose") and is_ours(params[name.removesuffix("__verbose")])]
    return clone(estimator).set_params(**dict.fromkeys(["verbose", *ours], verbose))


def is_ours(estimator):
    return type(estimator).__module__.startswith("sktricks.")


@pytest.mark.parametrize("verbose", [1, 2])
@pytest.mark.parametrize(
    "case", [name for name, (estimator, *_) in CASES.items() if "verbose" in estimator.get_params()]
)
def test_verbose_tells_and_changes_nothing(case, verbose, bars, caplog):
    silent, X = fit(case)
    estimator, _, y = CASES[case]
    method = next(name for name in ("predict_proba", "predict", "transform") if hasattr(silent, name))
    expected = getattr(silent, method)(X)
    assert not bars and not caplog.messages
    found = getattr(set_verbose(estimator, verbose).fit(X, y), method)(X)
    np.testing.assert_array_equal(found, expected)
    assert bool(bars) == (verbose == 1) and (bars or caplog.messages)
    assert all(done == total for _, done, total in bars)


def test_all_public_estimators_are_inspected():
    public = {getattr(sktricks, name) for name in sktricks.__all__ if isinstance(getattr(sktricks, name), type)}
    public = {cls for cls in public if issubclass(cls, BaseEstimator)} - {sktricks.BaseAugmenter, ImageLoader}
    public -= {sktricks.OnnxClassifier, sktricks.OnnxRegressor}  # whose state is entirely in a file
    assert public == {type(estimator) for estimator, _, _ in CASES.values()}


def calls(function, X):
    """Return the number of function calls of a function, as a cost that does not depend on the machine."""
    counted = []
    sys.setprofile(lambda frame, event, argument: counted.append(1) if event in ("call", "c_call") else None)
    try:
        function(X)
    finally:
        sys.setprofile(None)
    return len(counted)
