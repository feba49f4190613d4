"""Trees with few levels: depths, thresholds, missing values, and trees with a single leaf."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from sktricks.deploy._graph import Graph
from sktricks.deploy.converters._shallow_trees import LEVELS, count_levels, number_leaves_at_once
from sktricks.deploy.converters._tree_ensembles import Tree, add_stages, from_sklearn, round_down

from ._agreement import run

RNG = np.random.default_rng(0)


def fit_trees(depth, gaps, n_trees=6):
    """Trees on subsets of the columns, and rows that lie on thresholds or have missing values."""
    X, y = RNG.integers(-4, 5, (200, 5)) / 3, RNG.normal(size=(200, n_trees))
    X = np.where(RNG.random(X.shape) < 0.2, np.nan, X) if gaps else X
    trees = [DecisionTreeRegressor(max_depth=depth, random_state=0).fit(X, column) for column in y.T]
    at = np.unique(round_down(np.concatenate([tree.tree_.threshold[tree.tree_.feature >= 0] for tree in trees])))
    rows = RNG.choice([*at, *np.nextafter(at, np.float32(np.inf)), np.inf, *[np.nan] * 9 * gaps], (300, 5))
    return trees, np.float32(rows)


def values_of(tree):
    return tree.tree_.value[tree.tree_.children_left < 0, 0]


@pytest.mark.parametrize("depth", range(1, LEVELS + 1))
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_leaves(depth, gaps, dtype):
    estimators, rows = fit_trees(depth, gaps)
    trees = [from_sklearn(one.tree_) for one in estimators]
    assert count_levels(trees) == depth
    graph = Graph()
    X = graph.add_input("X", dtype, (5,))
    numbers, leaves = number_leaves_at_once(graph, X, trees, depth)
    model = graph.build({"numbers": numbers})
    every = np.concatenate([values_of(one) for one in estimators])[leaves]
    for some in (rows, rows[:1]):
        found = every[run(model, some.astype(dtype))["numbers"]].reshape(len(trees), len(some))
        finite = np.where(np.isinf(some), np.float32(3e38), some)
        np.testing.assert_array_equal(found, [one.predict(finite) for one in estimators])


def test_stages_and_a_tree_of_one_leaf():
    estimators, rows = fit_trees(3, False)
    stump = DecisionTreeRegressor().fit(np.zeros((9, 5)), np.full(9, 7.0))
    estimators[3:4] = [stump]
    graph = Graph()
    X = graph.add_input("X", np.float32, (5,))
    start = np.array([0.5, -2.0])
    sums = add_stages(
        graph, X, [from_sklearn(one.tree_) for one in estimators], list(map(values_of, estimators)), start
    )
    model, finite = graph.build({"sums": sums}), np.nan_to_num(rows)
    expected = np.tile(start, (len(rows), 1))
    for index, one in enumerate(estimators):
        expected[:, index % 2] += one.predict(finite)
    np.testing.assert_array_equal(run(model, finite)["sums"], expected)
    np.testing.assert_array_equal(run(model, finite[:1])["sums"], expected[:1])
    assert "TreeEnsembleRegressor" not in {node.op_type for node in model.graph.node}


def test_what_is_too_deep():
    estimators, _ = fit_trees(LEVELS + 1, False)
    assert count_levels([from_sklearn(one.tree_) for one in estimators]) == LEVELS + 1
    leaf = np.array([-1, -1, -1])
    places = {"left": leaf + [2, 0, 0], "right": leaf + [3, 0, 0]}
    tree = Tree(
        np.zeros(3, int), np.zeros(3), missing_left=np.zeros(3, bool), equal=np.array([True, False, False]), **places
    )
    assert count_levels([tree]) == LEVELS + 1
