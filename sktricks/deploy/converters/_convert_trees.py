"""Converters of scikit-learn's decision trees and forests, exact to the last bit.

They round X to float32 first, as scikit-learn does. Probabilities are added in float64 and in the order of the trees:
classes that are equally probable are told apart as in ``predict``.
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
    """Return the sum of what fitted trees give for X."""
    refuse_several_outputs(graph, estimators[0])
    value = graph.matrix(X, np.float32)
    return add_up(graph, value, [from_sklearn(e.tree_) for e in estimators], [leaf_values(e.tree_) for e in estimators])


def refuse_several_outputs(graph: Graph, tree) -> None:
    """Raise an error for a classifier whose y has several columns."""
    if tree.n_outputs_ > 1 and hasattr(tree, "classes_"):
        raise graph.refuse(
            f"{tree.n_outputs_} outputs of a classifier of trees", "fit and export one classifier for each column of y"
        )


def leaf_values(tree) -> np.ndarray:
    """Return what the leaves of a ``tree_`` predict: (leaves, classes) or (leaves, outputs)."""
    values = tree.value[tree.children_left < 0]
    return values[:, 0, :] if tree.n_outputs == 1 else values[:, :, 0]


def as_values(graph: Graph, values: Value) -> Prediction:
    """Return the prediction of a regressor; a single output has no axis of its own."""
    return Prediction(values=graph.reshape(values, ()) if values.shape == (1,) else values)
