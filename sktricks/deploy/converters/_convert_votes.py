"""Converters of the votes of sktricks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._graph import Graph, Prediction, Table, Value
from ._aligned_members import Member, add_members
from ._graph_votes import (
    apply_temperatures,
    as_binary,
    average,
    count_votes,
    divide,
    geometric,
    split_ties,
    stack_probabilities,
    weighted_median,
)
from ._registry import as_labels, converts, transforms


@converts("sktricks.ensemble.VotingClassifier")
def convert_voting_classifier(graph: Graph, vote, X: Table) -> Prediction:
    """Add the members with nonzero weight, and their vote."""
    target, used = vote._target, np.flatnonzero(vote.weights_)
    members, weights = add_some(graph, vote, used, X), vote.weights_[used]
    if vote.voting == "hard":
        counts = count_votes(graph, read_codes(graph, members, target), target.n_options, weights)
        mean = divide(graph, counts, weights.sum())
        if vote.tie_break == "probability":
            probabilities = read_probabilities(graph, vote, members, used)
            counts = mean = split_ties(graph, mean, average(graph, probabilities, weights))
    else:
        counts = mean = pool(graph, vote, read_probabilities(graph, vote, members, used), weights)
    codes = graph.argmax(counts)
    if target.kind == "multilabel":
        codes, mean = graph.reshape(codes, (target.width,)), positive(graph, mean, target)
    return Prediction(codes=codes, probabilities=mean)


@transforms("sktricks.ensemble.VotingClassifier")
def transform_voting_classifier(graph: Graph, vote, X: Table) -> Value:
    """Add all members, and their labels or probabilities as columns."""
    target, every = vote._target, np.arange(len(vote.estimators_))
    members = add_some(graph, vote, every, X)
    if vote.voting != "hard" and not vote.flatten_transform:
        raise graph.refuse("flatten_transform=False, whose first axis is that of the members", "set it to True")
    if vote.voting != "hard":
        columns = read_probabilities(graph, vote, members, every)
        return graph.concat([positive(graph, one, target) for one in columns] if target.kind != "classes" else columns)
    votes = [member.read(graph, "predict", target) for member in members]
    if target.kind == "classes":
        votes = [graph.reshape(as_labels(graph, codes, target.classes), (1,)) for codes in votes]
    return graph.concat(votes)


@converts("sktricks.ensemble.VotingRegressor")
def convert_voting_regressor(graph: Graph, vote, X: Table) -> Prediction:
    """Add the members with nonzero weight, and their mean or median."""
    used = np.flatnonzero(vote.weights_)
    values = [member.read(graph, "predict", vote._target) for member in add_some(graph, vote, used, X)]
    blend = average if vote.average == "mean" else weighted_median
    return Prediction(values=blend(graph, values, vote.weights_[used]))


@transforms("sktricks.ensemble.VotingRegressor")
def transform_voting_regressor(graph: Graph, vote, X: Table) -> Value:
    """Add all members, and their values as columns."""
    members = add_some(graph, vote, np.arange(len(vote.estimators_)), X)
    return graph.concat([graph.reshape(member.read(graph, "predict", vote._target), (1,)) for member in members])


def add_some(graph: Graph, vote, used: np.ndarray, X: Table) -> list[Member]:
    """Add some of the members, given by their indices."""
    return add_members(graph, [vote._names[index] for index in used], [vote.estimators_[index] for index in used], X)


def read_codes(graph: Graph, members: Sequence[Member], target) -> list[Value]:
    """Return the members' codes, one per row, or one per row and label."""
    votes = [member.read(graph, "predict", target) for member in members]
    return [graph.reshape(codes, ()) for codes in votes] if target.kind == "multilabel" else votes


def read_probabilities(graph: Graph, vote, members: Sequence[Member], used: np.ndarray) -> list[Value]:
    """Return the members' probabilities after temperature scaling, with multilabel targets as binary problems."""
    target = vote._target
    values = [member.read(graph, "predict_proba", target) for member in members]
    if target.kind == "classes":
        values = stack_probabilities(graph, values)
    else:
        dtype = np.result_type(*(one.dtype for one in values))
        values = [as_binary(graph, graph.cast(one, dtype)) for one in values]
    temperatures = getattr(vote, "temperatures_", None)
    return values if temperatures is None else apply_temperatures(graph, values, temperatures[used])


def pool(graph: Graph, vote, probabilities: Sequence[Value], weights) -> Value:
    """Return the mean of the members, in their dtype, or their geometric mean."""
    if vote.voting == "geometric":
        return geometric(graph, probabilities, weights)
    return graph.cast(average(graph, probabilities, weights), probabilities[0].dtype)


def positive(graph: Graph, binary: Value, target) -> Value:
    """Return the probability of each of several labels, from binary problems."""
    return graph.reshape(graph.column(binary, 1), (target.width,))
