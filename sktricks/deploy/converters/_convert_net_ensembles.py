"""Converters of NetEnsembleClassifier and NetEnsembleRegressor: the mean of their members.

Members with the same frozen backbone share its features, which are computed once.
"""

from __future__ import annotations

import numpy as np

from .._graph import Graph, Prediction, Table
from ._aligned_members import needed
from ._graph_votes import mean
from ._operators import above_half
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
        return Prediction(values=mean(graph, [needed(graph, ensemble, one.values) for one in predictions]))
    pairs = zip(ensemble.estimators_, predictions, strict=True)
    probabilities = mean(graph, [needed(graph, member, one.probabilities) for member, one in pairs])
    if kind == "classes":
        return from_probabilities(graph, probabilities)
    return Prediction(codes=above_half(graph, probabilities), probabilities=probabilities)


def check_classes(graph: Graph, ensemble, member) -> None:
    """Raise an error if the classes of a member differ from those of the ensemble."""
    if ensemble._target.kind == "classes" and not np.array_equal(member.classes_, ensemble.classes_):
        raise graph.refuse("a member that lacks some of the classes", "fit on rows of all classes")
