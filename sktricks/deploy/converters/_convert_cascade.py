"""Converter of CascadeClassifier.

The graph has no branches: it runs all members for every row, and uses the predictions of those that the row needs. In
ONNX, a cascade is therefore as slow as all of its members; skipping members would require ``If``, one row at a time.
"""

from __future__ import annotations

import numpy as np

from .._graph import Graph, Prediction, Table, Value
from ._aligned_members import add_members
from ._operators import compare, row_max, row_sum
from ._registry import converts, from_probabilities


@converts("sktricks.ensemble.CascadeClassifier")
def convert_cascade(graph: Graph, cascade, X: Table) -> Prediction:
    """Add the members; average the probabilities of those that each row needs."""
    target, waiting = cascade._target, None
    total: Value | None = None
    times: Value | None = None
    for member, threshold in zip(
        add_members(graph, cascade._names, cascade.estimators_, X),
        [*np.ravel(cascade.thresholds_)[: len(cascade.estimators_) - 1], None],
        strict=True,
    ):
        proba = member.read(graph, "predict_proba", target)
        known = is_finite(graph, proba)
        counted = known if waiting is None else both(graph, known, waiting)
        added = graph.op("Where", counted, proba, graph.constant(0, proba.dtype), dtype=proba.dtype, shape=proba.shape)
        once = graph.cast(counted, proba.dtype)
        total = added if total is None else add_to(graph, total, added)
        times = once if times is None else add_to(graph, times, once)
        if threshold is not None and threshold != np.inf:
            confidence = row_max(graph, graph.binary("Div", total, times))
            decided = both(graph, known, compare(graph, "GreaterOrEqual", confidence, threshold))
            left = graph.op("Not", decided, dtype=bool, shape=(1,))
            waiting = left if waiting is None else both(graph, waiting, left)
    assert total is not None  # a cascade has members
    return from_probabilities(graph, graph.binary("Div", total, times))


def is_finite(graph: Graph, proba: Value) -> Value:
    """Return True for each row without NaN and infinity, of shape (1,)."""
    row = row_sum(graph, proba)
    return compare(graph, "Equal", graph.binary("Sub", row, row), 0)


def both(graph: Graph, a: Value, b: Value) -> Value:
    """Return True where two conditions hold."""
    return graph.op("And", a, b, dtype=bool, shape=(1,))


def add_to(graph: Graph, total: Value, added: Value) -> Value:
    """Return the sum in the dtype of the first member, as in-place addition does."""
    dtype = np.result_type(total.dtype, added.dtype)
    return graph.cast(graph.binary("Add", graph.cast(total, dtype), graph.cast(added, dtype)), total.dtype)
