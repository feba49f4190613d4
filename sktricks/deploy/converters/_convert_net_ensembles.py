"""Converters of NetEnsembleClassifier and NetEnsembleRegressor: the mean of their members.

Members on the same frozen backbone share its features, which are in the graph once.
"""

from __future__ import annotations

import numpy as np

from .._graph import Graph, Prediction, Table, Value
from ._registry import converts, from_probabilities, predict


@converts("sktricks.NetEnsembleClassifier", "sktricks.NetEnsembleRegressor")
def convert_net_ensemble(graph: Graph, ensemble, X: Table) -> Prediction:
    """Add all members and their mean."""
    predictions = []
    for name, member in zip(ensemble._names, ensemble.estimators_, strict=True):
        with graph.scope(name):
            predictions.append(predict(graph, member, X))
            check_classes(graph, ensemble, member)
    kind = ensemble._target.kind
    if kind == "values":
        return Prediction(values=mean(graph, [one.values for one in predictions]))
    probabilities = mean(graph, [one.probabilities for one in predictions])
    if kind == "classes":
        return from_probabilities(graph, probabilities)
    half = graph.constant(0.5, probabilities.dtype)
    codes = graph.op("Greater", probabilities, half, dtype=bool, shape=probabilities.shape)
    return Prediction(codes=graph.cast(codes, np.int64), probabilities=probabilities)


def check_classes(graph: Graph, ensemble, member) -> None:
    """Refuse a member that knows other classes than the ensemble."""
    if ensemble._target.kind == "classes" and not np.array_equal(member.classes_, ensemble.classes_):
        raise graph.refuse("a member that lacks some of the classes", "fit on rows of all classes")


def mean(graph: Graph, values: list[Value | None]) -> Value:
    """Return the mean of what the members predict, in the dtype that numpy would choose."""
    present = [value for value in values if value is not None]
    if len(present) < len(values):
        raise graph.refuse("a member without probabilities", "use NetClassifier or FineTuneClassifier as members")
    dtype = np.result_type(*(value.dtype for value in present))
    same = [graph.cast(value, dtype) for value in present]
    total = graph.op("Sum", *same, dtype=dtype, shape=same[0].shape)
    return graph.binary("Div", total, len(same))
