"""Converters of scikit-learn's decision trees and forests, exact to the last bit.

X is first rounded to float32, as in scikit-learn. Probabilities are summed in float64 in the order of the trees, so
that ties between classes are broken as in ``predict``.
"""

from __future__ import annotations

import numpy as np

from .._graph import Graph, Prediction, Table, Value
from ._registry import converts, from_probabilities
from ._tree_ensembles import add_up, from_sklearn


@converts("sklearn.tree.DecisionTreeClassifier", "sklearn.tree.ExtraTreeClassifier")
def convert_tree_classifier(graph: Graph, tree, X: Table) -> Prediction:
    """Look up the probabilities of the leaf."""
    return from_probabilities(graph, add_trees_up(graph, [tree], X))


@converts("sklearn.tree.DecisionTreeRegressor", "sklearn.tree.ExtraTreeRegressor")
def convert_tree_regressor(graph: Graph, tree, X: Table) -> Prediction:
    """Look up the value, or values, of the leaf."""
    return as_values(graph, add_trees_up(graph, [tree], X))


@converts("sklearn.ensemble.RandomForestClassifier", "sklearn.ensemble.ExtraTreesClassifier")
def convert_forest_classifier(graph: Graph, forest, X: Table) -> Prediction:
    """Average the probabilities of the trees."""
    total = add_trees_up(graph, forest.estimators_, X)
    return from_probabilities(graph, graph.binary("Div", total, len(forest.estimators_)))


@converts("sklearn.ensemble.RandomForestRegressor", "sklearn.ensemble.ExtraTreesRegressor")
def convert_forest_regressor(graph: Graph, forest, X: Table) -> Prediction:
    """Average the values of the trees."""
    total = add_trees_up(graph, forest.estimators_, X)
    return as_values(graph, graph.binary("Div", total, len(forest.estimators_)))


def add_trees_up(graph: Graph, estimators, X: Table) -> Value:
    """Return the sum of the predictions of fitted trees."""
    refuse_several_outputs(graph, estimators[0])
    value = graph.matrix(X, np.float32)
    return add_up(graph, value, [from_sklearn(e.tree_) for e in estimators], [leaf_values(e.tree_) for e in estimators])


def refuse_several_outputs(graph: Graph, tree) -> None:
    """Raise an error for a classifier whose y has several columns."""
    if tree.n_outputs_ > 1 and hasattr(tree, "classes_"):
        raise graph.refuse(
            f"{tree.n_outputs_} outputs of a tree-based classifier", "fit and export one classifier per column of y"
        )


def leaf_values(tree) -> np.ndarray:
    """Return the values of the leaves of a ``tree_``, of shape (leaves, classes) or (leaves, outputs)."""
    values = tree.value[tree.children_left < 0]
    return values[:, 0, :] if tree.n_outputs == 1 else values[:, :, 0]


def as_values(graph: Graph, values: Value) -> Prediction:
    """Return the prediction of a regressor, without an axis for a single output."""
    return Prediction(values=graph.reshape(values, ()) if values.shape == (1,) else values)
