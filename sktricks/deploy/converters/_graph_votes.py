"""Votes and averages in a graph, with the order of summation of ``ensemble/_votes.py``, so that ties are equal.

Multilabel targets are treated as one binary problem per label (:func:`as_binary`). ``Sum`` adds its inputs one after
the other, as numpy sums over the first axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ensemble._votes import TIED, TINY
from .._graph import Graph, Value
from ._operators import compare, complement, opposite, row_max, row_sum, softmax, where

LARGE = 256  # number of classes from which a one-hot table becomes too large, and a few slower nodes are used


def total(graph: Graph, values: Sequence[Value]) -> Value:
    """Return the sum of values of one dtype and shape."""
    first = values[0]
    return first if len(values) == 1 else graph.op("Sum", *values, dtype=first.dtype, shape=first.shape)


def mean(graph: Graph, values: Sequence[Value]) -> Value:
    """Return the mean of values, in the dtype that numpy would choose for all."""
    dtype = np.result_type(*(value.dtype for value in values))
    return divide(graph, total(graph, [graph.cast(value, dtype) for value in values]), len(values))


def average(graph: Graph, values: Sequence[Value], weights) -> Value:
    """Return the weighted mean of values, float64, without those of weight 0."""
    used = [(graph.cast(value, np.float64), weight) for value, weight in zip(values, weights, strict=True) if weight]
    return divide(graph, total(graph, [times(graph, *pair) for pair in used]), np.sum(weights))


def times(graph: Graph, value: Value, factor) -> Value:
    """Return a value multiplied by a number."""
    return value if factor == 1 else graph.binary("Mul", value, factor)


def divide(graph: Graph, value: Value, divisor) -> Value:
    """Return a value divided by a number."""
    return value if divisor == 1 else graph.binary("Div", value, divisor)


def count_votes(graph: Graph, codes: Sequence[Value], n_classes: int, weights) -> Value:
    """Return the total weight of the votes for each class, (n, classes) float64."""
    pairs = [(one, weight) for one, weight in zip(codes, weights, strict=True) if weight]
    return total(graph, [one_hot(graph, one, n_classes, weight) for one, weight in pairs])


def one_hot(graph: Graph, codes: Value, n_classes: int, weight=1.0) -> Value:
    """Return votes one-hot encoded, with ``weight`` at the class and 0 elsewhere, float64."""
    if n_classes < LARGE:
        table = graph.constant(weight * np.eye(n_classes), np.float64)
        return graph.op("Gather", table, codes, dtype=np.float64, shape=(n_classes,))
    all_codes = graph.constant([np.arange(n_classes)], np.int64)
    chosen = graph.op("Equal", graph.reshape(codes, (1,)), all_codes, dtype=bool, shape=(n_classes,))
    return where(graph, chosen, graph.constant(weight, np.float64), graph.constant(0, np.float64))


# -- probabilities -----------------------------------------------------------------------------------------------------


def stack_probabilities(graph: Graph, members: Sequence[Value]) -> list[Value]:
    """Return the members' probabilities in one dtype; float32 that is cast to float64 is normalized again."""
    exact = np.result_type(*(one.dtype for one in members))
    return [one if one.dtype == exact else normalize(graph, graph.cast(one, exact)) for one in members]


def normalize(graph: Graph, value: Value) -> Value:
    """Return rows divided by their sums."""
    return graph.binary("Div", value, row_sum(graph, value))


def logs(graph: Graph, value: Value) -> Value:
    """Return logarithms of probabilities clipped above 0."""
    clipped = graph.binary("Max", value, TINY)
    return graph.op("Log", clipped, dtype=value.dtype, shape=value.shape)


def geometric(graph: Graph, members: Sequence[Value], weights) -> Value:
    """Return the normalized weighted geometric mean of the members, float64."""
    return softmax(graph, average(graph, [logs(graph, one) for one in members], weights))


def apply_temperatures(graph: Graph, members: Sequence[Value], temperatures) -> list[Value]:
    """Return each member's probabilities to the power 1 / temperature, normalized, all in one dtype."""
    tempered = [
        one
        if temperature == 1
        else softmax(graph, divide(graph, graph.cast(logs(graph, one), np.float64), temperature))
        for one, temperature in zip(members, temperatures, strict=True)
    ]
    dtype = np.result_type(*(one.dtype for one in tempered))
    return [graph.cast(one, dtype) for one in tempered]


# -- ties --------------------------------------------------------------------------------------------------------------


def split_ties(graph: Graph, fractions: Value, probabilities: Value) -> Value:
    """Return fractions of votes in which tied winners share their votes according to their probabilities."""
    nothing = graph.constant(0, np.float64)
    most = row_max(graph, fractions)
    almost = graph.binary("Mul", most, 1 - TIED)
    tied = graph.op("GreaterOrEqual", fractions, almost, dtype=bool, shape=fractions.shape)
    number = row_sum(graph, graph.cast(tied, np.float64))

    def mean_of_tied(value):
        return graph.binary("Div", row_sum(graph, where(graph, tied, value, nothing)), number)

    joint = mean_of_tied(fractions)
    gap = graph.binary("Sub", joint, row_max(graph, where(graph, tied, nothing, fractions)))
    rank = rank_down(graph, where(graph, tied, probabilities, graph.constant(-1, np.float64)))
    shift = graph.binary("Sub", mean_of_tied(rank), rank, shape=rank.shape)
    shift = graph.binary("Mul", shift, gap)
    shift = graph.binary("Div", shift, graph.binary("Mul", number, 2))
    return where(graph, tied, graph.binary("Add", joint, shift, shape=rank.shape), fractions)


def rank_down(graph: Graph, values: Value) -> Value:
    """Return for each value the number of distinct larger values in its row, float64."""
    width = values.shape[0]
    across, down = (graph.reshape(values, shape) for shape in ((1, width), (width, 1)))
    equal, larger = (graph.op(kind, down, across, dtype=bool, shape=(width, width)) for kind in ("Equal", "Greater"))
    earlier = graph.constant([np.tril(np.ones((width, width)), -1)])  # of equal values only the first counts
    repeated = graph.binary("Mul", graph.cast(equal, np.float64), earlier)
    axes = graph.constant([2], np.int64)
    repeated = graph.op("ReduceMax", repeated, axes, dtype=np.float64, shape=(width, 1), keepdims=1)
    counted = graph.binary("Mul", graph.cast(larger, np.float64), opposite(graph, 1, repeated))
    return graph.op("ReduceSum", counted, graph.constant([1], np.int64), dtype=np.float64, shape=(width,), keepdims=0)


# -- several labels, medians -------------------------------------------------------------------------------------------


def as_binary(graph: Graph, probabilities: Value) -> Value:
    """Return the probabilities of several labels as binary problems of shape (2,), one row per label."""
    return complement(graph, graph.reshape(probabilities, (1,)))


def weighted_median(graph: Graph, values: Sequence[Value], weights) -> Value:
    """Return the weighted median of the members, of shape (); the midpoint if it lies between two values."""
    columns = graph.concat([graph.reshape(value, (1,)) for value in values])
    count = columns.shape[0]
    ordered, order = graph.ops(
        "TopK",
        columns,
        graph.constant([count], np.int64),
        outputs=[(columns.dtype, (count,)), (np.int64, (count,))],
        largest=0,
    )
    if np.ptp(weights) == 0:
        lower, upper = (graph.column(ordered, index) for index in ((count - 1) // 2, count // 2))
        return lower if lower == upper else graph.binary("Div", graph.binary("Add", lower, upper), 2)
    own = graph.op("Gather", graph.constant(weights, np.float64), order, dtype=np.float64, shape=(count,))
    below = graph.op("CumSum", own, graph.constant(1, np.int64), dtype=np.float64, shape=(count,))
    half = np.sum(weights) / 2
    ends = []
    for kind, threshold in (("GreaterOrEqual", half * (1 - TIED)), ("Greater", half * (1 + TIED))):
        reached = graph.cast(compare(graph, kind, below, threshold), np.float32)
        index = graph.op("ArgMax", reached, dtype=np.int64, shape=(1,), axis=1, keepdims=1)
        ends.append(graph.op("GatherElements", ordered, index, dtype=ordered.dtype, shape=(1,), axis=1))
    return graph.reshape(graph.binary("Div", graph.binary("Add", ends[0], ends[1]), 2), ())
