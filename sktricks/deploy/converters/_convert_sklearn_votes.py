"""Converters of scikit-learn's votes, whose members are fitted on the codes of the classes."""

from __future__ import annotations

import numpy as np

from ...ensemble._target import Target
from .._graph import Graph, Prediction, Table, Value
from ._aligned_members import Member, add_members, check_codes
from ._graph_votes import average, count_votes, mean
from ._registry import converts, from_probabilities, transforms


@converts("sklearn.ensemble.VotingClassifier")
def convert_voting_classifier(graph: Graph, vote, X: Table) -> Prediction:
    """Add the members, and predict the class with the most votes or the largest mean probability."""
    target, members, weights = add_classifiers(graph, vote, X)
    if vote.voting == "hard":
        codes = [member.read(graph, "predict", target) for member in members]
        ones = np.ones(len(members)) if weights is None else weights
        return Prediction(codes=graph.argmax(count_votes(graph, codes, target.width, ones)))
    return from_probabilities(graph, pool(graph, read_all(graph, members, "predict_proba", target), weights))


@transforms("sklearn.ensemble.VotingClassifier")
def transform_voting_classifier(graph: Graph, vote, X: Table) -> Value:
    """Add the members, and their codes or probabilities as columns."""
    target, members, _ = add_classifiers(graph, vote, X)
    if vote.voting == "hard":
        return graph.concat([graph.reshape(codes, (1,)) for codes in read_all(graph, members, "predict", target)])
    if not vote.flatten_transform:
        raise graph.refuse("flatten_transform=False, whose first axis is that of the members", "set it to True")
    return graph.concat(read_all(graph, members, "predict_proba", target))


@converts("sklearn.ensemble.VotingRegressor")
def convert_voting_regressor(graph: Graph, vote, X: Table) -> Prediction:
    """Add the members and their mean."""
    members, weights = add_used(graph, vote, X)
    return Prediction(values=pool(graph, read_all(graph, members, "predict", Target("values")), weights))


@transforms("sklearn.ensemble.VotingRegressor")
def transform_voting_regressor(graph: Graph, vote, X: Table) -> Value:
    """Add the members, and their values as columns."""
    members, _ = add_used(graph, vote, X)
    return graph.concat([graph.reshape(one, (1,)) for one in read_all(graph, members, "predict", Target("values"))])


def add_classifiers(graph: Graph, vote, X: Table):
    """Return the target, the members, and their weights or None."""
    target = Target("classes", np.arange(len(vote.classes_)))
    members, weights = add_used(graph, vote, X)
    for member in members:
        check_codes(graph, member, target)
    return target, members, weights


def add_used(graph: Graph, vote, X: Table) -> tuple[list[Member], np.ndarray | None]:
    """Return the members that are not dropped, and their weights or None."""
    used = np.array([not isinstance(estimator, str) for _, estimator in vote.estimators])
    names = [name for (name, _), use in zip(vote.estimators, used, strict=True) if use]
    weights = None if vote.weights is None else np.asarray(vote.weights, np.float64)[used]
    return add_members(graph, names, vote.estimators_, X), weights


def read_all(graph: Graph, members: list[Member], method: str, target: Target) -> list[Value]:
    """Return the predictions of all members."""
    return [member.read(graph, method, target) for member in members]


def pool(graph: Graph, values: list[Value], weights: np.ndarray | None) -> Value:
    """Return the mean, in the dtype of the members, or the weighted mean, float64."""
    return mean(graph, values) if weights is None else average(graph, values, weights)
