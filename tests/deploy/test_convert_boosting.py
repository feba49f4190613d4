"""Converters of both kinds of gradient boosting: losses, initial predictions, missing values, categories."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier

from sktricks.deploy._export import build_model
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError

from ._agreement import assert_agrees

CLASSIFIERS = [GradientBoostingClassifier, HistGradientBoostingClassifier]


def make_data(classes=3, n=150):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, (n, 4)) / 3
    return X, (X.sum(1) * 2 + rng.integers(0, 3, n)).astype(int) % classes


def make_boosting(kind, **settings):
    n = {"max_iter" if "Hist" in kind.__name__ else "n_estimators": 12}
    small = {"min_samples_leaf": 3} if "Hist" in kind.__name__ else {}
    return kind(random_state=0, **{**n, **small, **settings})


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classifiers(kind, classes, dtype):
    X, y = make_data(classes)
    assert_agrees(make_boosting(kind).fit(X, y), X.astype(dtype), 1e-14)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile"])
def test_losses_of_gradient_boosting(loss):
    X, y = make_data()
    assert_agrees(make_boosting(GradientBoostingRegressor, loss=loss).fit(X, y + 0.5), X, 0)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "gamma", "poisson", "quantile"])
def test_losses_of_hist_gradient_boosting(loss):
    X, y = make_data()
    quantile = {"quantile": 0.3} if loss == "quantile" else {}
    assert_agrees(make_boosting(HistGradientBoostingRegressor, loss=loss, **quantile).fit(X, y + 0.5), X, 1e-14)


def test_exponential_loss():
    X, y = make_data(2)
    assert_agrees(make_boosting(GradientBoostingClassifier, loss="exponential").fit(X, y), X, 1e-14)


@pytest.mark.parametrize("loss", ["log_loss", "exponential"])
@pytest.mark.parametrize("init", ["zero", DecisionTreeClassifier(max_depth=1), DummyClassifier(strategy="uniform")])
def test_starts_of_two_classes(loss, init):
    X, y = make_data(2)
    assert_agrees(make_boosting(GradientBoostingClassifier, loss=loss, init=init).fit(X, y), X, 1e-13)


@pytest.mark.parametrize("init", ["zero", DecisionTreeClassifier(max_depth=1), DecisionTreeClassifier()])
def test_starts_of_three_classes(init):
    X, y = make_data()
    assert_agrees(make_boosting(GradientBoostingClassifier, init=init).fit(X, y), X, 1e-13)


def test_start_of_a_regressor():
    X, y = make_data()
    init = RandomForestRegressor(5, random_state=0)
    assert_agrees(make_boosting(GradientBoostingRegressor, init=init).fit(X, y), X, 0)


def test_a_random_start_is_refused():
    X, y = make_data()
    model = make_boosting(GradientBoostingClassifier, init=DummyClassifier(strategy="stratified")).fit(X, y)
    with pytest.raises(UnsupportedForOnnxError, match="'init'"):
        build_model(model, X)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_early_stopping(kind):
    X, y = make_data()
    stop = {"early_stopping": True} if kind is HistGradientBoostingClassifier else {}
    model = make_boosting(kind, n_iter_no_change=1, **stop).fit(X, y)
    assert_agrees(model, X, 1e-14)


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, HistGradientBoostingRegressor])
def test_gaps(kind):
    X, y = make_data()
    gaps = np.where(np.random.default_rng(1).random(X.shape) < 0.3, np.nan, X)
    assert_agrees(make_boosting(kind).fit(gaps, y), gaps, 1e-14)
    assert_agrees(make_boosting(kind).fit(X, y), gaps, 1e-14)  # no values were missing in fit
    only_gaps = np.where(X[:, :1] > 1, np.nan, 0.0)  # the threshold is infinite
    assert_agrees(make_boosting(kind).fit(only_gaps, y), np.array([[np.nan], [0], [np.inf], [-np.inf]]), 1e-14)


def test_thresholds_are_float64():
    """Rows on thresholds, and one float64 step away from them."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    model = make_boosting(HistGradientBoostingClassifier).fit(X, y)
    nodes = np.concatenate([stage[0].nodes for stage in model._predictors])
    at = np.unique(nodes["num_threshold"][nodes["is_leaf"] == 0])
    rows = np.concatenate([at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf)])
    assert len({*np.float32(rows).tolist()}) < len(rows)
    assert_agrees(model, np.repeat(rows[:, None], 2, axis=1), 1e-14)


def make_frame(n=300):
    rng = np.random.default_rng(0)
    colors = np.array(["red", "green", "blue", "black", "white"])[rng.integers(0, 5, n)]
    frame = pd.DataFrame({"size": rng.normal(size=n), "color": colors, "code": rng.integers(0, 90, n) * 10 - 50})
    y = np.isin(colors, ["red", "black"]) * 2 + (frame["code"] % 70 == 0) * 3 + rng.normal(size=n) > 1
    return frame.astype({"color": "category", "code": "category"}), y


@pytest.mark.parametrize("gaps", [False, True])
def test_categories_of_a_frame(gaps):
    frame, y = make_frame()
    if gaps:
        frame.loc[::7, "color"] = None
        frame.loc[::9, "size"] = np.nan
    model = make_boosting(HistGradientBoostingClassifier, categorical_features="from_dtype").fit(frame, y)
    assert any(stage[0].nodes["is_categorical"].any() for stage in model._predictors)
    others = pd.DataFrame(
        {"size": [0.0, np.nan, 1.0, 2.0], "color": ["pink", "red", None, "blue"], "code": [3, -50, 0, 10**9]}
    )
    assert_agrees(model, frame, 1e-14, others.astype({"color": "category"}))


@pytest.mark.parametrize(("step", "gaps"), [(1, False), (0.1, True), (-7, True)])
def test_categories_of_an_array(step, gaps):
    """More than 64 categories, which the runtime compares one by one, and few, which become a bit set."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=400), rng.integers(0, 100, 400), rng.integers(0, 9, 400)])
    X[:, 1:] *= step
    y = rng.integers(0, 3, 100)[np.round(X[:, 1] / step).astype(int)] + rng.normal(size=400) / 9
    if gaps:
        X[rng.random(X.shape) < 0.1] = np.nan
    model = make_boosting(HistGradientBoostingRegressor, categorical_features=[1, 2], max_iter=20).fit(X, y)
    others = np.array([[0, 1000, -1], [0, 0.5 * step, 2.5], [np.nan, np.nan, np.nan], [1, 64 * step, 65]])
    assert_agrees(model, X, 1e-14, others)
    assert_agrees(model, X.astype(np.float32), 1e-14)


def test_strings_that_are_no_categories_are_refused():
    frame, y = make_frame()
    frame["color"] = frame["color"].astype(str).replace("red", "")
    model = make_boosting(HistGradientBoostingClassifier, categorical_features=["color"]).fit(frame, y)
    with pytest.raises(UnsupportedForOnnxError, match="an empty string among the categories"):
        build_model(model, frame)


@settings(max_examples=12, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_random_small_data(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, columns = data.draw(st.integers(10, 60)), data.draw(st.integers(1, 4))
    X = rng.integers(-3, 4, (n, columns)) * data.draw(st.sampled_from([1.0, 0.1, 1 / 3, 1e8]))
    y = np.arange(n) % data.draw(st.integers(2, 4))
    if data.draw(st.booleans()):
        model = make_boosting(GradientBoostingClassifier, n_estimators=3, max_depth=data.draw(st.integers(1, 3)))
    else:
        X = np.where(rng.random(X.shape) < data.draw(st.sampled_from([0, 0.3])), np.nan, X)
        sets = data.draw(st.lists(st.integers(0, columns - 1), unique=True))
        model = make_boosting(HistGradientBoostingClassifier, max_iter=3, categorical_features=sets or None)
    assert_agrees(model.fit(X, y), X, 1e-14, rng.permuted(X, axis=0), np.nan_to_num(X) * 2)
