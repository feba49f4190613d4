from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochScoring
from torch import nn

from sktricks import (
    Diagnosis,
    Finding,
    FineTuneClassifier,
    FreezeLayers,
    GaussianNoise,
    MixUp,
    NetClassifier,
    NetRegressor,
    RandomRotation,
    diagnose,
    load_backbone,
)
from sktricks.inspection import _short_training as _probe
from sktricks.inspection._checks import CHECKS, Check, run_checks
from sktricks.inspection._checks_rows import augmentation_too_strong
from sktricks.inspection._evidence import Evidence
from sktricks.inspection._row_statistics import column_moments, signal_of
from sktricks.training._rows import check_rows

X, y = make_classification(240, 6, n_informative=4, n_redundant=0, random_state=0)
VALUES = X[:, 0] * 2 + X[:, 1] * X[:, 2]
DIGITS, LABELS = load_digits(return_X_y=True)
FAST = {"batch_size": 60, "random_state": 0}
SMALL = {**FAST, "net_params": {"module__width": 16}}


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch):
    monkeypatch.setattr(_probe, "STEPS", 50)
    monkeypatch.setattr(_probe, "FEW_STEPS", 80)
    monkeypatch.setattr(_probe, "SECONDS", 60)  # of a busy machine


def codes(diagnosis, *severities):
    return {one.code for one in diagnosis.findings if one.severity in (severities or ("error", "warning"))}


def finding(code, estimator, X=X, y=y, **params):
    found = {one.code: one for one in diagnose(estimator, X, y, **params).findings}
    assert code in found, list(found)
    return found[code]


class Plain(nn.Module):
    """A net in which something can be done wrong."""

    def __init__(self, n_features, n_outputs, width=32):
        super().__init__()
        self.first = nn.Linear(n_features, width)
        self.relu = nn.ReLU()
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x):
        return self.head(self.relu(self.first(x)))


# -- each fault, planted -----------------------------------------------------------------------------------------------


def test_inputs_not_scaled():
    large = X * [1e4, 1, 1, 1, 1, 1]
    found = finding("inputs-not-scaled", NetClassifier(Plain, **FAST), large)
    assert found.severity == "warning" and "column 0" in found.evidence
    named = pd.DataFrame(large, columns=list("abcdef"))
    assert "'a'" in finding("inputs-not-scaled", NetClassifier(Plain, **FAST), named).evidence
    for fine in (NetClassifier(**SMALL), make_pipeline(StandardScaler(), NetClassifier(Plain, **FAST))):
        assert "inputs-not-scaled" not in codes(diagnose(fine, large, y))


@pytest.mark.parametrize("factor, size", [(1e-9, "e-09"), (1e9, "e+09")])
def test_the_scale_of_columns_is_named(factor, size):
    for net in (NetClassifier(**SMALL), NetClassifier(Plain, **FAST)):
        found = finding("extreme-scale", net, X * factor)
        assert found.severity == "note" and size in found.evidence and "6 of 6 columns" in found.evidence
    assert size in finding("inputs-not-scaled", NetClassifier(Plain, **FAST), X * factor).evidence
    assert "inputs-not-scaled" not in codes(diagnose(NetClassifier(**SMALL), X * factor, y))


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_columns_at_the_ends_of_float64_are_looked_at_like_others(factor):
    diagnosis = diagnose(NetClassifier(**SMALL), np.c_[X, y] * factor, y)
    assert codes(diagnosis) == {"target-in-column"} and "constant-column" not in codes(diagnosis, "note")
    assert "target-in-column" in codes(diagnose(NetRegressor(**SMALL), np.c_[X, VALUES] * factor, VALUES))


def test_columns_at_the_limit_of_their_resolution():
    times = np.c_[X, 1.7e9 + np.linspace(0, 100, 240)]
    assert "coarse-column" not in codes(diagnose(NetClassifier(**SMALL), times, y))
    rough = finding("coarse-column", NetClassifier(Plain, **FAST), times)
    assert rough.severity == "warning" and "column 6 has values up to 1.7e+09" in rough.evidence
    assert "float32 numbers of that size differ by about 2e+02" in rough.evidence
    assert "coarse-column" in codes(
        diagnose(NetClassifier(**SMALL), (times * [1, 1, 1, 1, 1, 1, 10]).astype(np.float32), y)
    )


def test_targets_in_a_unit_that_the_loss_sees():
    found = finding("target-not-scaled", NetRegressor(loss=nn.MSELoss(), **SMALL), y=VALUES * 1e-6)
    assert found.severity == "warning" and "e-06" in found.evidence
    assert "target-not-scaled" not in codes(diagnose(NetRegressor(**SMALL), X, VALUES * 1e-6))


def test_constant_and_duplicated_columns():
    spoilt = np.c_[X, np.full(240, 3.0), X[:, 2], np.full(240, 3.0)]
    diagnosis = diagnose(NetClassifier(**SMALL), spoilt, y)
    assert codes(diagnosis) == {"duplicated-column"} and "constant-column" in codes(diagnosis, "note")
    told = {one.code: one.evidence for one in diagnosis.findings}
    assert "column 7 has the values of column 2" in told["duplicated-column"]
    assert "2 of 9 columns have one value: column 6, column 8" in told["constant-column"]


class RootOfZero(Plain):
    def forward(self, x):
        zero = self.first(x) * 0
        return super().forward(x) + torch.sqrt(zero.sum(1, keepdim=True))


def test_nan_in_a_gradient():
    found = finding("nan-in-gradient", NetClassifier(RootOfZero, **FAST))
    assert found.severity == "error" and "step 1" in found.evidence


def test_a_learning_rate_too_high():
    found = finding("learning-rate-too-high", NetRegressor(Plain, **FAST, optimizer="sgd", lr=50.0), y=VALUES)
    assert found.severity == "error" and "lr=50" in found.evidence
    assert "range test suggests" in finding("learning-rate-too-high", NetClassifier(**SMALL, lr=30.0)).evidence


def test_a_learning_rate_too_low():
    found = finding("learning-rate-too-low", NetClassifier(**SMALL, lr=1e-7))
    assert found.severity == "warning" and "lr='auto'" in found.remedy


class Detached(Plain):
    def forward(self, x):
        return self.head(self.relu(self.first(x)).detach())


class WhollyDetached(Plain):
    def forward(self, x):
        return super().forward(x).detach()


class Softmax(Plain):
    def forward(self, x):
        return super().forward(x).softmax(1)


def upside_down(y_pred, y_true, reduction="none"):
    return -nn.functional.cross_entropy(y_pred, y_true, reduction=reduction).clamp(max=50)


def test_a_detached_layer():
    found = finding("no-gradient", NetClassifier(Detached, **FAST))
    assert "first.bias, first.weight" in found.evidence and "head" not in found.evidence
    diagnosis = diagnose(NetClassifier(WhollyDetached, **FAST), X, y)
    assert {"no-gradient", "training-fails"} <= codes(diagnosis, "error")


class NoUse(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.offsets = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, x):
        return self.offsets.expand(len(x), -1)


@pytest.mark.parametrize(
    "net", [NetClassifier(Plain, **FAST, loss=upside_down), NetClassifier(NoUse, **FAST)], ids=["loss", "blind"]
)
def test_a_net_that_cannot_learn_one_batch(net):
    assert finding("one-batch-not-learned", net).severity == "error"


def test_a_softmax_before_cross_entropy():
    assert finding("softmax-before-loss", NetClassifier(Softmax, **FAST)).severity == "error"


class Alike(Plain):
    def __init__(self, n_features, n_outputs, value=0.0):
        super().__init__(n_features, n_outputs)
        for parameter in self.parameters():
            nn.init.constant_(parameter, value)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_weights_zero_or_one(value):
    net = NetClassifier(Alike, **FAST, net_params={"module__value": value})
    assert "first.weight, head.weight" in finding("weights-all-alike", net).evidence


class Deep(nn.Module):
    def __init__(self, n_features, n_outputs, activation=nn.Sigmoid, gain=1.0, depth=12):
        super().__init__()
        layers = [nn.Linear(n_features if not k else 16, 16) for k in range(depth)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=gain / 4)
        self.body = nn.Sequential(*[part for layer in layers for part in (layer, activation())])
        self.head = nn.Linear(16, n_outputs)

    def forward(self, x):
        return self.head(self.body(x))


def test_vanishing_gradients():
    net = NetClassifier(Deep, **FAST, net_params={"module__gain": 0.5})
    assert "body.0.weight" in finding("vanishing-gradients", net).evidence


def test_exploding_gradients():
    net = NetClassifier(Deep, **FAST, net_params={"module__gain": 6.0, "module__activation": nn.Identity}, lr=1e-5)
    assert "times their weights" in finding("exploding-gradients", net).evidence


class Dead(Plain):
    def __init__(self, n_features, n_outputs, functional=False):
        super().__init__(n_features, n_outputs)
        nn.init.constant_(self.first.bias, -100.0)
        self.functional = functional

    def forward(self, x):
        return self.head(torch.relu(self.first(x))) if self.functional else super().forward(x)


@pytest.mark.parametrize(("functional", "name"), [(False, "relu"), (True, "the module")])
def test_dead_relus(functional, name):
    net = NetClassifier(Dead, **FAST, net_params={"module__functional": functional})
    assert f"100% of the units of {name}" in finding("dead-relus", net).evidence


def test_labels_that_look_shuffled():
    shuffled = np.random.default_rng(0).permutation
    assert "correlate" in finding("labels-look-shuffled", NetClassifier(**SMALL), y=shuffled(y)).evidence
    assert finding("labels-look-shuffled", NetRegressor(**SMALL), y=shuffled(VALUES)).severity == "warning"


def test_a_column_that_is_the_target():
    leak = np.c_[X, np.where(y, 7.0, -2.0)]
    assert "column 6" in finding("target-in-column", NetClassifier(**SMALL), leak).evidence
    leak = np.c_[X, np.exp(VALUES / 3)]
    assert "column 6" in finding("target-in-column", NetRegressor(**SMALL), leak, VALUES).evidence


def test_imbalance_with_accuracy_as_the_only_score():
    rows = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:12]]
    rare = X[rows], np.array(["no", "yes"])[y[rows]]
    assert "class yes has 12 rows" in finding("imbalance", NetClassifier(**SMALL), *rare).evidence
    for knob in ({"class_weight": "balanced"}, {"callbacks": [EpochScoring("balanced_accuracy")]}):
        assert "imbalance" not in codes(diagnose(NetClassifier(**SMALL, **knob), *rare))


def test_no_validation_data():
    assert finding("no-validation-data", NetClassifier(**SMALL)).severity == "note"
    assert "no-validation-data" not in codes(diagnose(NetClassifier(**SMALL, early_stopping=True), X, y), "note")
    diagnosis = diagnose(NetClassifier(**SMALL), X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert "no-validation-data" not in codes(diagnosis, "note")


def test_a_validation_loss_that_turned():
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(240) < 0.3, 1 - y, y)
    parts = {"X_val": X[120:], "y_val": noisy[120:]}
    net = NetClassifier(batch_size=60, lr=1e-2, max_epochs=40, random_state=0)
    assert finding("validation-loss-turned", net, X[:120], noisy[:120], **parts).severity == "warning"
    net.fit(X[:120], noisy[:120], **parts)  # of a fitted net the training itself tells
    assert "of 40" in finding("validation-loss-turned", net, X[:120], noisy[:120]).evidence
    net.set_params(early_stopping=True)
    assert "validation-loss-turned" not in codes(diagnose(net, X[:120], noisy[:120], **parts))


class Normed(nn.Module):
    def __init__(self, n_features, n_outputs, frozen=False):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.head = nn.Linear(16, n_outputs)
        if frozen:
            self.body.requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x))


def test_batch_norm_with_batches_of_two():
    found = finding("batch-norm-of-few-rows", NetClassifier(Normed, batch_size=2, random_state=0))
    assert "body.1" in found.evidence and found.severity == "error"
    single = diagnose(NetClassifier(Normed, batch_size=1, random_state=0), X, y)
    assert {"batch-norm-of-few-rows", "training-fails"} & codes(single, "error")
    assert "batch-norm-of-few-rows" not in codes(diagnose(NetClassifier(Normed, **FAST), X, y))


def test_a_frozen_part_that_still_changes():
    found = finding("frozen-part-changes", NetClassifier(Normed, **FAST, net_params={"module__frozen": True}))
    assert "body.1.running_mean" in found.evidence and found.severity == "error"
    held = NetClassifier(Normed, **FAST, callbacks=[FreezeLayers("head")])
    assert "frozen-part-changes" not in codes(diagnose(held, X, y))


class Unused(Plain):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        self.spare = nn.Linear(4, 4)


def test_a_trainable_part_without_gradient():
    found = finding("no-gradient", NetClassifier(Unused, **FAST))
    assert "spare.bias, spare.weight" in found.evidence and found.severity == "warning"


def test_a_head_that_was_not_replaced():
    found = finding("head-not-replaced", NetClassifier(Plain(6, 1000), **FAST))
    assert "1000 outputs, y needs 2" in found.evidence
    assert finding("head-not-replaced", NetRegressor(Plain(6, 10), **FAST), y=VALUES).severity == "error"


def test_an_augmentation_too_strong():
    strong = NetClassifier(image_shape=(8, 8), augmenter=GaussianNoise(5.0), **SMALL)
    assert finding("augmentation-too-strong", strong, DIGITS[:200], LABELS[:200]).severity == "warning"


@pytest.mark.parametrize(
    ("augmenter", "params", "recognised"),
    [
        (RandomRotation(15), {"image_shape": (8, 8)}, True),
        (MixUp(), {"image_shape": (8, 8)}, True),
        (GaussianNoise(5.0), {"image_shape": (8, 8)}, False),
        (GaussianNoise(0.1), {}, True),
        (GaussianNoise(30.0), {}, False),
    ],
)
def test_what_a_forest_recognises_after_augmentation(augmenter, params, recognised):
    net = NetClassifier(augmenter=augmenter, **params)
    rows, targets = (DIGITS[:200], LABELS[:200]) if params else (X, y)
    checked = check_rows(net, rows, targets, fresh=True)
    plain, augmented = _probe.compare_augmented(net, checked.X, checked.y)
    assert (
        plain > 0.5 and (augmentation_too_strong(Evidence(augmented_signal=(plain, augmented))) is None) == recognised
    )


def test_a_training_that_fails():
    found = finding("training-fails", NetClassifier(nn.Linear(5, 2), **FAST))
    assert "RuntimeError" in found.evidence and found.severity == "error"


# -- no false alarm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "data"),
    [
        (NetClassifier(random_state=0), load_breast_cancer(return_X_y=True)),
        (NetClassifier(random_state=0), load_wine(return_X_y=True)),
        (NetClassifier(random_state=0), (DIGITS[:600], LABELS[:600])),
        (NetRegressor(random_state=0), load_diabetes(return_X_y=True)),
        (NetClassifier(random_state=0), make_classification(300, 20, random_state=0)),
        (FineTuneClassifier(image_shape=(8, 8), random_state=0), (DIGITS[:100], LABELS[:100])),
        (FineTuneClassifier(image_shape=(8, 8), strategy="fine-tune", batch_size=16), (DIGITS[:60], LABELS[:60])),
        (NetRegressor(**SMALL, lr="auto"), (X, np.c_[VALUES, -VALUES])),
        (NetClassifier(**SMALL), (X, np.c_[X[:, 0] > 0, X[:, 1] > 0].astype(int))),
        (NetClassifier(**SMALL, early_stopping=True), (X, np.c_[1 - y, y] * 0.8 + 0.1)),
    ],
    ids=["breast_cancer", "wine", "digits", "diabetes", "made up", "probe", "fine-tune", "auto", "multilabel", "soft"],
)
def test_no_false_alarm(net, data, monkeypatch):
    monkeypatch.setattr(_probe, "STEPS", 40)
    diagnosis = diagnose(net, *data)
    assert not codes(diagnosis), str(diagnosis)


# -- the report --------------------------------------------------------------------------------------------------------


def test_the_most_severe_comes_first():
    checks = [
        Check(code, severity, "", lambda seen: ("e", "c", "r"))
        for code, severity in zip("abcd", ["note", "error"] * 2, strict=True)
    ]
    assert [one.code for one in run_checks(Evidence(), checks)] == ["b", "d", "a", "c"]


def test_it_reads_on_a_terminal_and_in_a_notebook():
    found = Finding("some-code", "warning", "column '<b>' & more " * 9, "a cause", "a remedy")
    diagnosis = Diagnosis((found, Finding("other", "note", "e", "c", "r")), "NetClassifier on 9 rows")
    assert repr(diagnosis) == "<Diagnosis of NetClassifier on 9 rows: 1 warning, 1 note>"
    text = str(diagnosis)
    assert text.startswith("NetClassifier on 9 rows: 1 warning, 1 note\n\nwarning: some-code\n  evidence: column")
    assert max(map(len, text.splitlines())) <= 100 and "\n            " in text
    html = diagnosis._repr_html_()
    assert "&lt;b&gt;&#x27; &amp; more" in html and "<b>' &" not in html and html.count("<table>") == 2
    assert str(Diagnosis((), "NetClassifier on 9 rows")) == "NetClassifier on 9 rows: nothing found"


def test_every_check_is_silent_where_nothing_was_seen():
    assert len({check.find for check in CHECKS}) == len(CHECKS) > 20
    assert [check.code for check in CHECKS if check.find(Evidence()) is not None] == []


def test_every_check_stands_in_the_docstring():
    table = [line.strip() for line in diagnose.__doc__.splitlines()]
    for check in CHECKS:
        assert any(line.startswith(f'"{check.code}" ') and line.endswith(check.summary) for line in table)
    assert max(map(len, diagnose.__doc__.splitlines())) <= 120


# -- what it does not do -----------------------------------------------------------------------------------------------


def test_nothing_that_was_given_is_changed():
    module, rows, targets = Plain(6, 2), X.copy(), y.copy()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    net = NetClassifier(module, **FAST, max_epochs=2).fit(X, y)
    proba, state = net.predict_proba(X), torch.get_rng_state()
    diagnose(net, X, y)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert (net.predict_proba(X) == proba).all() and torch.equal(state, torch.get_rng_state())
    assert (rows == X).all() and (targets == y).all()


@pytest.mark.parametrize("estimator", [LogisticRegression(), make_pipeline(StandardScaler()), NetClassifier, None])
def test_an_estimator_that_is_no_net_is_an_error(estimator):
    with pytest.raises(TypeError, match="estimator of diagnose must be a NetClassifier"):
        diagnose(estimator, X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"y": y[:-1]}, "inconsistent numbers of samples"),
        ({"y": np.zeros(240)}, "at least two classes"),
        ({"X": np.full((240, 6), np.inf)}, "contains infinity"),
        ({"X_val": X}, "X_val and y_val must be passed together"),
    ],
)
def test_rows_that_do_not_fit_are_an_error(params, message):
    with pytest.raises(ValueError, match=message):
        diagnose(NetClassifier(**SMALL), **{"X": X, "y": y, **params})


def test_few_rows_are_enough():
    assert isinstance(diagnose(NetClassifier(**SMALL), X[:6], [0, 1, 0, 1, 0, 1]), Diagnosis)


def test_moments_are_of_the_values_that_are_there():
    rows = np.array([[1.0, 5.0, np.nan], [np.nan, 5.0, np.nan], [3.0, np.nan, np.nan]])
    mean, spread = column_moments(rows)
    np.testing.assert_array_equal(mean, [2, 5, 0])
    np.testing.assert_array_equal(spread, [1, 0, 0])


def test_a_table_as_it_comes_is_no_fault():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": rng.normal(size=120), "town": pd.Categorical(rng.choice(["a", "b"], 120))})
    target = ((table["size"] > 0) ^ (table.town == "a")).to_numpy().astype(int)
    table.loc[::7, "size"] = np.nan
    table.loc[::11, "town"] = np.nan
    found = diagnose(NetClassifier(max_epochs=5, random_state=0), table, target)
    assert all(finding.severity == "note" for finding in found.findings)


def test_a_training_that_diverges_is_a_finding():
    found = diagnose(NetClassifier(**SMALL, optimizer="sgd", lr=1e6), X.astype(np.float32), y).findings
    assert found[0].code == "learning-rate-too-high"
    assert "nan" in found[0].evidence
    far = {"X_val": np.full((4, 6), 3e38, np.float32), "y_val": [0, 1, 0, 1]}
    found = diagnose(NetClassifier(**SMALL), X.astype(np.float32), y, **far).findings
    assert found[0].code == "training-fails"
    assert "diverged in epoch 1, where the validation loss is" in found[0].evidence


@pytest.mark.parametrize("unit", [1e-13, 1e13])
def test_the_unit_of_y_does_not_hide_what_there_is_to_learn(unit):
    assert "labels-look-shuffled" not in codes(diagnose(NetRegressor(**SMALL), X, VALUES * unit))
    signals = [signal_of(X, np.c_[VALUES, X[:, 2]] * factor) for factor in (1, unit)]
    np.testing.assert_allclose(signals[1], signals[0], rtol=0.05)


def test_validation_rows_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="X_val has 2 features"):
        diagnose(NetClassifier(**SMALL), X, y, X_val=X[:, :2], y_val=y)


@pytest.mark.parametrize("side", [64, 65])
def test_the_strategy_is_that_of_all_rows_and_of_the_size_of_the_backbone(side, monkeypatch):
    monkeypatch.setattr("sktricks.transfer._strategies.ENOUGH", 4)
    backbone = load_backbone(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), image_shape=(8, 8, 1))
    backbone.preprocess = replace(backbone.preprocess, size=(side, side))
    net = FineTuneClassifier(backbone, device="cpu", verbose=1, max_epochs=1)
    images, labels = DIGITS[:12].reshape(-1, 8, 8), np.arange(12) % 2
    copied = clone(net)
    _probe.pin_choices(copied, check_rows(copied, images, labels, fresh=True))
    assert copied.strategy == net.fit(images, labels).strategy_ == ("gradual" if side == 64 else "linear-probe")


def test_bars(bars, short_trainings):
    diagnose(NetClassifier(**SMALL), X, y, verbose=1)
    assert bars[-1] == ("diagnose", 4, 4) and {what for what, *_ in bars} <= {"diagnose", "range test"}
