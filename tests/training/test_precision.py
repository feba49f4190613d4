"""precision: float32 by default on a CPU, bfloat16 by autocast if requested."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

import sktricks
from sktricks import (
    FineTuneClassifier,
    FineTuneRegressor,
    NetClassifier,
    NetEnsembleClassifier,
    NetRegressor,
    PretrainedFeatures,
    SlowPrecisionWarning,
    load,
    save,
)
from sktricks.training._precision import choose_precision, fit_precision

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 8, 8, 1)).astype(np.uint8)
TABLE = RNG.normal(size=(24, 4))
LABELS = np.arange(24) % 2
VALUES = TABLE[:, 0]
QUICK = {"max_epochs": 2, "random_state": 0}
CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


class Note(nn.Module):
    """Records the dtypes of its inputs and of the outputs of a convolution."""

    seen: set = set()

    def __init__(self, n_outputs=2, dtype=torch.float32):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 3, 3, dtype=dtype), nn.Linear(3, n_outputs, dtype=dtype)

    def forward(self, x):
        features = self.conv(x).mean((2, 3))
        Note.seen.add((x.dtype, features.dtype))
        return self.head(features)


@pytest.fixture(autouse=True)
def has_bfloat16(monkeypatch):
    """Pretend that the processor has instructions for bfloat16, to avoid the warning about emulation."""
    monkeypatch.setattr(sktricks.training._precision, "computes_bfloat16", lambda device: True)
    Note.seen.clear()


@pytest.mark.parametrize(
    ("precision", "device", "images", "capable", "expected"),
    [
        ("auto", CPU, True, True, "float32"),
        ("auto", CUDA, True, True, "bfloat16"),
        ("auto", CUDA, True, False, "float32"),
        ("auto", CUDA, False, True, "float32"),
        ("auto", MPS, True, True, "float32"),
        ("float32", CUDA, True, True, "float32"),
        ("bfloat16", CPU, True, True, "bfloat16"),
        ("bfloat16", CPU, False, True, "bfloat16"),
    ],
)
def test_what_is_chosen(precision, device, images, capable, expected, monkeypatch):
    monkeypatch.setattr(sktricks.training._precision, "computes_bfloat16", lambda device: capable)
    assert choose_precision(precision, device, images) == expected


def test_a_processor_without_instructions_for_bfloat16_warns(monkeypatch):
    monkeypatch.setattr(sktricks.training._precision, "computes_bfloat16", lambda device: False)
    with pytest.warns(SlowPrecisionWarning, match="this processor has no instructions"):
        net = NetClassifier(Note, precision="bfloat16", **QUICK).fit(IMAGES, LABELS)
    assert net.precision_ == "bfloat16" and np.isfinite(net.predict_proba(IMAGES)).all()


def test_bfloat16_needs_a_device_that_has_it():
    with pytest.raises(ValueError, match="precision='bfloat16' requires a device of type 'cpu' or 'cuda', got 'mps'"):
        choose_precision("bfloat16", MPS, images=True)


def test_a_wrong_precision_is_named():
    with pytest.raises(ValueError, match="precision.*float16"):
        NetClassifier(precision="float16").fit(TABLE, LABELS)


@pytest.mark.parametrize(("precision", "computed"), [("auto", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_module_computes_in_the_precision(precision, computed):
    net = NetClassifier(Note, precision=precision, **QUICK).fit(IMAGES, LABELS)
    net.predict(IMAGES)
    assert Note.seen == {(torch.float32, computed)}
    assert net.predict_proba(IMAGES).dtype == np.float32
    assert {tensor.dtype for tensor in net.net_.module_.state_dict().values()} == {torch.float32}


def test_float64_stays_float64():
    net = NetClassifier(Note, net_params={"module__dtype": torch.float64}, precision="bfloat16", **QUICK)
    with pytest.raises(ValueError, match="precision='bfloat16' requires a module with float32 parameters, got float64"):
        net.fit(IMAGES, LABELS)
    backbone = Note(dtype=torch.float64)
    with pytest.raises(ValueError, match="requires a backbone with float32 parameters, got float64"):
        FineTuneClassifier(backbone, precision="bfloat16", **QUICK).fit(IMAGES, LABELS)
    assert fit_precision("bfloat16", "auto", torch.float64, "module") == "float32"


NETS = {
    "table": (NetClassifier(precision="bfloat16", **QUICK), TABLE, LABELS),
    "values": (NetRegressor(precision="bfloat16", **QUICK), TABLE, VALUES),
    "images": (NetClassifier(precision="bfloat16", **QUICK), IMAGES, LABELS),
    "probe": (FineTuneClassifier(strategy="linear-probe", precision="bfloat16", **QUICK), IMAGES, LABELS),
    "fine-tune": (FineTuneClassifier(strategy="fine-tune", precision="bfloat16", **QUICK), IMAGES, LABELS),
    "lp-ft": (FineTuneClassifier(strategy="lp-ft", precision="bfloat16", **QUICK), IMAGES, LABELS),
    "partly": (FineTuneRegressor(freeze_until="stage2", precision="bfloat16", **QUICK), IMAGES, VALUES),
    "features": (PretrainedFeatures(precision="bfloat16"), IMAGES, None),
}


def outputs_of(estimator, X):
    names = ("predict_proba", "predict", "transform")
    return next(getattr(estimator, name) for name in names if hasattr(estimator, name))(X)


@pytest.mark.parametrize("case", NETS)
def test_bfloat16_differs_by_its_rounding_only(case):
    estimator, X, y = NETS[case]
    half, plain = clone(estimator).fit(X, y), clone(estimator).set_params(precision="auto").fit(X, y)
    assert (half.precision_, plain.precision_) == ("bfloat16", "float32")
    outputs = outputs_of(plain, X)
    assert 0 < np.abs(outputs_of(half, X) - outputs).max() < 0.05 * np.abs(outputs).max()


@pytest.mark.parametrize("case", ["table", "probe", "fine-tune", "partly", "features"])
def test_a_net_of_bfloat16_comes_back(case, tmp_path):
    estimator, X, y = NETS[case]
    fitted = clone(estimator).fit(X, y)
    save(fitted, tmp_path / "net")
    for again in (load(tmp_path / "net"), pickle.loads(pickle.dumps(fitted))):
        assert again.precision_ == "bfloat16"
        assert np.array_equal(outputs_of(again, X), outputs_of(fitted, X))


@pytest.mark.parametrize("case", ["features", "fine-tune"])
def test_a_row_alone_is_predicted_as_among_others(case):
    estimator, X, y = NETS[case]
    fitted = clone(estimator).set_params(cache=None).fit(X, y)
    rows = np.concatenate([outputs_of(fitted, X[row : row + 1]) for row in range(4)])
    assert np.array_equal(rows, outputs_of(fitted, X)[:4])


def test_an_ensemble_of_nets_of_bfloat16_is_trained_one_by_one():
    net = NetClassifier(precision="bfloat16", **QUICK)
    ensemble = NetEnsembleClassifier(net, n_members=2, random_state=0).fit(TABLE, LABELS)
    assert {member.precision_ for member in ensemble.estimators_} == {"bfloat16"}
    assert np.isfinite(ensemble.predict_proba(TABLE)).all()


def test_features_of_both_precisions_are_kept_apart():
    cache = sktricks.FeatureCache()
    for precision in ("float32", "bfloat16", "auto"):
        PretrainedFeatures(precision=precision, cache=cache).fit_transform(IMAGES)
    assert (cache.info().encoded, cache.info().reused) == (48, 24)
