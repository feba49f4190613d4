"""Converter of DistilledClassifier and DistilledRegressor: the student alone."""

from __future__ import annotations

from .._graph import Graph, Prediction, Table
from ._registry import converts, predict


@converts("sktricks.deploy.DistilledClassifier", "sktricks.deploy.DistilledRegressor")
def convert_distilled(graph: Graph, distilled, X: Table) -> Prediction:
    """Add the student, whose columns are in the order of ``classes_``."""
    return predict(graph, distilled.student_, X)
