from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from sktricks import FineTuneClassifier, FineTuneRegressor, load_backbone
from sktricks.transfer._strategies import (
    ENOUGH,
    FINE_TUNE,
    GRADUAL,
    LINEAR_PROBE,
    LP_FT,
    STRATEGIES,
    auto_strategy,
    check_rates,
    choose_strategy,
    is_costly,
    labels_per_class,
    probe_settings,
)
from sktricks.transfer._thawing import thawing_schedule


@pytest.mark.parametrize(
    ("strategy", "freeze_until", "n_labels", "expected"),
    [
        ("auto", None, ENOUGH - 1, LINEAR_PROBE),
        ("auto", None, ENOUGH, GRADUAL),
        *[(strategy, "head", 10_000, LINEAR_PROBE) for strategy in ("auto", *STRATEGIES)],
        ("auto", 1.0, 10_000, LINEAR_PROBE),
        ("auto", 0, 1, FINE_TUNE),
        ("auto", "stage2", 1, FINE_TUNE),
        (LINEAR_PROBE, None, 10_000, LINEAR_PROBE),
        (FINE_TUNE, None, 1, FINE_TUNE),
        (FINE_TUNE, 0.5, 1, FINE_TUNE),
        (LP_FT, None, 1, LP_FT),
        (GRADUAL, "stage2", 1, GRADUAL),
    ],
)
def test_choice(strategy, freeze_until, n_labels, expected):
    assert choose_strategy(strategy, freeze_until, freeze_until in ("head", 1.0), n_labels) == expected


@pytest.mark.parametrize(("n_labels", "expected"), [(1, LINEAR_PROBE), (ENOUGH, FINE_TUNE)])
def test_a_callback_that_freezes_is_left_to_it(n_labels, expected):
    assert choose_strategy("auto", None, False, n_labels, at_once=True) == expected


@pytest.mark.parametrize(
    ("strategy", "freeze_until"),
    [(LINEAR_PROBE, 0), (LINEAR_PROBE, "stage2"), (FINE_TUNE, 1.0), (LP_FT, 1.0), (GRADUAL, 1.0)],
)
def test_conflicts(strategy, freeze_until):
    with pytest.raises(ValueError, match=f"'{strategy}' cannot be combined with freeze_until={freeze_until!r}"):
        choose_strategy(strategy, freeze_until, freeze_until in ("head", 1.0), 10)


def test_labels_per_class():
    assert labels_per_class(np.array([0, 0, 1, 1, 1, 1])) == 3
    assert labels_per_class(np.zeros((50, 2))) == 5  # values and columns: a tenth of the rows


def test_auto_goes_by_the_labels_of_a_class():
    assert auto_strategy(ENOUGH - 0.5) == LINEAR_PROBE and auto_strategy(ENOUGH) == GRADUAL
    assert auto_strategy(ENOUGH, costly=True) == LINEAR_PROBE


@pytest.mark.parametrize(
    ("size", "device", "expected"),
    [((224, 224), "cpu", True), ((224, 224), "cuda", False), ((32, 32), "cpu", False), (None, "cpu", False)],
)
def test_nets_for_large_images_are_costly_on_a_cpu(size, device, expected):
    assert is_costly(size, torch.device(device)) == expected


def test_a_costly_net_trains_if_told():
    assert choose_strategy("auto", None, False, 500, costly=True) == LINEAR_PROBE
    assert choose_strategy("auto", 0.5, False, 500, costly=True) == FINE_TUNE
    for strategy in (FINE_TUNE, LP_FT, GRADUAL):
        assert choose_strategy(strategy, None, False, 500, costly=True) == strategy


class Large(nn.Module):
    """A small net whose configuration names a large image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


@pytest.mark.parametrize("side", [64, 65])
def test_verbose_reports_the_choice_and_its_reason(side, caplog):
    images, labels = np.zeros((8, 8, 8), np.uint8), np.arange(8) % 2
    backbone = load_backbone(Large(), image_shape=(8, 8, 3))
    backbone.preprocess = replace(backbone.preprocess, size=(side, side))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sktricks.transfer._strategies.ENOUGH", 4)
        fitted = FineTuneClassifier(backbone, verbose=1, max_epochs=2, device="cpu").fit(images, labels)
    out = caplog.text
    assert fitted.backbone_name_ == "Large" and f"backbone 'Large' at {side} x {side} pixels, strategy" in out
    assert fitted.strategy_ == (GRADUAL if side == 64 else LINEAR_PROBE)
    assert ("on a CPU, 'auto' does not train a net of this size" in out) == (side == 65)


@pytest.mark.parametrize(
    ("scale", "decay", "name"), [(0.1, 1.0, "backbone_lr_scale=0.1"), (1.0, 0.5, "layer_decay=0.5")]
)
def test_rates_need_a_backbone_that_learns(scale, decay, name):
    check_rates(FINE_TUNE, scale, decay)
    check_rates(LINEAR_PROBE, 1, 1)
    with pytest.raises(ValueError, match=f"{name} cannot be combined with the strategy 'linear-probe'"):
        check_rates(LINEAR_PROBE, scale, decay)


@pytest.mark.parametrize(
    ("starts", "epochs", "expected"),
    [
        ([0, 4, 8], 12, {3: 8, 5: 4, 7: 0}),
        ([0, 4, 4, 8], 12, {3: 8, 5: 4, 7: 0}),
        ([4, 4, 8], 12, {4: 8, 7: 4}),  # what freeze_until holds stays
        ([0, 4, 8], 1, {1: 0}),  # no time to thaw
        ([0, 4, 8], 3, {2: 4, 3: 0}),
        ([0, 4, 10], 12, {4: 4, 7: 0}),  # a last stage without layers
    ],
)
def test_thawing_from_the_last_stage_to_the_first(starts, epochs, expected):
    assert thawing_schedule(starts, 10, epochs) == expected


# -- the settings of a linear probe ------------------------------------------------------------------------------------


class Flat(nn.Module):
    """The pixels of an image as features, each ``n`` times: more features, and not more to learn from."""

    def __init__(self, n=1):
        super().__init__()
        self.n, self.scale = n, nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.scale.bias)

    def forward(self, x):
        return self.scale(x).flatten(1).repeat(1, self.n)


RNG = np.random.default_rng(0)
CODES = np.arange(120) % 3
SPOTS = RNG.random((120, 6, 6)) + (np.arange(36).reshape(6, 6) % 3 == CODES[:, None, None]) * 0.2
PROBE = {"strategy": "linear-probe", "value_range": (0, 1), "cache": None, "random_state": 0}


def test_settings_follow_features_and_rows():
    narrow, wide = probe_settings(10, 100, True), probe_settings(1000, 50, True)
    assert (narrow["lr"], wide["lr"]) == (0.6, 0.006)
    assert wide["weight_decay"] == pytest.approx(200 * narrow["weight_decay"])
    assert probe_settings(10, 100, False)["weight_decay"] == 0 < probe_settings(10, 100, False)["lr"] < narrow["lr"]


@pytest.mark.parametrize("y", [CODES, SPOTS.mean((1, 2))], ids=["classes", "values"])
def test_a_wide_backbone_learns_as_much_as_a_narrow_one(y):
    net = FineTuneClassifier if y is CODES else FineTuneRegressor
    narrow, wide = (net(lambda n=n: Flat(n), **PROBE).fit(SPOTS, y) for n in (1, 20))
    assert narrow.lr_ == pytest.approx(20 * wide.lr_)
    np.testing.assert_allclose(wide.loss_curve_, narrow.loss_curve_, rtol=1e-4)


def test_the_decay_counts_rows_of_weight_two_twice():
    repeat = 1 + np.arange(60) % 2
    net = FineTuneClassifier(Flat, **PROBE)
    weighted = net.fit(SPOTS[:60], CODES[:60], sample_weight=repeat).predict_proba(SPOTS)
    repeated = net.fit(SPOTS[:60].repeat(repeat, 0), CODES[:60].repeat(repeat)).predict_proba(SPOTS)
    np.testing.assert_allclose(weighted, repeated, atol=1e-7)
    plain = net.fit(SPOTS[:60], CODES[:60]).net_.optimizer_.param_groups[0]["weight_decay"]
    for factor, ratio in {2: 2, 1e300: 1e12 / 60, 1e-300: 1 / 60}.items():
        decay = net.fit(SPOTS[:60], CODES[:60], sample_weight=np.full(60, factor)).net_.optimizer_.param_groups[0]
        assert decay["weight_decay"] == pytest.approx(plain / ratio)


@pytest.mark.parametrize("weight_decay", [None, 0.0])
def test_the_bias_learns_how_frequent_classes_are(weight_decay):
    blank, y = np.full((120, 2, 2), 0.5), np.repeat([0, 1], [90, 30])
    proba = FineTuneClassifier(Flat, weight_decay=weight_decay, **PROBE).fit(blank, y).predict_proba(blank)
    np.testing.assert_allclose(proba[:, 1], 0.25, atol=0.01)


def test_explicit_settings_are_taken_as_they_are():
    def groups(**params):
        fitted = FineTuneClassifier(Flat, **PROBE, max_epochs=1, schedule="constant", **params).fit(SPOTS, CODES)
        return [(group["lr"], group["weight_decay"]) for group in fitted.net_.optimizer_.param_groups]

    np.testing.assert_allclose(groups(), [(6 / 36, 36 / (40 * 120)), (6, 1 / (40 * 120))])
    np.testing.assert_allclose(groups(weight_decay=0.5), [(6 / 36, 0.5), (6, 0.5 / 36)])
    np.testing.assert_allclose(groups(weight_decay=0.0), [(6 / 36, 0), (6, 0)])
    assert groups(lr=0.01) == [(0.01, 36 / (40 * 120)), (0.01, 0)]
    assert groups(optimizer="adam") == [(1e-3, 0)]
    assert groups(optimizer="adam", weight_decay=0.1) == [(1e-3, 0.1), (1e-3, 0)]


def test_a_linear_probe_is_close_to_a_logistic_regression():
    """It uses the same penalty and features, but gradient descent stops before convergence."""
    net = FineTuneClassifier(Flat, **PROBE, max_epochs=3000, schedule="constant").fit(SPOTS, CODES)
    x = (SPOTS.reshape(120, -1) / (SPOTS.reshape(120, -1) + 1e-3) ** 0.25).astype(np.float64)
    x -= x.mean(0)
    x /= np.sqrt(np.square(x).sum(1).mean())
    exact = LogisticRegression(C=40, tol=1e-10, max_iter=10_000).fit(x, CODES).predict_proba(x)
    np.testing.assert_allclose(net.predict_proba(SPOTS), exact, atol=1e-3)
