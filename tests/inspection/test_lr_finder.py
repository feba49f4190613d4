import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from sktricks import (
    FineTuneClassifier,
    FineTuneRegressor,
    GaussianNoise,
    LearningRateDisplay,
    NetClassifier,
    NetRegressor,
    UnclearLearningRateWarning,
    find_lr,
    load,
    save,
)
from sktricks.training._fit_many import is_plain
from sktricks.training._rate_curve import find_problem, has_diverged, read_curve, smooth, suggest

X, y = make_classification(200, 6, n_informative=4, random_state=0)
VALUES = X @ np.arange(6) + 1
DIGITS, LABELS = (part[:60] for part in load_digits(return_X_y=True))
FAST = {"batch_size": 50, "net_params": {"module__width": 16}, "random_state": 0}
LRS = np.geomspace(1e-6, 1, 100)


def falling(noise=0.0, low=0.2):
    """From 1 to ``low`` around 1e-3."""
    curve = low + (1 - low) / (1 + (LRS / 1e-3) ** 2)
    return curve + noise * np.random.default_rng(0).normal(size=100)


class Detached(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.head = nn.Linear(n_features, n_outputs)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.head(x).detach() + 0 * self.scale


class CountsSteps(Callback):
    seen = []

    def on_batch_end(self, net, training=False, **kwargs):
        self.seen.append(net.optimizer_.param_groups[0]["lr"])


# -- the curve ---------------------------------------------------------------------------------------------------------


def test_smoothing_is_a_mean_without_the_bias_of_a_start_at_zero():
    assert_allclose(smooth([2.0] * 5), 2.0)
    assert_allclose(smooth([1.0, 0.0], decay=0.5), [1, 1 / 3])


def test_the_suggestion_is_twice_the_rate_after_most_of_the_fall():
    losses = falling()
    assert_allclose(suggest(LRS, losses, losses), 2 * 1e-3 * np.sqrt(0.7 / 0.3), rtol=0.15)  # LRS go by 15 %


def test_a_short_training_takes_larger_steps():
    losses = falling()
    assert_allclose(suggest(LRS, losses, losses, short=True), 1.25 * suggest(LRS, losses, losses))
    rates = [find_lr(NetClassifier(**{**FAST, "max_epochs": n}), X, y).suggestion for n in (1, 500)]
    assert rates[0] > rates[1]


def test_a_steep_fall_is_not_left_behind():
    losses = 0.2 + 0.8 / (1 + (LRS / 1e-3) ** 8)
    rate = suggest(LRS, losses, losses)
    assert_allclose(rate, 1e-3 * (0.95 / 0.05) ** (1 / 8), rtol=0.15)
    assert rate in LRS


def test_what_comes_after_the_minimum_does_not_matter():
    losses = falling()
    losses[-10:] = 50
    assert suggest(LRS, losses, losses) == suggest(LRS, falling(), falling())


@pytest.mark.parametrize(
    ("losses", "problem"),
    [
        (falling(0.02), None),
        (falling(0.02) - 5, None),  # a loss may be negative
        (np.ones(100), "falls by no more"),
        (falling(0.02, low=0.99), "falls by no more"),
        (np.linspace(1, 9, 100), "falls by no more"),
        (1 + np.random.default_rng(0).normal(size=100), "falls by no more"),
        (np.array([np.nan]), "before the first step"),
        (np.array([1.0, np.inf]), "no longer finite"),
    ],
)
def test_useless_curves_are_known(losses, problem):
    found = find_problem(losses, smooth(losses))
    assert found is None if problem is None else problem in found
    curve = read_curve(LRS[: len(losses)], losses)
    assert (curve.suggestion is None) == (problem is not None)
    assert ("useless" if problem else "suggestion=0.0") in repr(curve)


def test_divergence_is_a_rise_far_above_the_start():
    assert not any(has_diverged(falling()[:n]) for n in range(1, 101))
    assert has_diverged([1.0, 0.5, np.nan]) and has_diverged([1.0, 0.5, np.inf])
    assert not has_diverged([*falling(), *[1.5] * 50])
    assert has_diverged([*falling(), *[4.0] * 50])


# -- find_lr -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "data"),
    [
        (NetClassifier(**FAST), (X, y)),
        (NetRegressor(**FAST), (X, VALUES)),
        (NetClassifier(**FAST, augmenter=GaussianNoise(0.1)), (X, y)),
        (FineTuneClassifier(image_shape=(8, 8), random_state=0), (DIGITS, LABELS)),
        (FineTuneRegressor(image_shape=(8, 8), random_state=0), (DIGITS, LABELS)),
        (make_pipeline(StandardScaler(), PCA(4), NetClassifier(**FAST)), (X, y)),
    ],
)
def test_every_net_has_a_rate(net, data):
    before = repr(net.get_params())
    curve = find_lr(net, *data)
    assert 1e-5 < curve.suggestion < 0.5 and curve.problem is None
    assert len(curve.lrs) == len(curve.losses) == len(curve.smoothed) <= 140
    assert (np.diff(curve.lrs) > 0).all()
    last = net[-1] if hasattr(net, "steps") else net
    assert repr(net.get_params()) == before and not hasattr(last, "net_") and not hasattr(last, "lr_")


def test_the_suggestion_trains_better_than_rates_far_from_it():
    rate = find_lr(NetClassifier(**FAST), X, y).suggestion
    losses = [
        NetClassifier(**FAST, max_epochs=5, lr=rate * factor).fit(X, y).net_.history[-1]["train_loss"]
        for factor in (0.02, 1, 100)
    ]
    assert losses[1] == min(losses)


def test_the_lowest_rate_and_its_ratio_are_the_users():
    curve = find_lr(NetClassifier(**FAST), X, y, lowest=1e-4, highest=1e-1, n_steps=31)
    assert_allclose(curve.lrs, np.geomspace(1e-4, 1e-1, 31))


def test_the_first_losses_are_those_of_the_estimators_own_training():
    net = NetClassifier(**FAST)
    curve = find_lr(net, X, y, lowest=1e-3, highest=1.0001e-3, n_steps=30)
    net = NetClassifier(**FAST, lr=1e-3, schedule="constant", max_epochs=8).fit(X, y)
    own = [batch["train_loss"] for epoch in net.net_.history for batch in epoch["batches"]]
    assert_allclose(curve.losses, own[:30], rtol=1e-4)


def test_callbacks_take_part_and_rates_of_layers_keep_their_ratio():
    CountsSteps.seen.clear()
    net = FineTuneClassifier(
        image_shape=(8, 8),
        strategy="gradual",
        backbone_lr_scale=0.1,  # a group of its own
        callbacks=[CountsSteps()],
        random_state=0,
    )
    curve = find_lr(net, DIGITS[:20], LABELS[:20], n_steps=30)
    assert_allclose(CountsSteps.seen[: len(curve.lrs) - 1], curve.lrs[:-1])


def test_rows_that_early_stopping_holds_out_have_no_part_in_it():
    net = NetClassifier(**FAST, early_stopping=True, max_epochs=1, lr="auto")
    assert net.fit(X, y).lr_ == find_lr(net, X, y).suggestion


def test_weights_count():
    weight = (np.arange(200) < 100).astype(float)
    weighted = find_lr(NetClassifier(**FAST), X, y, sample_weight=weight)
    assert_allclose(weighted.losses, find_lr(NetClassifier(**FAST), X[:100], y[:100]).losses, rtol=1e-4)


def test_a_net_that_cannot_learn_has_no_rate():
    with pytest.warns(UnclearLearningRateWarning, match="find_lr has no suggestion: the loss starts at") as caught:
        curve = find_lr(NetClassifier(Detached, batch_size=50, random_state=0), X, y)
    assert caught[0].filename == __file__
    assert curve.suggestion is None and "falls by no more" in curve.problem


@pytest.mark.parametrize(
    ("estimator", "got"),
    [
        (LogisticRegression(), "got LogisticRegression"),
        (NetClassifier, "got NetClassifier"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "Pipeline whose last step is LogisticRegression"),
        (GridSearchCV(NetClassifier(), {}), "got GridSearchCV"),
        ("net", "got str"),
    ],
)
def test_an_estimator_that_is_no_net_is_an_error(estimator, got):
    with pytest.raises(TypeError, match=f"estimator of find_lr must be a NetClassifier.*{got}"):
        find_lr(estimator, X, y)


@pytest.mark.parametrize(
    ("net", "data", "params", "message"),
    [
        (NetClassifier(), (X[:19], y[:19]), {}, "at least 20 rows with positive weight .*, got 19"),
        (
            NetClassifier(),
            (X, y),
            {"sample_weight": np.arange(200) < 15},
            "at least 20 rows with positive weight .*, got 15",
        ),
        (NetClassifier(), (X, y[:-1]), {}, "inconsistent numbers of samples"),
        (NetClassifier(), (X, np.zeros(200)), {}, "at least two classes"),
        (NetClassifier(), (X, None), {}, "requires y to be passed"),
        (NetClassifier(image_shape=(3, 3)), (X, y), {}, "needs 9 columns"),
        (NetClassifier(batch_size=0), (X, y), {}, "'batch_size'"),
        (NetClassifier(), (X, y), {"n_steps": 10}, "'n_steps'"),
        (NetClassifier(), (X, y), {"lowest": 0}, "'lowest'"),
        (NetClassifier(), (X, y), {"lowest": 1.0, "highest": 0.1}, "lowest must be below highest"),
    ],
)
def test_bad_input_is_named(net, data, params, message):
    with pytest.raises(ValueError, match=message):
        find_lr(net, *data, **params)


# -- lr="auto" ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "data"),
    [
        (NetClassifier(**FAST), (X, y)),
        (NetRegressor(**FAST), (X, VALUES)),
        (FineTuneClassifier(image_shape=(8, 8), random_state=0), (DIGITS, LABELS)),
        (FineTuneRegressor(image_shape=(8, 8), random_state=0), (DIGITS, LABELS)),
    ],
)
def test_auto_is_the_suggestion(net, data):
    rate = find_lr(net, *data).suggestion
    found = clone(net).set_params(lr="auto", max_epochs=2).fit(*data)
    told = clone(net).set_params(lr=rate, max_epochs=2).fit(*data)
    assert found.lr_ == told.lr_ == rate and found.lr == "auto"
    assert_array_equal(found.predict(data[0]), told.predict(data[0]))


def test_a_warm_start_keeps_its_rate_and_a_cold_one_finds_it_anew():
    net = NetClassifier(**FAST, lr="auto", max_epochs=1, warm_start=True).fit(X, y)
    rate = net.lr_
    assert net.fit(X[:150], y[:150]).lr_ == rate
    assert net.set_params(warm_start=False).fit(X[:150], y[:150]).lr_ != rate


def test_partial_fit_finds_it_at_its_first_call():
    net = NetClassifier(**FAST, lr="auto").partial_fit(X, y)
    assert net.lr_ == find_lr(net, X, y).suggestion
    assert net.partial_fit(X[:5], y[:5]).n_iter_ == 2


def test_where_nothing_is_learned_auto_is_the_default_and_says_so():
    with pytest.warns(UnclearLearningRateWarning, match="uses the default") as caught:
        net = NetClassifier(Detached, batch_size=50, random_state=0, lr="auto", max_epochs=1).fit(X, y)
    assert caught[0].filename == __file__
    assert net.lr_ == 2e-3


def test_the_rate_in_use_is_told_whatever_it_is():
    assert NetClassifier(**FAST, max_epochs=1).fit(X, y).lr_ == 2e-3
    assert FineTuneClassifier(image_shape=(8, 8), max_epochs=1).fit(DIGITS, LABELS).lr_ == 6 / 1920  # features


def test_too_few_rows_for_auto():
    with pytest.raises(ValueError, match="at least 20 rows with positive weight .*, got 10"):
        NetClassifier(lr="auto").fit(X[:10], y[:10])


def test_nets_that_find_their_rate_are_fitted_one_by_one():
    class Fit:
        params = {}

        def __init__(self, net):
            self.estimator = net

    assert is_plain(Fit(NetClassifier())) and not is_plain(Fit(NetClassifier(lr="auto")))


def test_a_found_rate_is_saved_with_its_net(tmp_path):
    net = NetClassifier(**FAST, lr="auto", max_epochs=2).fit(X, y)
    save(net, tmp_path / "net")
    again = load(tmp_path / "net")
    assert again.lr_ == net.lr_ and again.lr == "auto"
    assert_array_equal(again.predict_proba(X), net.predict_proba(X))


def test_other_names_of_rates_are_errors():
    with pytest.raises(ValueError, match="'lr' parameter"):
        NetClassifier(lr="best").fit(X, y)


# -- LearningRateDisplay -----------------------------------------------------------------------------------------------


@pytest.fixture
def ax():
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def test_the_curve_and_its_suggestion_are_drawn(ax):
    display = LearningRateDisplay.from_estimator(NetClassifier(**FAST), X, y, ax=ax, n_steps=60)
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert_array_equal(display.line_.get_xdata(), display.curve.lrs)
    assert_array_equal(display.line_.get_ydata(), display.curve.smoothed)
    assert display.mark_.get_xdata()[0] == display.curve.suggestion
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "learning rate"
    ax.figure.canvas.draw()


def test_a_useless_curve_is_drawn_without_a_suggestion(ax):
    losses = np.r_[np.ones(50), np.full(20, np.nan)]
    display = LearningRateDisplay.from_curve(read_curve(LRS[:70], losses), ax=ax)
    assert display.mark_ is None and ax.get_title() == "no clear rate"
    low, high = ax.get_ylim()
    assert low < 1 < high
    ax.figure.canvas.draw()


def test_two_curves_in_one_figure(ax):
    LearningRateDisplay.from_curve(read_curve(LRS, falling()), ax=ax, name="a")
    first = ax.get_ylim()
    second = LearningRateDisplay.from_curve(read_curve(LRS, 3 * falling()), ax=ax, name="b")
    assert ax.get_ylim()[0] <= first[0] and ax.get_ylim()[1] > first[1]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:2] == ["a, smoothed", "a, loss of a batch"] and len(labels) == 6
    assert second.line_.get_color() != ax.lines[0].get_color()
    with pytest.raises(TypeError, match="curve must be the result of find_lr, got list"):
        LearningRateDisplay.from_curve([1])


def test_a_new_figure():
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    display = LearningRateDisplay(curve=read_curve(LRS, falling())).plot()
    assert display.figure_.number in pyplot.get_fignums()
    pyplot.close(display.figure_)


def test_without_matplotlib_it_says_what_to_install_before_it_trains(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib.*(pip install)"):
        LearningRateDisplay.from_estimator(NetClassifier(), X, y)


class NoNumber(nn.Linear):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs, dtype=torch.float64)

    def forward(self, x):
        return super().forward(x) * float("nan")


def test_a_loss_that_is_nan_has_no_rate():
    with pytest.warns(UnclearLearningRateWarning, match="the loss is nan before the first step"):
        assert find_lr(NetClassifier(NoNumber), X, y).suggestion is None
    with pytest.warns(UnclearLearningRateWarning), pytest.raises(ValueError, match="the training diverged in epoch 1"):
        NetClassifier(NoNumber, lr="auto").fit(X, y)


def test_bars(bars):
    curve = find_lr(NetClassifier(**FAST), X, y, n_steps=30, verbose=1)
    assert bars == [("range test", len(curve.lrs), 30)]
    NetClassifier(lr="auto", max_epochs=1, verbose=1, **FAST).fit(X, y)
    assert [what for what, *_ in bars[1:]] == ["range test", "fit"]
    assert find_lr(NetClassifier(verbose=1, **FAST), X, y, n_steps=30).suggestion == curve.suggestion
    assert len(bars) == 3
