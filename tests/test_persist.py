"""save and load: what is restored, what the caller must pass, and what a file cannot do."""

import copy
import inspect
import json
import os
import pickle
import stat
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.base import clone, is_regressor
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler
from skorch.callbacks import Callback
from torch import nn

import sktricks
from sktricks import (
    AugmentationPipeline,
    AugmentedClassifier,
    AugmentedRegressor,
    CascadeClassifier,
    ColorJitter,
    DistilledClassifier,
    DistilledRegressor,
    DroppedOnLoadWarning,
    FeatureCache,
    FineTuneClassifier,
    FineTuneRegressor,
    FreezeLayers,
    GradientNorms,
    ImageLoader,
    MixUp,
    NetClassifier,
    NetEnsembleClassifier,
    NetEnsembleRegressor,
    NetRegressor,
    NoPretrainedBackboneWarning,
    PretrainedFeatures,
    RandomApply,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    SwapNoise,
    TrivialAugment,
    ensemble,
    freeze_layers,
    load,
    make_augmentation_pipeline,
    save,
)
from sktricks._coded import CodedClassifier
from sktricks._replace_file import host_key, temporary_prefix
from sktricks.augment import BaseAugmenter
from sktricks.persist._archive import write_archive
from sktricks.persist._codec import Reader, Writer
from sktricks.persist._descriptions import describe_class, find_undescribed
from sktricks.persist._save_load import CODECS
from sktricks.tables._columns import Columns
from sktricks.training._built_with import describe_build
from sktricks.transfer._prefix import Prefix

RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 2
NAMES = np.array(["dark", "light"])[LABELS]
TABLE = RNG.random((40, 5)) + LABELS[:, None]
GREY = (RNG.random((40, 8, 8)) * 100 + np.where(LABELS == 1, 130, 25)[:, None, None]).astype(np.uint8)
VALUES = np.c_[TABLE.sum(1) * 1000, TABLE[:, 0]]


class Conv(nn.Module):
    """A backbone, or with an argument a net, with all kinds of layers that may fail to stay frozen."""

    def __init__(self, n_outputs=6, channels=4):
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Conv2d(channels, n_outputs, 3)

    def forward(self, x):
        return self.second(self.drop(self.norm(self.first(x)).relu())).mean((2, 3))


class Wide(Conv):
    def __init__(self, n_outputs=6):
        super().__init__(n_outputs, channels=5)


def net(**params):
    return NetClassifier(**{"max_epochs": 3, "random_state": 0, **params})


def tuner(**params):
    return FineTuneClassifier(**{"backbone": Conv, "max_epochs": 3, "random_state": 0, **params})


def save_and_load(estimator, tmp_path, **given):
    save(estimator, tmp_path / "archive")
    return load(tmp_path / "archive", **given)


def outputs(estimator, X):
    method = next(name for name in ("predict_proba", "transform", "predict") if hasattr(estimator, name))
    return getattr(estimator, method)(X)


def assert_same(value, other):
    """Assert that two values are equal and of the same types, recursively."""
    assert type(value) is type(other)
    if isinstance(value, np.ndarray):
        assert value.dtype == other.dtype and value.shape == other.shape
        np.testing.assert_array_equal(value, other)
    elif isinstance(value, dict):
        assert list(value) == list(other)
        for key in value:
            assert_same(value[key], other[key])
    elif isinstance(value, list | tuple):
        assert len(value) == len(other)
        for item, its in zip(value, other, strict=True):
            assert_same(item, its)
    elif isinstance(value, Columns):
        assert_same(vars(value), vars(other))
    elif isinstance(value, Prefix):
        for name in ("stages", "n_frozen", "encodes_once", "rates", "value_range", "device"):
            assert_same(getattr(value, name), getattr(other, name))
    elif hasattr(value, "get_params"):
        assert_same(plain_attributes(value), plain_attributes(other))
    else:
        assert value == other or value != value


def plain_attributes(estimator):
    return {name: vars(estimator)[name] for name in sorted(vars(estimator)) if name != "_net"}


def manifest_of(path):
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["manifest"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


# -- what is restored --------------------------------------------------------------------------------------------------

FITTED = {
    "labels": (net(), TABLE, NAMES, {}),
    "float32": (net(), TABLE.astype(np.float32), LABELS, {}),
    "several labels": (net(), TABLE, np.c_[LABELS, 1 - LABELS, LABELS], {}),
    "probabilities": (net(), TABLE, np.c_[0.1 + 0.8 * LABELS, 0.9 - 0.8 * LABELS], {}),
    "values": (NetRegressor(max_epochs=3, random_state=0), TABLE, VALUES, {}),
    "images": (net(module=Conv), GREY, NAMES, {"module": Conv}),
    "rows as images": (net(module=Conv, image_shape=(8, 8)), GREY.reshape(40, 64), NAMES, {"module": Conv}),
    "linear probe": (tuner(strategy="linear-probe"), GREY, NAMES, {"backbone": Conv}),
    "fine-tune": (tuner(strategy="fine-tune", freeze_until=1), GREY, NAMES, {"backbone": Conv}),
    "bundled": (FineTuneClassifier(max_epochs=2, random_state=0), GREY, NAMES, {}),
    "bundled, values": (
        FineTuneRegressor("tiny32", stages=["stage1", "stage3"], strategy="fine-tune", max_epochs=1),
        *(GREY[:20], VALUES[:20], {}),
    ),
    "augmented": (
        tuner(strategy="fine-tune", augmenter=make_augmentation_pipeline(RandomCrop(6), MixUp())),
        *(GREY, NAMES, {"backbone": Conv}),
    ),
    "features": (PretrainedFeatures(), GREY, None, {}),
    "own features": (PretrainedFeatures(Conv), GREY.astype(float), None, {"backbone": Conv}),
}


@pytest.mark.parametrize("kind", FITTED)
def test_a_fitted_net_is_restored(kind, tmp_path):
    estimator, X, y, given = FITTED[kind]
    fitted = clone(estimator).fit(X, y)
    loaded = save_and_load(fitted, tmp_path, **given)
    np.testing.assert_array_equal(outputs(loaded, X), outputs(fitted, X))
    assert outputs(loaded, X).dtype == outputs(fitted, X).dtype
    assert_same(loaded, fitted)
    assert repr(clone(loaded)) == repr(estimator)
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(outputs(again, X[:3]), outputs(fitted, X[:3]))
    if "random_state" in estimator.get_params() and estimator.random_state == 0:
        again = clone(loaded).fit(X, y)
        np.testing.assert_array_equal(outputs(again, X), outputs(fitted, X))


@pytest.mark.filterwarnings("ignore::sktricks.NoPretrainedBackboneWarning")
@pytest.mark.parametrize("estimator", [FineTuneClassifier(max_epochs=2), PretrainedFeatures()])
def test_a_table_without_a_backbone(estimator, tmp_path):
    fitted = clone(estimator).fit(TABLE, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    np.testing.assert_array_equal(outputs(loaded, TABLE), outputs(fitted, TABLE))
    assert loaded.backbone_ is None
    with pytest.warns(NoPretrainedBackboneWarning):
        clone(loaded).fit(TABLE, NAMES)


AUGMENTERS = [
    RandomFlip(p=0.3, random_state=0),
    RandomCrop((6, 5), padding=1, random_state=0),
    RandomRotation(20, value_range=(0, 300.5), random_state=0),
    ColorJitter(n_jobs=2, random_state=0),
    MixUp(0.4, random_state=0),
    make_augmentation_pipeline(RandomFlip(), MixUp(), random_state=0),
]


@pytest.mark.parametrize("augmenter", AUGMENTERS, ids=lambda augmenter: type(augmenter).__name__)
def test_an_augmenter_is_restored(augmenter, tmp_path):
    fitted = clone(augmenter).fit(GREY, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    assert_same(loaded, fitted)
    for mine, theirs in zip(loaded.augment(GREY, NAMES), fitted.augment(GREY, NAMES), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(loaded.transform(GREY), fitted.transform(GREY))


@pytest.mark.parametrize(
    "labels",
    [
        NAMES.astype(object),
        LABELS.astype(bool),
        LABELS.astype(np.int8) - 5,
        np.array(["é", "雪"])[LABELS],
        np.array([1.0, 2.0])[LABELS],
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_of_any_type(labels, tmp_path):
    fitted = net().fit(TABLE, labels)
    loaded = save_and_load(fitted, tmp_path)
    assert_same(loaded.classes_, fitted.classes_)
    assert_same(loaded.predict(TABLE), fitted.predict(TABLE))


def test_the_names_of_columns(tmp_path):
    frame = pd.DataFrame(TABLE, columns=list("abcde"))
    loaded = save_and_load(net().fit(frame, NAMES), tmp_path)
    np.testing.assert_array_equal(loaded.feature_names_in_, list("abcde"))
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame.rename(columns={"a": "z"}))


def test_parameters_of_every_type(tmp_path):
    params = {
        "image_shape": (8, np.int64(8)),
        "value_range": np.array([0.0, 255.0]),
        "class_weight": {"dark": np.float32(0.5), "light": 2},
        "lr": np.float64(1e-3),
        "net_params": {"optimizer__betas": (0.8, 0.99), "criterion__weight": torch.tensor([1.0, 3.0])},
        "random_state": np.random.RandomState(3),  # noqa: NPY002
        "device": torch.device("cpu"),
        "stages": ["stage1"],
        "strategy": "fine-tune",
    }
    fitted = FineTuneClassifier("tiny32", max_epochs=1, **params).fit(GREY, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    for name, value in params.items():
        if name not in ("random_state", "net_params"):
            assert_same(getattr(loaded, name), value)
    assert loaded.net_params["optimizer__betas"] == (0.8, 0.99)
    assert torch.equal(loaded.net_params["criterion__weight"], torch.tensor([1.0, 3.0]))
    assert loaded.random_state.randint(10**9) == fitted.random_state.randint(10**9)
    np.testing.assert_array_equal(loaded.predict_proba(GREY), fitted.predict_proba(GREY))


@pytest.mark.parametrize(
    "value",
    [
        {1: "a", "b": (2.5, None), "$": True},
        {"$": "own", "class": "NetClassifier"},
        [float("nan"), float("inf"), -0.0, 1e-320, 2**80],
        np.zeros((0, 3), np.uint16),
        np.array(5.5),
        np.float16(0.1),
        np.array(["2024-01-01", "NaT"], "datetime64[D]"),
        np.array([1 + 2j]),
        np.array([(1, "a"), None, 2.5], object),
        np.arange(6.0).reshape(2, 3).T,
        np.array([1.5, 2.5], ">f8"),
        np.array([1.25], np.longdouble),
        np.str_("text"),
        np.array([b"a", b"bc"]),
        Path("some") / "where",
    ],
    ids=lambda value: type(value).__name__,
)
def test_values(value):
    writer = Writer(CODECS)
    node = json.loads(json.dumps(writer.write(value, "value"), allow_nan=False))
    assert_same(Reader(CODECS, writer.arrays, None).read(node), value)


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64]
)
@pytest.mark.parametrize("shape", [(), (0, 2), (3, 2)])
def test_tensors(dtype, shape):
    tensor = torch.ones(shape, dtype=dtype)
    writer = Writer(CODECS)
    node = json.loads(json.dumps(writer.write([tensor, dtype], "value")))
    again, its = Reader(CODECS, writer.arrays, None).read(node)
    assert its is dtype and again.dtype == dtype and torch.equal(again, tensor)


def test_history_and_set_output_are_restored(tmp_path):
    fitted = net(early_stopping=True).fit(TABLE, NAMES)
    assert_same(list(save_and_load(fitted, tmp_path).net_.history), list(fitted.net_.history))
    features = PretrainedFeatures("tiny32").set_output(transform="pandas").fit(GREY)
    assert isinstance(save_and_load(features, tmp_path).transform(GREY), pd.DataFrame)


def test_metadata_requests_are_restored(tmp_path):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        fitted = net().set_fit_request(sample_weight=True).fit(TABLE, NAMES)
        loaded = save_and_load(fitted, tmp_path)
        assert loaded.get_metadata_routing().fit.requests["sample_weight"] is True
        assert clone(loaded).get_metadata_routing().fit.requests["sample_weight"] is True


# -- descriptions of each class - --------------------------------------------------------------------------------------

LINES = [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))]
RIDGES = [("a", Ridge()), ("b", Ridge(0.1))]
NETS = {"n_members": 2, "random_state": 0}
PUBLIC = [getattr(sktricks, name) for name in sktricks.__all__ if isinstance(getattr(sktricks, name), type)]
AUGMENTERS = [cls for cls in PUBLIC if issubclass(cls, BaseAugmenter) and cls is not BaseAugmenter]
OF_EACH_CLASS = [
    *[cls(random_state=0) for cls in AUGMENTERS if cls not in (RandomApply, AugmentationPipeline)],
    RandomApply(RandomFlip(), random_state=0),
    AugmentationPipeline([("flip", RandomFlip()), ("mix", MixUp())], random_state=0),
    AugmentedClassifier(LogisticRegression(max_iter=1000), RandomRotation(), predict_views=2, random_state=0),
    AugmentedRegressor(Ridge(), TrivialAugment(), predict_views=2, random_state=0),
    net(module=Conv, augmenter=RandomRotation(), predict_views=2, early_stopping=True),
    net(),
    net(augmenter=SwapNoise(), categorical_features=[0]),
    NetRegressor(max_epochs=1, random_state=0),
    *[tuner(strategy=strategy, max_epochs=2) for strategy in ("linear-probe", "fine-tune", "lp-ft", "gradual")],
    tuner(strategy="linear-probe", augmenter=RandomRotation(), n_views=2, predict_views=1),
    FineTuneRegressor(max_epochs=1, strategy="fine-tune", freeze_until=0.5, random_state=0),
    FineTuneRegressor(max_epochs=1, random_state=0),
    PretrainedFeatures(),
    PretrainedFeatures().set_output(transform="pandas"),
    ensemble.VotingClassifier(LINES),
    ensemble.VotingClassifier(LINES, voting="soft", weights="greedy", calibration="temperature", cv=2),
    ensemble.VotingRegressor(RIDGES, weights="simplex", cv=2),
    ensemble.StackingClassifier(LINES, cv=2),
    ensemble.StackingClassifier(LINES, net(max_epochs=1), cv=2, refit=False, passthrough=True),
    ensemble.StackingRegressor(RIDGES, cv=2),
    ensemble.CascadeClassifier(LINES, tolerance=0.3, cv=2),
    NetEnsembleClassifier(net(), **NETS),
    NetEnsembleRegressor(NetRegressor(max_epochs=1), **NETS),
    DistilledClassifier(GaussianNB(), net()),
    DistilledRegressor(Ridge(), NetRegressor(max_epochs=1, random_state=0)),
    Pipeline([("features", PretrainedFeatures()), ("line", LogisticRegression())]),
    FeatureUnion([("features", PretrainedFeatures())]),
    VotingClassifier(LINES),
    VotingRegressor(RIDGES),
    StackingClassifier(LINES, cv=2),
    StackingRegressor(RIDGES, cv=2),
]
FOR_TABLES = (DistilledClassifier, DistilledRegressor)
FOR_TABLES += (NetClassifier, NetRegressor, NetEnsembleClassifier, NetEnsembleRegressor, CascadeClassifier)
FOR_TABLES += (VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor)


def fit_any(estimator):
    """Fit an estimator on a table or on images."""
    rows = isinstance(estimator, FOR_TABLES) and getattr(estimator, "module", "mlp") is not Conv
    return clone(estimator).fit(TABLE if rows else GREY, VALUES[:, 0] if is_regressor(estimator) else NAMES)


@pytest.mark.filterwarnings("ignore::sktricks.FrozenPrefixNotCachedWarning")
@pytest.mark.parametrize("estimator", OF_EACH_CLASS, ids=lambda estimator: type(estimator).__name__)
def test_all_fitted_attributes_are_described(estimator):
    fitted = fit_any(estimator)
    params = fitted.get_params(deep=False)
    learned = {name: value for name, value in vars(fitted).items() if name not in (*params, "_net")}
    wrong = find_undescribed(type(fitted), learned)
    assert wrong is None, (
        f"{type(fitted).__name__}.{wrong[0]} is not described, or is of another type than {wrong[1]}: "
        "describe it in sktricks/persist/_descriptions.py, else no archive can hold it"
    )


FILES = (sktricks.OnnxClassifier, sktricks.OnnxRegressor)  # which are stored as files themselves


def test_each_public_class_is_described():
    estimators = [cls for cls in PUBLIC if hasattr(cls, "get_params") and cls is not BaseAugmenter]
    for cls in estimators:
        described = describe_class(cls)
        assert described is not None, f"describe {cls.__name__} in sktricks/persist/_descriptions.py"
        assert not described.keys() & {*inspect.signature(cls).parameters, "_net"}
    covered = {type(estimator) for estimator in OF_EACH_CLASS}
    assert {cls for cls in estimators if hasattr(cls, "fit")} - covered == {sktricks.ImageLoader, *FILES}


# -- continued training ------------------------------------------------------------------------------------------------

GOING_ON = {
    "table": (net(), TABLE, {}),
    "momentum": (net(optimizer="sgd"), TABLE, {}),
    "groups": (net(net_params={"optimizer__param_groups": [("embed*", {"lr": 0.1})]}), TABLE, {}),
    "values": (NetRegressor(max_epochs=3, random_state=0), TABLE, {}),
    "augmented": (net(module=Conv, augmenter=RandomRotation(5)), GREY, {"module": Conv}),
    "linear probe": (tuner(strategy="linear-probe"), GREY, {"backbone": Conv}),
    "fine-tune": (tuner(strategy="fine-tune"), GREY, {"backbone": Conv}),
    "frozen": (tuner(strategy="fine-tune", freeze_until=2), GREY, {"backbone": Conv}),
    "two phases": (tuner(strategy="lp-ft", max_epochs=2), GREY, {"backbone": Conv}),
    "half thawed": (tuner(strategy="gradual", max_epochs=3, batch_size=9), GREY, {"backbone": Conv}),
    "rates by stage": (tuner(strategy="fine-tune", layer_decay=0.5), GREY, {"backbone": Conv}),
    "bundled": (FineTuneClassifier(strategy="fine-tune", max_epochs=1, random_state=0), GREY[:8], {}),
    "thawing": (
        net(module=Conv, callbacks=[FreezeLayers("second", unfreeze_at={4: 1, 5: 0})]),
        *(GREY, {"module": Conv}),
    ),
}


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
@pytest.mark.parametrize("kind", GOING_ON)
def test_training_continues_as_without_saving(kind, used, tmp_path):
    estimator, X, given = GOING_ON[kind]
    y = VALUES[:, 0] if isinstance(estimator, NetRegressor) else NAMES[: len(X)]
    fitted = clone(estimator).fit(X, y)
    if used:
        fitted.predict(X)  # prediction leaves the net in evaluation mode
    loaded = save_and_load(fitted, tmp_path, **given)
    for _ in range(2):
        fitted.partial_fit(X, y)
        loaded.partial_fit(X, y)
    np.testing.assert_array_equal(outputs(loaded, X), outputs(fitted, X))
    assert loaded.n_iter_ == fitted.n_iter_ and len(loaded.net_.history) == len(fitted.net_.history)
    fitted.set_params(warm_start=True).fit(X, y)
    loaded.set_params(warm_start=True).fit(X, y)
    np.testing.assert_array_equal(outputs(loaded, X), outputs(fitted, X))


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({}, {"weight_decay": 0.0}),
        ({"weight_decay": 0.0}, {"weight_decay": 0.1}),
        ({"weight_decay": 0.5}, {"weight_decay": 0.1}),
        ({"lr": 1e-3}, {"lr": 1e-2}),
        ({"batch_size": 8}, {"lr": None, "batch_size": 16}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "make", [net, partial(tuner, strategy="linear-probe", backbone="tiny32")], ids=["net", "probe"]
)
def test_training_continues_with_parameters_changed_before_saving(make, settings, changed, tmp_path):
    fitted = make(**settings).fit(GREY, NAMES).set_params(**changed)
    loaded = save_and_load(fitted, tmp_path)
    for model in (fitted, loaded):
        model.partial_fit(GREY, NAMES)
    np.testing.assert_array_equal(outputs(loaded, GREY), outputs(fitted, GREY))
    groups = [[(g["initial_lr"], g["weight_decay"]) for g in m.net_.optimizer_.param_groups] for m in (fitted, loaded)]
    assert groups[0] == groups[1]


def test_what_is_frozen_stays_frozen(tmp_path):
    fitted = tuner(strategy="fine-tune", freeze_until=2).fit(GREY, NAMES)
    loaded = save_and_load(fitted, tmp_path, backbone=Conv)
    before = {name: tensor.clone() for name, tensor in loaded.backbone_.state_dict().items()}
    loaded.partial_fit(GREY, NAMES)
    moved = {name for name, tensor in loaded.backbone_.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"model.second.weight", "model.second.bias"}
    assert loaded.n_trainable_parameters_ == fitted.n_trainable_parameters_


def test_a_callback_thaws_after_loading(tmp_path):
    fitted = net(module=Conv, callbacks=[FreezeLayers("second", unfreeze_at=5)]).fit(GREY, NAMES)
    loaded = save_and_load(fitted, tmp_path, module=Conv)
    first = loaded.net_.module_.first
    before = first.weight.clone()
    assert not first.weight.requires_grad
    loaded.partial_fit(GREY, NAMES)
    assert torch.equal(first.weight, before)
    loaded.partial_fit(GREY, NAMES)
    assert not torch.equal(first.weight, before) and first.weight.requires_grad


def test_a_frozen_module_stays_frozen(tmp_path):
    module = Conv(2)
    freeze_layers(module, "second")
    fitted = net(module=module).fit(GREY, NAMES)
    loaded = save_and_load(fitted, tmp_path, module=Conv(2))
    fitted.partial_fit(GREY, NAMES)
    loaded.partial_fit(GREY, NAMES)
    for name in ("weight", "running_mean"):
        assert torch.equal(getattr(loaded.net_.module_.norm, name), getattr(module.norm, name))
    np.testing.assert_array_equal(loaded.predict_proba(GREY), fitted.predict_proba(GREY))


def test_requires_grad_set_by_the_user_is_restored(tmp_path):
    fitted = net().fit(TABLE, NAMES)
    fitted.net_.module_.embed.weight.requires_grad_(False)
    loaded = save_and_load(fitted, tmp_path)
    assert not loaded.net_.module_.embed.weight.requires_grad and loaded.net_.module_.embed.bias.requires_grad


# -- around our estimators ---------------------------------------------------------------------------------------------


def test_pipelines_and_votes_do_not_require_skops(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    shared = net(max_epochs=2)
    models = [
        (Pipeline([("features", PretrainedFeatures("tiny32")), ("net", net())]), GREY),
        (make_pipeline("passthrough", RandomFlip(image_shape=(8, 8)), net()), GREY.reshape(40, 64)),
        (VotingClassifier([("a", shared), ("b", make_pipeline(shared)), ("c", "drop")], voting="soft"), TABLE),
        (VotingClassifier([("a", FrozenEstimator(net().fit(TABLE, NAMES))), ("b", net())], voting="soft"), TABLE),
        (VotingRegressor([("a", NetRegressor(max_epochs=2))]), TABLE),
        (StackingClassifier([("a", net())], final_estimator=net(), cv=2), TABLE),
        (FeatureUnion([("a", PretrainedFeatures("tiny32")), ("b", PretrainedFeatures("tiny32"))]), GREY),
    ]
    for model, X in models:
        fitted = clone(model).fit(X, LABELS if isinstance(model, VotingRegressor) else NAMES)
        loaded = save_and_load(fitted, tmp_path)
        np.testing.assert_array_equal(outputs_of(loaded, X), outputs_of(fitted, X))
        assert repr(clone(loaded)) == repr(clone(fitted))


@pytest.mark.parametrize(
    "model",
    [
        ensemble.VotingClassifier([("a", net()), ("b", net(max_epochs=1))], voting="soft", weights="greedy", cv=2),
        ensemble.StackingClassifier([("a", net())], net(max_epochs=1), cv=2),
        ensemble.StackingClassifier([("a", net())], net(max_epochs=1), cv=2, refit=False),
        ensemble.CascadeClassifier([("a", net(max_epochs=1)), ("b", net())], cv=2, tolerance=0.5),
        ensemble.VotingRegressor([("a", NetRegressor(max_epochs=2)), ("b", NetRegressor(max_epochs=1))]),
    ],
    ids=lambda model: f"{type(model).__name__}-{getattr(model, 'refit', '')}",
)
def test_our_own_ensembles(model, tmp_path):
    y = VALUES[:, 0] if isinstance(model, ensemble.VotingRegressor) else NAMES
    fitted = model.fit(TABLE, y)
    loaded = save_and_load(fitted, tmp_path)
    np.testing.assert_array_equal(outputs(loaded, TABLE), outputs(fitted, TABLE))
    np.testing.assert_array_equal(loaded.predict_members(TABLE), fitted.predict_members(TABLE))


def test_members_that_were_fitted_on_codes(tmp_path):
    fitted = ensemble.VotingClassifier([("a", net())], voting="soft").fit(TABLE, NAMES)
    fitted.estimators_[0] = fitted.named_estimators_.a = CodedClassifier(net()).fit(TABLE, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    np.testing.assert_array_equal(outputs(loaded, TABLE), outputs(fitted, TABLE))
    assert loaded.named_estimators_.a is loaded.estimators_[0]
    np.testing.assert_array_equal(loaded.estimators_[0].classes_, np.unique(NAMES))


def test_a_member_that_was_fitted_on_codes(tmp_path):
    fitted = CodedClassifier(net()).fit(TABLE, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    np.testing.assert_array_equal(loaded.predict(TABLE), fitted.predict(TABLE))
    assert_same(loaded.classes_, fitted.classes_)


def outputs_of(model, X):
    return model.predict(X) if hasattr(model, "predict") else model.transform(X)


def test_a_member_that_occurs_twice_is_stored_once(tmp_path):
    fitted = VotingClassifier([("a", net())]).fit(TABLE, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    assert loaded.named_estimators_["a"] is loaded.estimators_[0]
    assert loaded.named_estimators_.a is loaded.estimators_[0]
    weights = [name for name in manifest_of(tmp_path / "archive")[1] if name.endswith("module.tensors.embed.weight")]
    assert len(weights) == 1


def test_other_members_through_skops(tmp_path):
    pytest.importorskip("skops.io")
    vote = VotingClassifier([("net", net()), ("linear", LogisticRegression())], voting="soft")
    fitted = make_pipeline(StandardScaler(), vote).fit(TABLE, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(TABLE), fitted.predict_proba(TABLE))
    assert loaded[-1].named_estimators_.linear is loaded[-1].estimators_[1]


def test_members_that_skops_does_not_trust(tmp_path):
    pytest.importorskip("skops.io")
    steps = [("own", FunctionTransformer(double)), ("net", net())]
    fitted = Pipeline(steps).fit(TABLE, NAMES)
    with pytest.raises(TypeError, match=r"the member 'own' \(FunctionTransformer\)"):
        save(fitted, tmp_path / "archive")
    search = GridSearchCV(net(), {"lr": [0.1]}, cv=2).fit(TABLE, NAMES)
    with pytest.raises(TypeError, match="GridSearchCV"):
        save(search, tmp_path / "archive")
    assert list(tmp_path.iterdir()) == []
    save(search.best_estimator_, tmp_path / "archive")


def double(X):
    return 2 * X


def test_an_archive_cannot_make_skops_run_code(tmp_path):
    skops = pytest.importorskip("skops.io")
    content = np.frombuffer(skops.dumps(FunctionTransformer(double)), np.uint8)
    node = {"$": "skops", "name": "own", "class": "FunctionTransformer", "key": "own", "id": 0}
    write_archive(tmp_path / "archive", {"estimator": node}, {"own": content})
    with pytest.raises(ValueError, match=r"the member 'own' \(.*\) of the archive has types that are not trusted"):
        load(tmp_path / "archive")


def test_the_error_without_skops_names_the_member(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    fitted = Pipeline([("scale", RobustScaler()), ("net", net())]).fit(TABLE, NAMES)
    with pytest.raises(ImportError, match=r"'scale' \(RobustScaler\).*skops.*sktricks\[persist\]"):
        save(fitted, tmp_path / "archive")


# -- what the caller passes --------------------------------------------------------------------------------------------


class Record(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("seen", 1)


def my_loss(y_pred, y_true, reduction="mean"):
    return nn.functional.cross_entropy(y_pred, y_true, reduction=reduction, label_smoothing=0.3)


class MyAdam(torch.optim.Adam):
    pass


class Negative(BaseAugmenter):
    def apply(self, images, params, value_range):
        return sum(value_range) - images


def test_the_error_names_the_values_to_pass(tmp_path):
    fitted = net(module=Conv, callbacks=[Record()], loss=my_loss, optimizer=MyAdam, augmenter=Negative())
    fitted = make_pipeline(fitted.fit(GREY, NAMES))
    save(fitted, tmp_path / "archive")
    with pytest.raises(ValueError) as error:
        load(tmp_path / "archive", module=Conv)
    message = str(error.value)
    assert "netclassifier__callbacks ([an instance of test_persist.Record])" in message.replace("tests.", "")
    assert "callbacks=..., params={'netclassifier__augmenter': ..., " in message
    assert "my_loss" in message and "MyAdam" in message and "module" not in message
    params = {"augmenter": Negative(), "loss": my_loss, "optimizer": MyAdam}
    given = {"params": {f"netclassifier__{name}": value for name, value in params.items()}}
    loaded = load(tmp_path / "archive", module=Conv, callbacks=[Record()], **given)
    np.testing.assert_array_equal(loaded.predict_proba(GREY), fitted.predict_proba(GREY))
    loaded[-1].partial_fit(GREY, NAMES)
    fitted[-1].partial_fit(GREY, NAMES)
    np.testing.assert_array_equal(loaded.predict_proba(GREY), fitted.predict_proba(GREY))
    assert loaded[-1].net_.history[:, "seen"] == [1] * 4


def test_torchs_own_classes_need_not_be_passed(tmp_path):
    params = {"net_params": {"optimizer__eps": 1e-6}, "loss": nn.MultiMarginLoss, "optimizer": torch.optim.NAdam}
    loaded = save_and_load(net(**params).fit(TABLE, NAMES), tmp_path)
    assert loaded.loss is nn.MultiMarginLoss and loaded.optimizer is torch.optim.NAdam


def test_an_instance_is_passed_as_an_instance(tmp_path):
    fitted = tuner(backbone=Conv(), strategy="linear-probe").fit(GREY, NAMES)
    other = Conv()
    before = copy.deepcopy(other.state_dict())
    loaded = save_and_load(fitted, tmp_path, backbone=other)
    np.testing.assert_array_equal(loaded.predict_proba(GREY), fitted.predict_proba(GREY))
    assert loaded.backbone is other and all(torch.equal(before[name], t) for name, t in other.state_dict().items())


def test_entries_of_net_params_and_splitters_are_passed_by_name(tmp_path):
    class Activated(nn.Sequential):
        def __init__(self, n_features, n_outputs, activation):
            super().__init__(nn.Linear(n_features, n_outputs), activation())

    params = {"net_params": {"module__activation": lambda: nn.Tanh()}, "validation_fraction": KFold(3)}
    fitted = net(module=Activated, early_stopping=True, **params).fit(TABLE, NAMES)
    given = {"module__activation": nn.Tanh, "validation_fraction": KFold(4)}
    loaded = save_and_load(fitted, tmp_path, module=Activated, params=given)
    np.testing.assert_array_equal(loaded.predict_proba(TABLE), fitted.predict_proba(TABLE))
    assert loaded.get_params()["module__activation"] is nn.Tanh and loaded.validation_fraction.n_splits == 4


def test_members_of_a_vote_with_user_modules(tmp_path):
    members = [("a", net(module=Conv, loss=my_loss)), ("b", net(module=Wide))]
    fitted = VotingClassifier(members, voting="soft").fit(GREY.astype(float), NAMES)
    params = {"a__module": Conv, "a__loss": my_loss, "b__module": Wide}
    loaded = save_and_load(fitted, tmp_path, params=params)
    np.testing.assert_array_equal(loaded.predict_proba(GREY), fitted.predict_proba(GREY))


def test_params_replace_what_is_in_the_archive(tmp_path):
    loaded = save_and_load(net().fit(TABLE, NAMES), tmp_path, params={"max_epochs": 9})
    assert loaded.max_epochs == 9


def test_unused_values_raise_an_error(tmp_path):
    save(net().fit(TABLE, NAMES), tmp_path / "archive")
    for given in ({"module": Conv}, {"backbone": Conv}, {"params": {"net__module": Conv}}):
        with pytest.raises(ValueError, match="the archive does not require"):
            load(tmp_path / "archive", **given)


@pytest.mark.parametrize("fitted", [net(module=Conv), tuner(strategy="linear-probe"), PretrainedFeatures(Conv)])
def test_another_architecture(fitted, tmp_path):
    save(clone(fitted).fit(GREY, NAMES), tmp_path / "archive")
    role = "module" if isinstance(fitted, NetClassifier) else "backbone"
    with pytest.raises(
        ValueError, match=rf"do not fit {role}=the class \S+Wide: 7 of \d+ tensors differ, first \S*first"
    ):
        load(tmp_path / "archive", **{role: Wide})


def test_parameters_set_after_fit_do_not_affect_the_archive(tmp_path):
    fitted = tuner(strategy="fine-tune").fit(GREY, NAMES).set_params(layer_decay=0.5)
    loaded = save_and_load(fitted, tmp_path, backbone=Conv)
    assert loaded.layer_decay == 0.5
    np.testing.assert_array_equal(outputs(loaded, GREY), outputs(fitted, GREY))


# Values that differ from those in CHANGED_AFTER_FIT, some of which fit would reject.
CHANGES = {
    "init": ["he"],
    "image_shape": [(4, 4), (0, 0)],
    "resize_mode": ["crop"],
    "value_range": [(0, 9), (3, 3)],
    "categorical_features": [[0], None],
    "strategy": ["lp-ft", "fine-tune", "linear-probe", "gradual"],
    "freeze_until": ["head", 0.5],
    "stages": [["first"]],
    "augmenter": [None, RandomCrop(4), MixUp()],
    "n_views": [1, 5],
    "predict_views": [0, 5, -1],
    "backbone_lr_scale": [0.1],
    "layer_decay": [0.5, 2.0],
    "cache": [None],
    "loss": ["bce", nn.CrossEntropyLoss(), nn.functional.cross_entropy],
    "optimizer": ["sgd", "adam", torch.optim.Adagrad],
    "lr": ["auto", 0.1, -1.0],
    "weight_decay": [0.3],
    "clip_norm": [1.0, -1.0],
    "schedule": ["constant", "none"],
    "average": ["ema"],
    "label_smoothing": [0.1, 3.0],
    "max_epochs": [7, 0],
    "batch_size": [5, 0],
    "class_weight": ["balanced", {"dark": 2.0}],
    "early_stopping": [True],
    "validation_fraction": [0.5, KFold(2)],
    "n_iter_no_change": [2],
    "callbacks": [[FreezeLayers(1)], [GradientNorms()]],
    "net_params": [{"module__width": 9}, {"optimizer__eps": 1e-3}, {"callbacks__stop__patience": 3}],
    "device": ["cuda"],
    "precision": ["bfloat16"],
    "warm_start": [True],
    "verbose": [1],
    "random_state": [None, 5],
    "module": ["mlp", Wide],
    "backbone": ["tiny32", "lite0", "auto", Wide, "file:net.safetensors::tiny32"],
    "white_level": [9.0, -1.0],
}
VIEWS = {"augmenter": RandomRotation(5), "predict_views": 1}
CHANGED_AFTER_FIT = {
    "table": net(),
    "images": net(module=Conv, loss=nn.CrossEntropyLoss(), **VIEWS),
    "thawing": net(module=Conv, callbacks=[FreezeLayers("second")]),
    "probe": tuner(strategy="linear-probe", n_views=2, **VIEWS),
    "fine-tune": tuner(strategy="fine-tune", backbone="tiny32", freeze_until=2, max_epochs=1),
    "gradual": tuner(strategy="gradual", max_epochs=1),
    "features": PretrainedFeatures(Conv),
}


@pytest.mark.filterwarnings("ignore::sktricks.DroppedOnLoadWarning")
@pytest.mark.parametrize("kind", CHANGED_AFTER_FIT)
def test_archives_saved_after_changing_parameters_load_or_are_rejected(kind, tmp_path):
    X = TABLE if kind == "table" else GREY
    fitted = clone(CHANGED_AFTER_FIT[kind]).fit(X, NAMES)
    expected, refused = outputs(fitted, X), set()
    for name in CHANGES.keys() & fitted.get_params(deep=False):
        before = getattr(fitted, name)
        for value in CHANGES[name]:
            fitted.set_params(**{name: value})
            try:
                save(fitted, tmp_path / "archive")
            except TypeError as error:
                assert "save cannot store" in str(error)
                refused.add(name)
                continue
            roles = {role: getattr(fitted, role, None) for role in ("module", "backbone")}
            given = {role: one for role, one in roles.items() if one is not None and not isinstance(one, str)}
            params = {key: getattr(fitted, key) for key in ("loss", "validation_fraction") if hasattr(fitted, key)}
            params = {key: one for key, one in params.items() if not isinstance(one, str | float)}
            loaded = load(tmp_path / "archive", **given, params=params)
            np.testing.assert_array_equal(outputs(loaded, X), expected, err_msg=f"{name}={value!r}")
        fitted.set_params(**{name: before})
    assert {"optimizer", "loss"} <= refused or kind == "features"
    assert {"module", "backbone"} & refused


def test_the_error_about_a_changed_parameter_names_it_and_the_cure(tmp_path):
    fitted = net().fit(TABLE, NAMES).set_params(optimizer="sgd")
    with pytest.raises(
        TypeError, match="save cannot store optimizer: it must be 'adamw', .* got 'sgd'. Set it back, or"
    ):
        save(fitted, tmp_path / "archive")
    save(fitted.set_params(optimizer="adamw"), tmp_path / "archive")
    members = ensemble.VotingClassifier([("net", net())]).fit(TABLE, NAMES)
    members.estimators_[0].set_params(loss="bce")
    with pytest.raises(TypeError, match=r"save cannot store \S*loss: it must be 'auto'"):
        save(members, tmp_path / "archive")


def test_a_module_may_be_passed_with_another_name(tmp_path):
    loaded = save_and_load(net(module=Conv).fit(GREY, NAMES), tmp_path, module=partial(Conv))
    again = save_and_load(loaded, tmp_path, module=Conv)
    np.testing.assert_array_equal(outputs(again, GREY), outputs(loaded, GREY))


def test_a_loader_keeps_the_parameters_of_fit(tmp_path):
    fitted = ImageLoader((8, 9), flatten=True).fit([b"which fit does not open"]).set_params(size=7)
    loaded = save_and_load(fitted, tmp_path)
    assert loaded.size == 7
    assert loaded.get_feature_names_out().tolist() == fitted.get_feature_names_out().tolist()
    assert len(loaded.get_feature_names_out()) == 8 * 9 * 3


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be written: there is no folder '.*nowhere'"):
        save(RandomRotation().fit(GREY), tmp_path / "nowhere" / "archive")


def test_the_best_estimator_of_a_search_is_saved(tmp_path):
    search = GridSearchCV(net(), {"lr": [1e-3]}, cv=2).fit(TABLE, NAMES)
    with pytest.raises(TypeError, match="save cannot store a search, GridSearchCV: save its best_estimator_"):
        save(search, tmp_path / "archive")
    np.testing.assert_array_equal(
        outputs(save_and_load(search.best_estimator_, tmp_path), TABLE), outputs(search, TABLE)
    )


def test_a_feature_cache_is_restored_empty_and_without_its_folder(tmp_path):
    cache = FeatureCache(tmp_path / "features", max_bytes=2**20, dtype="float16")
    fitted = tuner(strategy="linear-probe", cache=cache).fit(GREY, NAMES)
    with pytest.warns(DroppedOnLoadWarning, match=r"cache='.*features'. Pass params=\{'cache': ...\}"):
        loaded = save_and_load(fitted, tmp_path, backbone=Conv)
    assert repr(loaded.cache) == "FeatureCache(None, max_bytes=1048576, dtype='float16')"
    assert loaded.cache.info().rows == 0
    np.testing.assert_array_equal(outputs(loaded, GREY), outputs(fitted, GREY))
    assert save_and_load(fitted, tmp_path, backbone=Conv, params={"cache": cache}).cache is cache
    for path in (str(tmp_path / "other"), tmp_path / "other"):
        with pytest.warns(DroppedOnLoadWarning, match="cache='.*other'"):
            assert save_and_load(fitted.set_params(cache=path), tmp_path, backbone=Conv).cache == "auto"
    assert not (tmp_path / "other").exists()


def test_the_memory_of_a_pipeline_is_not_opened(tmp_path):
    for memory in (str(tmp_path / "memory"), joblib.Memory(tmp_path / "memory", verbose=0)):
        fitted = Pipeline([("flip", RandomFlip()), ("net", net(max_epochs=1, module=Conv))], memory=memory)
        fitted.fit(GREY, NAMES)
        with pytest.warns(DroppedOnLoadWarning, match="memory='.*memory'"):
            loaded = save_and_load(fitted, tmp_path, module=Conv)
        assert loaded.memory is None
    assert save_and_load(fitted, tmp_path, module=Conv, params={"memory": memory}).memory is memory


def as_if_fitted_with(fitted, backbone):
    """Change an estimator as if ``fit`` had loaded its backbone by another name."""
    fitted.backbone = backbone
    fitted._built_with = describe_build(fitted)


def test_a_backbone_that_is_code_is_not_imported(tmp_path):
    fitted = PretrainedFeatures(Conv).fit(GREY)
    for spec in ("antigravity:fly", "file:/tmp/x.pt"):
        as_if_fitted_with(fitted, spec)
        save(fitted, tmp_path / "archive")
        with pytest.raises(ValueError, match=r"pass the value of backbone \('.*'\): load\(path, backbone=\.\.\.\)"):
            load(tmp_path / "archive")
        assert load(tmp_path / "archive", backbone=Conv).backbone is Conv
        manifest, arrays = manifest_of(tmp_path / "archive")
        manifest["estimator"]["params"]["backbone"] = spec
        write_archive(tmp_path / "archive", manifest, arrays)
        with pytest.raises(ValueError, match="never imported"):
            load(tmp_path / "archive")
    assert "antigravity" not in sys.modules


def test_the_weights_of_a_named_backbone_are_from_the_archive(tmp_path):
    fitted = PretrainedFeatures("tiny32").fit(GREY)
    fitted.backbone_.preprocess = replace(fitted.backbone_.preprocess, size=(16, 16), std=(0.5,) * 3)
    with torch.no_grad():
        fitted.backbone_.model.stem[0].weight.mul_(2)
    for spec in ("tiny32", "untrained:tiny32"):
        as_if_fitted_with(fitted, spec)
        loaded = save_and_load(fitted, tmp_path)
        assert loaded.backbone == spec
        np.testing.assert_array_equal(loaded.transform(GREY), fitted.transform(GREY))
    as_if_fitted_with(fitted, "file:gone.safetensors::tiny32")
    with pytest.warns(DroppedOnLoadWarning, match="backbone='file:gone.safetensors::tiny32'"):
        loaded = save_and_load(fitted, tmp_path)
    assert loaded.backbone == "untrained:tiny32"
    np.testing.assert_array_equal(loaded.transform(GREY), fitted.transform(GREY))


# -- what cannot be saved ----------------------------------------------------------------------------------------------


def test_not_fitted(tmp_path):
    for estimator in (net(), RandomFlip(), make_pipeline(net())):
        with pytest.raises(NotFittedError):
            save(estimator, tmp_path / "archive")
    assert list(tmp_path.iterdir()) == []


def test_values_that_are_not_estimators(tmp_path):
    with pytest.raises(TypeError, match="estimator must be an estimator"):
        save(Conv(), tmp_path / "archive")


def test_a_subclass_is_user_code(tmp_path):
    class Mine(NetClassifier):
        pass

    with pytest.raises(TypeError, match=r"cannot store the estimator: an instance of .*Mine"):
        save(Mine(max_epochs=1).fit(TABLE, NAMES), tmp_path / "archive")
    with pytest.raises(TypeError, match=r"cannot store mine: an instance of .*Mine"):
        save(Pipeline([("mine", Mine(max_epochs=1))]).fit(TABLE, NAMES), tmp_path / "archive")


def test_an_attribute_that_cannot_be_stored(tmp_path):
    fitted = net().fit(TABLE, NAMES)
    fitted.extra_ = object()
    with pytest.raises(
        TypeError, match="cannot store extra_: it is not a fitted attribute of NetClassifier. Delete it first"
    ):
        save(fitted, tmp_path / "archive")


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of another kind")
def test_permissions_of_new_and_replaced_files(tmp_path):
    flip = RandomFlip().fit(GREY)
    save(flip, tmp_path / "archive")
    (tmp_path / "plain").touch()
    assert mode_of(tmp_path / "archive") == mode_of(tmp_path / "plain")
    for mode in (0o600, 0o664, 0o400):
        (tmp_path / "archive").chmod(mode)
        save(flip, tmp_path / "archive")
        assert mode_of(tmp_path / "archive") == mode


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights")
def test_symbolic_links_are_followed(tmp_path):
    (tmp_path / "there").mkdir()
    for name, target in (("link", tmp_path / "there" / "target"), ("relative", Path("there") / "other")):
        (tmp_path / name).symlink_to(target)
        save(RandomFlip(p=0.25).fit(GREY), tmp_path / name)  # the target is created
        save(RandomFlip(p=0.5).fit(GREY), tmp_path / name)
        assert (tmp_path / name).is_symlink() and load(tmp_path / target).p == 0.5
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["other", "target"]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x" * 240 + ".safetensors"], ids=["x", "é", "suffix"])
def test_the_longest_possible_file_name(name, tmp_path):
    save(RandomFlip(p=0.25).fit(GREY), tmp_path / name)
    save(RandomFlip(p=0.5).fit(GREY), tmp_path / name)
    assert load(tmp_path / name).p == 0.5 and [path.name for path in tmp_path.iterdir()] == [name]


KILLED = """
import os, sys
import numpy as np
from sktricks import RandomFlip, save
os.fsync = lambda descriptor: os._exit(9)
save(RandomFlip().fit(np.zeros((2, 4, 4))), sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there the files of killed processes are removed a day later")
def test_files_of_a_killed_save_are_removed_by_the_next_one(tmp_path):
    for name in ("archive", "other"):
        assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)]).returncode == 9
    assert len(list(tmp_path.glob("*.tmp"))) == 2
    running = tmp_path / f"{temporary_prefix(tmp_path / 'archive')}{host_key()}-{os.getpid()}-0.tmp"
    elsewhere = tmp_path / f"{temporary_prefix(tmp_path / 'archive')}abcdef-1-0.tmp"
    for path in (running, elsewhere):
        path.touch()
    save(RandomFlip().fit(GREY), tmp_path / "archive")
    left = {path.name for path in tmp_path.iterdir()} - {"archive", running.name, elsewhere.name}
    assert running.exists() and elsewhere.exists() and len(left) == 1  # belongs to "other"
    os.utime(elsewhere, (0, 0))
    save(RandomFlip().fit(GREY), tmp_path / "archive")
    assert not elsewhere.exists() and running.exists()


def test_the_history_of_batches_is_small(tmp_path):
    fitted = net(max_epochs=30, batch_size=2, early_stopping=True).fit(TABLE, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    assert_same(list(loaded.net_.history), list(fitted.net_.history))
    short = net(max_epochs=1, batch_size=2, early_stopping=True).fit(TABLE, NAMES)
    sizes = [len(json.dumps(manifest_of(tmp_path / "archive")[0]))]
    save(short, tmp_path / "archive")
    sizes.append(len(json.dumps(manifest_of(tmp_path / "archive")[0])))
    assert sizes[0] < 1.1 * sizes[1]


class Versioned(nn.Linear):
    """A module that converts weights of its first version, as some of torchvision's do."""

    _version = 2

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
        if local_metadata.get("version", 1) < 2:
            raise ValueError("weights of the first version")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def test_modules_with_versioned_weights(tmp_path):
    fitted = net(module=Versioned).fit(TABLE, NAMES)
    loaded = save_and_load(fitted, tmp_path, module=Versioned)
    np.testing.assert_array_equal(loaded.predict_proba(TABLE), fitted.predict_proba(TABLE))


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "archive"
    save(RandomFlip(p=0.25).fit(GREY), path)

    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        save(RandomFlip().fit(GREY), path)
    assert [file.name for file in tmp_path.iterdir()] == ["archive"] and load(path).p == 0.25
    with pytest.raises(FileNotFoundError):
        save(RandomFlip().fit(GREY), tmp_path / "nowhere" / "archive")


# -- invalid files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    save(net().fit(TABLE, NAMES), tmp_path / "archive")
    return tmp_path / "archive"


@pytest.mark.parametrize("path", [None, 10**400, 1, True, b"archive", ["archive"]])
def test_a_path_of_another_type(path):
    for act in (lambda: save(RandomFlip().fit(GREY), path), lambda: load(path)):
        with pytest.raises(TypeError, match=r"path must be a str or os\.PathLike, got "):
            act()


def test_paths_that_cannot_be_files(tmp_path):
    for path in ("", "a\0b"):
        for act in (lambda path: save(RandomFlip().fit(GREY), path), load):
            with pytest.raises(ValueError, match="path must name a file, got '"):
                act(path)
    with pytest.raises(ValueError, match="path must name a file, got the folder "):
        save(RandomFlip().fit(GREY), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("params", ["p", 1, ["p"], [], np.array([1, 2])])
def test_params_that_are_not_a_dict(archive, params):
    with pytest.raises(TypeError, match="params must be a dict from names of parameters to values, or None, got"):
        load(archive, params=params)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        load(tmp_path / "nothing_here")


@pytest.mark.parametrize("place", [0.5, 0.9, 0.999])
def test_one_flipped_bit(archive, place):
    content = bytearray(archive.read_bytes())
    content[int(len(content) * place)] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ValueError, match="was altered or damaged"):
        load(archive)


def test_an_altered_manifest(archive):
    content = archive.read_bytes()
    assert content.count(b'\\"max_epochs\\": 3') == 1
    archive.write_bytes(content.replace(b'\\"max_epochs\\": 3', b'\\"max_epochs\\": 4'))
    with pytest.raises(ValueError, match="was altered or damaged"):
        load(archive)


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_truncated(archive, share):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"path=.*was not written by sktricks.save, or is truncated"):
        load(archive)


def test_another_version(archive, monkeypatch):
    monkeypatch.setattr("sktricks.persist._archive.VERSION", 9)
    save(RandomFlip().fit(GREY), archive)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="an archive of format 6, got format 9"):
        load(archive)


class Bomb:
    def __reduce__(self):
        return print, ("it ran",)


def test_a_pickle_is_not_opened(tmp_path, capsys):
    (tmp_path / "archive").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="looks like a pickle"):
        load(tmp_path / "archive")
    torch.save({"weights": Bomb()}, tmp_path / "archive")
    with pytest.raises(ValueError, match="was not written by sktricks.save"):
        load(tmp_path / "archive")
    assert "it ran" not in capsys.readouterr().out


def test_foreign_files(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a" * 100)
    with pytest.raises(
        ValueError, match="not written by sktricks.save.*written by export_onnx: load it with load_onnx"
    ):
        load(tmp_path / "model.onnx")
    save_file({"weight": np.ones(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="has tensors, but was not written by sktricks.save"):
        load(tmp_path / "weights.safetensors")
    (tmp_path / "text").write_text("a,b,c\n" * 100)
    with pytest.raises(ValueError, match="was not written by sktricks.save"):
        load(tmp_path / "text")
    with pytest.raises(OSError):
        load(tmp_path)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"$": "own", "class": "system"}, "unknown class 'system'"),
        ({"$": "own", "class": "Backbone"}, "unknown class 'Backbone'"),
        ({"$": "own", "class": "load"}, "unknown class 'load'"),
        ({"$": "settings", "class": "Popen"}, "unknown class 'Popen'"),
        ({"$": "sklearn", "class": "os.system"}, r"unknown class 'sklearn os\.system'"),
        ({"$": "call", "function": "os.system"}, "unknown kind 'call'"),
        ({"$": "own", "class": "RandomFlip", "name": "", "params": {"q": 1}}, r"parameters \['q'\]"),
        ({"$": "array", "key": "x", "dtype": "O", "shape": [1]}, "an array of dtype 'O'"),
        ({"$": "array", "key": "x", "dtype": "i4,O", "shape": [1]}, "an array of dtype"),
        ({"$": "random_state", "state": ["MT19937", [0] * 624, 10**6, 0, 0.0]}, "a numpy random state"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_forged_manifest(node, message, tmp_path):
    write_archive(tmp_path / "archive", {"estimator": node}, {"x": np.zeros(16, np.uint8)})
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "archive")


def forge(path, change):
    """Change the manifest of an archive, and update its checksum."""
    manifest, arrays = manifest_of(path)
    change(manifest["estimator"], arrays)
    write_archive(path, manifest, arrays)


def put(value, *where):
    """Return a change that sets a value at a position."""

    def change(node, arrays):
        for key in where[:-1]:
            node = node[key]
        node[where[-1]] = value

    return change


def as_tuple(*items):
    return {"$": "tuple", "items": items}


FEATURES, SCRATCH_NET = PretrainedFeatures(), tuner(backbone="tiny32", max_epochs=1)
FORGED = {
    "a parameter": (FEATURES, put("file:x::os:abort", "learned", "backbone"), r"learned\.backbone must be absent"),
    "a method": (net(), put(None, "learned", "predict"), r"learned\.predict must be absent"),
    "the net": (net(), put({"$": "torch", "value": "nn.Identity"}, "learned", "_net"), r"learned\._net must be absent"),
    "code": (FEATURES, put("bystander:main", "params", "backbone"), r"params\.backbone must be .* never imported"),
    "models of folds": (
        ensemble.StackingClassifier([("net", net())], net(), cv=2, refit=False),
        put("file:x::os:abort", "learned", "named_estimators_", "items", 0, 1, "params", "target"),
        "must have a Target as target, got a str",
    ),
    "a hub": (FEATURES, put("hf:someone/repo", "params", "backbone"), r"params\.backbone must be"),
    "a folder": (FEATURES, put("timm:../x", "params", "backbone"), r"params\.backbone must be"),
    "compiling": (net(), put({"compile": True}, "params", "net_params"), "the entry 'compile' of net_params"),
    "a module": (net(), put({"$": "torch", "value": "nn.Transformer"}, "params", "module"), r"params\.module must be"),
    "columns": (net(), put(10**9, "learned", "n_features_in_"), r"must have 1000000000 columns, got 5"),
    "columns of a net": (
        SCRATCH_NET,
        put(10**9, "learned", "n_features_in_"),
        r"embed\.weight of shape \(128, 1000000000\)",
    ),
    "depth": (net(), put({"module__depth": 10**9}, "params", "net_params"), "weights of 1000000000 blocks, got 2"),
    "width": (net(), put({"module__width": 10**9}, "params", "net_params"), r"head\.weight of shape \(2, 1000000000\)"),
    "features": (FEATURES, put(10**9, "learned", "_n_features_out"), "must have 1920 features"),
    "images": (
        FEATURES,
        put({"$": "tuple", "items": [10**5, 10**5, 3]}, "learned", "image_shape_"),
        "image_shape_ must",
    ),
    "preprocessing": (
        FEATURES,
        put({"$": "tuple", "items": [10**9] * 2}, "trained", "preprocess", "size"),
        "as size of its",
    ),
    "missing": (
        net(),
        lambda node, arrays: node["learned"].pop("classes_"),
        r"learned\.classes_ must be .*, got nothing",
    ),
    "NaN": (net(), put({"$": "float", "value": "nan"}, "params", "lr"), "'lr' parameter"),
    "a bool": (net(), put(True, "learned", "n_iter_"), r"learned\.n_iter_ must be an int .*, got True"),
    "a bit": (
        VotingRegressor([("a", NetRegressor(max_epochs=1))]),
        put("drop", "learned", "named_estimators_", "items", 0, 1),
        "must have 1 named members",
    ),
}


@pytest.mark.filterwarnings("ignore::sktricks.NoPretrainedBackboneWarning")
@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_estimator(kind, tmp_path, monkeypatch):
    estimator, change, message = FORGED[kind]
    (tmp_path / "bystander.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    X = TABLE if kind == "a table" or not isinstance(estimator, PretrainedFeatures) else GREY
    save(clone(estimator).fit(X, VALUES[:, 0] if is_regressor(estimator) else NAMES), tmp_path / "archive")
    forge(tmp_path / "archive", change)
    with pytest.raises(ValueError, match=rf"path='.*archive' is not a valid archive: .*{message}"):
        load(tmp_path / "archive")
    assert "bystander" not in sys.modules


def test_numpy_strings_are_not_accepted_as_strings(archive):
    def change(node, arrays):
        arrays["word"] = np.frombuffer(np.array("adam").tobytes(), np.uint8)
        node["params"]["optimizer"] = {"$": "scalar", "key": "word", "dtype": "<U4", "shape": []}

    forge(archive, change)
    with pytest.raises(ValueError, match=r"params\.optimizer must be"):
        load(archive)


def test_a_search_over_arrays_can_be_saved(tmp_path):
    width = {"module__width": np.arange(16, 20)[0]}
    fitted = net(optimizer=np.array(["sgd"])[0], net_params=width, max_epochs=np.int64(2)).fit(TABLE, NAMES)
    loaded = save_and_load(fitted, tmp_path)
    assert type(loaded.optimizer) is str and loaded.net_params == width


def test_a_device_that_does_not_exist(tmp_path):
    fitted = tuner(strategy="linear-probe").fit(GREY, NAMES)
    expected = fitted.predict_proba(GREY)
    fitted._device = torch.device("cuda:63")
    loaded = save_and_load(fitted, tmp_path, backbone=Conv)
    assert loaded._device == torch.device("cpu")
    np.testing.assert_array_equal(loaded.predict_proba(GREY), expected)


def test_loading_does_not_advance_generators(archive):
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    load(archive)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_augmenters_are_saved_and_loaded_without_torch(tmp_path):
    code = f"""
import sys
import numpy as np
from sktricks import RandomFlip, load, save
save(RandomFlip().fit(np.zeros((2, 4, 4))), {str(tmp_path / "archive")!r})
load({str(tmp_path / "archive")!r})
assert not {{"torch", "skorch"}} & set(sys.modules)
"""
    root = Path(sktricks.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
