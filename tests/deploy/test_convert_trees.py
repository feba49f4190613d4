"""Converters of trees and forests: equal to the last bit, also for thresholds, missing values and ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from sktricks.deploy._export import build_model
from sktricks.deploy._onnx_errors import UnsupportedForOnnxError
from sktricks.deploy.converters import _tree_ensembles
from sktricks.deploy.converters._tree_ensembles import add_rows, round_down

from ._agreement import assert_agrees, run

CLASSIFIERS = [DecisionTreeClassifier, ExtraTreeClassifier, RandomForestClassifier, ExtraTreesClassifier]
REGRESSORS = [DecisionTreeRegressor, ExtraTreeRegressor, RandomForestRegressor, ExtraTreesRegressor]


def make_tree_model(kind, **settings):
    few = {"n_estimators": 5} if "Forest" in kind.__name__ or "Trees" in kind.__name__ else {}
    return kind(random_state=0, **few, **settings)


def make_integers(n=120, classes=3, seed=0):
    """Rows with many duplicates, whose leaves are tied."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, (n, 4)).astype(float), rng.integers(0, classes, n)


def on_thresholds(model, X):
    """Rows that lie on a threshold of the model, or one step of float32 above it, in every column."""
    trees = [tree.tree_ for tree in np.ravel(getattr(model, "estimators_", model))]
    thresholds = np.unique(np.concatenate([tree.threshold[tree.children_left >= 0] for tree in trees]))
    below = round_down(thresholds)
    values = np.concatenate([below, np.nextafter(below, np.float32(np.inf)), thresholds])
    return np.repeat(values[:, None], X.shape[1], axis=1)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_classifiers_are_the_same_to_the_last_bit(kind, dtype):
    X, y = make_integers()
    for limits in ({}, {"max_depth": 2}, {"min_samples_leaf": 3}):
        model = make_tree_model(kind, **limits).fit(X, y)
        assert_agrees(model, X.astype(dtype), 0)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_regressors_are_the_same_to_the_last_bit(kind):
    X, y = make_integers()
    for target in (y / 3, np.column_stack([y / 7, y**2])):
        assert_agrees(make_tree_model(kind, max_depth=4).fit(X, target), X, 0)


@pytest.mark.parametrize("kind", CLASSIFIERS + REGRESSORS)
def test_rows_on_thresholds(kind):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 3)), rng.integers(0, 2, 100)
    model = make_tree_model(kind).fit(X, y)
    rows = on_thresholds(model, X)
    assert_agrees(model, rows, 0)
    assert_agrees(model, rows.astype(np.float32), 0)


@pytest.mark.parametrize("kind", CLASSIFIERS + REGRESSORS)
def test_gaps(kind):
    X, y = make_integers()
    gaps = np.where(np.random.default_rng(1).random(X.shape) < 0.3, np.nan, X)
    assert_agrees(make_tree_model(kind, max_depth=4).fit(gaps, y), gaps, 0)
    assert_agrees(make_tree_model(kind, max_depth=4).fit(X, y), gaps, 0)  # no values were missing in fit


@pytest.mark.parametrize("seed", range(5))
def test_ties_of_few_small_trees(seed):
    X, y = make_integers(30, classes=4, seed=seed)
    for kind in (RandomForestClassifier, ExtraTreesClassifier):
        for n_estimators in (2, 3, 6, 7):
            model = kind(n_estimators, max_depth=1 + seed % 2, random_state=seed).fit(X, y)
            assert_agrees(model, np.unique(X, axis=0), 0)


@pytest.mark.parametrize("p", [(0.1, 0.7, 0.7), (0.7, 0.7, 0.1), (0.6, 0.2, 0.7), (0.7, 0.2, 0.6)])
def test_ties_that_the_order_of_sums_decides(p):
    """The probabilities of both classes sum to 1.5, except for the last bit, which depends on the order."""
    X = np.arange(2.0)[:, None]
    forest = RandomForestClassifier(3, random_state=0).fit(X, [0, 1])
    in_order, reverse = np.zeros(2), np.zeros(2)
    for tree, first, last in zip(forest.estimators_, p, p[::-1], strict=True):
        tree.tree_.value[:] = [[first, 1 - first]]
        in_order, reverse = in_order + [first, 1 - first], reverse + [last, 1 - last]
    assert in_order.argmax() != reverse.argmax()
    assert_agrees(forest, X, 0)


@pytest.mark.parametrize("depth", [3, None])
@pytest.mark.parametrize("threads", [1, 2])
def test_batches_of_any_size_agree(depth, threads):
    import onnxruntime

    X, y = make_integers(300)
    forest = RandomForestClassifier(100, max_depth=depth, random_state=0).fit(X, y)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    _, model = build_model(forest, X)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    rows = np.resize(X, (10_000, 4))
    expected = forest.predict_proba(rows)
    for n in (1, 2, 51, 129, 10_000):
        label, probabilities = session.run(["label", "probabilities"], {"X": rows[:n]})
        np.testing.assert_array_equal(probabilities, expected[:n])
        np.testing.assert_array_equal(label, forest.predict(rows[:n]))


def test_large_forests_are_several_operators(monkeypatch):
    monkeypatch.setattr(_tree_ensembles, "GROUP", 50)
    monkeypatch.setattr(_tree_ensembles, "GROUP_OF_VOTES", 50)
    X, y = make_integers()
    for depth in (4, None):
        model = assert_agrees(RandomForestClassifier(30, max_depth=depth, random_state=0).fit(X, y), X, 0)
        count = sum(node.op_type == "TreeEnsembleRegressor" for node in model.graph.node)
        assert 5 < count <= _tree_ensembles.MAX_GROUPS


def test_a_tree_of_one_leaf():
    X = np.zeros((6, 2))
    assert_agrees(DecisionTreeClassifier().fit(X, [0, 1, 1, 0, 0, 1]), X, 0)
    assert_agrees(DecisionTreeRegressor().fit(X, np.arange(6)), X, 0)
    assert_agrees(RandomForestClassifier(3).fit(X, list("aaaaaa")), X, 0)


def test_several_outputs_of_a_classifier_are_refused():
    X, y = make_integers()
    with pytest.raises(UnsupportedForOnnxError, match="outputs of a tree-based classifier.*one classifier per column"):
        build_model(RandomForestClassifier(3).fit(X, np.column_stack([y, y])), X)


def test_too_many_leaves_are_refused(monkeypatch):
    monkeypatch.setattr(_tree_ensembles, "EXACT", 8)
    X, y = make_integers()
    with pytest.raises(UnsupportedForOnnxError, match="leaves.*fit smaller ones"):
        build_model(RandomForestRegressor(3).fit(X, y + X[:, 0] / 7), X)


def test_thresholds_are_rounded_down():
    values = np.array([0.1, -0.1, 0.3, 1.0, 1e-300, -1e-300])
    rounded = round_down(values)
    assert rounded.dtype == np.float32
    assert (rounded <= values).all()
    assert (np.nextafter(rounded, np.float32(np.inf)) > values).all()


def test_sums_are_in_order():
    from sktricks.deploy._graph import Graph

    terms = np.random.default_rng(0).normal(size=(4, 50, 3)) * 10.0 ** np.arange(3)
    graph = Graph()
    X = graph.add_input("X", np.float64, (50, 3))
    by_term = graph.op("Transpose", X, dtype=np.float64, perm=[1, 0, 2])
    by_column = graph.op("Transpose", X, dtype=np.float64, perm=[1, 2, 0])
    sums = [add_rows(graph, by_term, 50, 3), add_rows(graph, by_column, 50, 3, columns_first=True)]
    expected = np.zeros((4, 3))
    for index in range(50):
        expected += terms[:, index]
    model = graph.build({"rows": sums[0], "columns": sums[1]})
    for n_rows in (1, 4):
        for found in run(model, terms[:n_rows]).values():
            np.testing.assert_array_equal(found, expected[:n_rows])


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_random_small_data(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, columns = data.draw(st.integers(2, 40)), data.draw(st.integers(1, 4))
    X = rng.integers(-3, 4, (n, columns)) * data.draw(st.sampled_from([1.0, 0.1, 1 / 3, 1e8]))
    X[:, 0] = data.draw(st.booleans()) * X[:, 0]  # constant, or not
    X = np.where(rng.random(X.shape) < data.draw(st.sampled_from([0, 0.3])), np.nan, X)
    y = np.array(["b", "a", "c"])[rng.integers(0, data.draw(st.integers(1, 3)), n)]
    limits = {
        "max_depth": data.draw(st.sampled_from([1, 2, 4, None])),
        "min_samples_leaf": data.draw(st.sampled_from([1, 2])),
    }
    kind = data.draw(st.sampled_from(CLASSIFIERS + REGRESSORS))
    target = y if kind in CLASSIFIERS else (y == "a") + rng.random(n)
    model = make_tree_model(kind, **limits).fit(X, target)
    others = rng.permuted(X, axis=0)
    assert_agrees(model, X, 0, others, others.astype(np.float32).astype(float))
