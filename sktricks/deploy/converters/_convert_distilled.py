"""Converter of DistilledClassifier and DistilledRegressor: only the student is exported."""

from __future__ import annotations

from .._graph import Graph, Prediction, Table
from ._registry import converts, predict


@converts("sktricks.deploy.DistilledClassifier", "sktricks.deploy.DistilledRegressor")
def convert_distilled(graph: Graph, distilled, X: Table) -> Prediction:
    """Add the student, whose probabilities are in the order of ``classes_``."""
    return predict(graph, distilled.student_, X)
