"""Predictions of the members of an ensemble, aligned with its classes.

This is the counterpart of ``ensemble/_predictions.py``: members may have the classes in any order, or only some of
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._labels import encode_labels
from ...ensemble._target import Target
from .._graph import Graph, Prediction, Table, Value
from ._operators import above_half
from ._registry import predict


@dataclass(frozen=True)
class Member:
    """A fitted member of an ensemble, after it was added to a graph.

    Parameters
    ----------
    name : str
    estimator : estimator
    prediction : Prediction
        The result of its converter.
    """

    name: str
    estimator: Any
    prediction: Prediction

    def read(self, graph: Graph, method: str, target: Target) -> Value:
        """Return the member's predictions as the ensemble uses them; see :func:`read_member`."""
        with graph.scope(self.name):
            return read_member(graph, self.estimator, self.prediction, method, target)


def add_members(graph: Graph, names: Sequence[str], estimators: Sequence, X: Table) -> list[Member]:
    """Add each member to a graph, in the scope of its name."""
    members = []
    for name, estimator in zip(names, estimators, strict=True):
        with graph.scope(name):
            members.append(Member(name, estimator, predict(graph, estimator, X)))
    return members


def check_codes(graph: Graph, member: Member, target: Target) -> None:
    """Raise an error unless a member of scikit-learn's votes and stacks was fitted on the codes of all classes.

    Frozen members, and those of a stack with ``cv="prefit"``, may have been fitted on other labels.
    """
    if target.kind == "classes" and not is_coded(getattr(member.estimator, "classes_", None), target.width):
        with graph.scope(member.name):
            raise graph.refuse(
                f"its classes, which must be 0..{target.width - 1} in scikit-learn's votes and stacks",
                "fit it on these codes, or use the vote or stack of sktricks, which aligns members by their classes",
            )


def is_coded(classes, width: int) -> bool:
    """Return True for the classes 0, 1, ..., width - 1."""
    return classes is not None and np.array_equal(classes, np.arange(width))


def read_member(graph: Graph, estimator, prediction: Prediction, method: str, target: Target) -> Value:
    """Return the predictions of a fitted member as an ensemble uses them.

    Parameters
    ----------
    graph : Graph
    estimator : estimator
    prediction : Prediction
        The result of its converter.
    method : {"predict", "predict_proba", "decision_function"}
    target : Target
        The target of the ensemble.

    Returns
    -------
    value : Value
        Its shape per row: for ``predict``, values or codes of shape (), or multilabel 0 and 1 of shape (labels,); for
        ``predict_proba``, (classes,) or (labels,); for ``decision_function``, (columns,).
    """
    if method == "predict":
        return read_predictions(graph, estimator, prediction, target)
    value = prediction.probabilities if method == "predict_proba" else prediction.scores
    if value is None:
        raise graph.refuse(f"{type(estimator).__name__}, whose {method} has no converter", "use another method")
    if method == "predict_proba":
        return align_probabilities(graph, estimator, value, target) if target.kind == "classes" else value
    return align_scores(graph, estimator, value, target)


def read_predictions(graph: Graph, estimator, prediction: Prediction, target: Target) -> Value:
    """Return codes, multilabel 0 and 1, or values."""
    if target.kind == "classes":
        own = own_codes(estimator, target)
        return pick(graph, own, needed(graph, estimator, prediction.codes))
    if prediction.codes is not None and target.kind == "multilabel":
        return prediction.codes
    values = needed(graph, estimator, prediction.values)
    if target.kind == "multilabel":
        return above_half(graph, values)
    return graph.reshape(values, ()) if values.shape == (1,) else values


def needed(graph: Graph, estimator, value: Value | None) -> Value:
    """Return a value, or raise an error if the converter of a member returned none."""
    if value is None:
        raise graph.refuse(f"{type(estimator).__name__}, which predicts another kind of target", "replace it")
    return value


def own_codes(estimator, target: Target) -> np.ndarray:
    """Return the codes that the classes of a member have in the ensemble."""
    own = getattr(estimator, "classes_", None)
    if own is None:
        return np.arange(target.width)
    return encode_labels(np.asarray(own), target.classes, "classes_")


def pick(graph: Graph, options: np.ndarray, codes: Value) -> Value:
    """Return ``options[codes]``, without an operator if the options are 0, 1, 2, ..."""
    if np.array_equal(options, np.arange(len(options))):
        return codes
    return graph.op("Gather", graph.constant(options, np.int64), codes, dtype=np.int64, shape=codes.shape)


def align_probabilities(graph: Graph, estimator, value: Value, target: Target) -> Value:
    """Return one column per class of the ensemble, with zeros for classes that a member lacks."""
    own = own_codes(estimator, target)
    if len(own) < target.width:
        pads = graph.constant([0, 0, 0, 1], np.int64)
        value = graph.op("Pad", value, pads, dtype=value.dtype, shape=(len(own) + 1,))
    return spread(graph, value, own, target.width)


def align_scores(graph: Graph, estimator, value: Value, target: Target) -> Value:
    """Return decision values as columns; classes that a member lacks get its lowest value."""
    value = value if value.shape else graph.reshape(value, (1,))
    own = own_codes(estimator, target) if target.kind == "classes" else np.arange(target.width)
    if len(own) == target.width and np.array_equal(own, np.arange(target.width)):
        return value
    if value.shape == (1,):
        value = graph.concat([graph.op("Neg", value, dtype=value.dtype, shape=(1,)), value])
    if len(own) < target.width:
        axes = graph.constant([1], np.int64)
        value = graph.concat([value, graph.op("ReduceMin", value, axes, dtype=value.dtype, shape=(1,))])
    return spread(graph, value, own, target.width)


def spread(graph: Graph, value: Value, own: np.ndarray, width: int) -> Value:
    """Return ``width`` columns: the given ones at the positions ``own``, copies of the last one elsewhere."""
    columns = np.full(width, value.shape[0] - 1)
    columns[own] = np.arange(len(own))
    return graph.take(value, columns.tolist())
