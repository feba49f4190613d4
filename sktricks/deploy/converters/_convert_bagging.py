"""Converters of bagging and AdaBoost; ensembles of trees become one operator, like forests."""

from __future__ import annotations

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from ...ensemble._target import Target
from .._graph import Graph, Prediction, Table, Value
from ._aligned_members import needed, read_member
from ._convert_trees import as_values, leaf_values
from ._graph_votes import count_votes, total
from ._operators import softmax
from ._registry import converts, from_probabilities, predict
from ._tree_ensembles import add_up, from_sklearn, look_up_leaves

TREES = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)


@converts("sklearn.ensemble.BaggingClassifier")
def convert_bagging_classifier(graph: Graph, bagging, X: Table) -> Prediction:
    """Average the probabilities of the members, or their votes if they have none.

    Members were fitted on codes, possibly only on some of them.
    """
    members, width = bagging.estimators_, len(bagging.classes_)
    if are_trees(members):
        values = [spread(leaf_values(tree.tree_), tree.classes_, width) for tree in members]
        sums = add_trees(graph, X, members, bagging.estimators_features_, values)
    else:
        target = Target("classes", np.arange(width))
        method = "predict_proba" if hasattr(members[0], "predict_proba") else "predict"
        found = read_members(graph, members, bagging.estimators_features_, X, method, target)
        if method == "predict_proba":
            sums = total(graph, [graph.cast(value, np.float64) for value in found])
        else:
            sums = count_votes(graph, found, width, np.ones(len(found)))
    return from_probabilities(graph, graph.binary("Div", sums, len(members)))


@converts("sklearn.ensemble.BaggingRegressor")
def convert_bagging_regressor(graph: Graph, bagging, X: Table) -> Prediction:
    """Average the predictions of the members."""
    members, features = bagging.estimators_, bagging.estimators_features_
    if are_trees(members):
        sums = add_trees(graph, X, members, features, [leaf_values(tree.tree_) for tree in members])
    else:
        found = read_members(graph, members, features, X, "predict", Target("values"))
        sums = total(graph, [graph.cast(value, np.float64) for value in found])
    return as_values(graph, graph.binary("Div", sums, len(members)))


@converts("sklearn.ensemble.AdaBoostClassifier")
def convert_ada_boost_classifier(graph: Graph, boosting, X: Table) -> Prediction:
    """Sum the weighted votes of the members; the decision values are logits up to a factor."""
    members, classes, weights = boosting.estimators_, boosting.classes_, boosting.estimator_weights_
    width = len(classes)
    if width == 1:
        raise graph.refuse("its single class", "fit it on several classes")
    tables = [np.where(np.eye(width, dtype=bool), weight, -1 / (width - 1) * weight) for weight in weights]
    everything = [range(boosting.n_features_in_)] * len(members)
    if are_trees(members):
        values = [
            table[np.searchsorted(classes, tree.classes_)[leaf_values(tree.tree_).argmax(1)]]
            for tree, table in zip(members, tables, strict=False)
        ]
        sums = add_trees(graph, X, members, everything, values)
    else:
        codes = read_members(graph, members, everything, X, "predict", Target("classes", classes))
        votes = [
            graph.op("Gather", graph.constant(table), code, dtype=np.float64, shape=(width,), axis=0)
            for table, code in zip(tables, codes, strict=False)
        ]
        sums = total(graph, votes)
    scores = graph.binary("Div", sums, weights.sum())
    if width > 2:
        logits = graph.binary("Div", scores, width - 1)
        return Prediction(codes=graph.argmax(scores), probabilities=softmax(graph, logits), scores=scores)
    score = graph.binary("Sub", graph.take(scores, [1]), graph.take(scores, [0]))
    logits = graph.binary("Div", graph.concat([graph.op("Neg", score, dtype=score.dtype, shape=(1,)), score]), 2)
    positive = graph.op("Greater", graph.reshape(score, ()), graph.constant(0.0), dtype=bool)
    return Prediction(
        codes=graph.cast(positive, np.int64),
        probabilities=softmax(graph, logits),
        scores=graph.reshape(score, ()),
    )


@converts("sklearn.ensemble.AdaBoostRegressor")
def convert_ada_boost_regressor(graph: Graph, boosting, X: Table) -> Prediction:
    """Return the weighted median of the members' values: the first at which half of the total weight is reached."""
    members, count = boosting.estimators_, len(boosting.estimators_)
    everything = [range(boosting.n_features_in_)] * count
    if are_trees(members):
        value = graph.matrix(X, np.float32)
        trees = [from_sklearn(tree.tree_) for tree in members]
        values = look_up_leaves(graph, value, trees, [leaf_values(tree.tree_) for tree in members])
    else:
        found = read_members(graph, members, everything, X, "predict", Target("values"))
        values = graph.concat([graph.reshape(graph.cast(one, np.float64), (1,)) for one in found])
    outputs = [(np.float64, (count,)), (np.int64, (count,))]
    ordered, order = graph.ops("TopK", values, graph.constant([count], np.int64), outputs=outputs, axis=1, largest=0)
    weights = graph.constant(boosting.estimator_weights_[:count])
    weights = graph.op("Gather", weights, order, dtype=np.float64, shape=(count,), axis=0)
    reached = graph.op("CumSum", weights, graph.constant(1, np.int64), dtype=np.float64, shape=(count,))
    half = graph.binary("Mul", graph.take(reached, [count - 1]), 0.5)
    enough = graph.op("GreaterOrEqual", reached, half, dtype=bool, shape=(count,))
    first = graph.op("ArgMax", graph.cast(enough, np.int32), dtype=np.int64, shape=(1,), axis=1, keepdims=1)
    median = graph.op("GatherElements", ordered, first, dtype=np.float64, shape=(1,), axis=1)
    return Prediction(values=graph.reshape(median, ()))


def are_trees(members) -> bool:
    """Return True if all members are decision trees with one output."""
    return all(type(member) in TREES for member in members)


def add_trees(graph: Graph, X: Table, members, features, values) -> Value:
    """Return the sum of the values of the leaves; each tree was fitted on its own ``features``."""
    trees = [from_sklearn(tree.tree_, columns) for tree, columns in zip(members, features, strict=True)]
    return add_up(graph, graph.matrix(X, np.float32), trees, values)


def spread(values: np.ndarray, codes: np.ndarray, width: int) -> np.ndarray:
    """Return ``width`` columns: the values at the positions ``codes``, zeros elsewhere."""
    wide = np.zeros((len(values), width))
    wide[:, codes] = values
    return wide


def read_members(graph: Graph, members, features, X: Table, method: str, target: Target) -> list[Value]:
    """Return the predictions of each member from its features of X."""
    value = graph.matrix(X)
    found = []
    for number, (member, columns) in enumerate(zip(members, features, strict=True)):
        with graph.scope(f"member{number}"):
            prediction = predict(graph, member, graph.take(value, columns))
            if target.kind == "values":  # one output or several
                found.append(needed(graph, member, prediction.values))
            else:
                found.append(read_member(graph, member, prediction, method, target))
    return found
