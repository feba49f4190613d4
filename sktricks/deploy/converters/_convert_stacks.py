"""Converters of the stacks of sktricks and of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ensemble._passthrough import as_key
from ...ensemble._target import Target
from .._graph import STRING, Frame, Graph, Paths, Prediction, Table, Value
from ._aligned_members import Member, add_members, check_codes, read_member
from ._registry import converts, predict, transform, transforms

OURS = "sktricks.ensemble.StackingClassifier", "sktricks.ensemble.StackingRegressor"
FOREIGN = "sklearn.ensemble.StackingClassifier", "sklearn.ensemble.StackingRegressor"


@converts(*OURS)
def convert_stack(graph: Graph, stack, X: Table) -> Prediction:
    """Add the members and the final estimator, which may lack some of the classes."""
    return add_final(graph, stack, transform_stack(graph, stack, X), stack._target)


@transforms(*OURS)
def transform_stack(graph: Graph, stack, X: Table) -> Value:
    """Add the members, and their columns beside those that are passed through."""
    members = add_members(graph, stack._names, stack.estimators_, X)
    blocks = add_blocks(graph, members, stack.stack_method_, stack._targets)
    return join_passed(graph, stack, blocks, X)


@converts(*FOREIGN)
def convert_foreign_stack(graph: Graph, stack, X: Table) -> Prediction:
    """Add the members and the final estimator, both fitted on codes of the classes."""
    return add_final(graph, stack, transform_foreign_stack(graph, stack, X), foreign_target(graph, stack))


@transforms(*FOREIGN)
def transform_foreign_stack(graph: Graph, stack, X: Table) -> Value:
    """Add the members, and their columns before X, if it is passed through."""
    target = foreign_target(graph, stack)
    names = [name for name, estimator in stack.estimators if not isinstance(estimator, str)]
    members = add_members(graph, names, stack.estimators_, X)
    for member in members:
        check_codes(graph, member, target)
    blocks = add_blocks(graph, members, stack.stack_method_, [target] * len(members))
    return join_passed(graph, stack, blocks, X)


def foreign_target(graph: Graph, stack) -> Target:
    """Return the target of scikit-learn's members and final estimator: values, or codes of the classes."""
    classes = getattr(stack, "classes_", None)
    if classes is None:
        return Target("values")
    if isinstance(classes, list):
        raise graph.refuse("several labels per row in scikit-learn's stack", "use sktricks.StackingClassifier")
    return Target("classes", np.arange(len(classes)))


def add_blocks(graph: Graph, members: Sequence[Member], methods: Sequence[str], targets: Sequence[Target]):
    """Return the columns of each member; with two classes only the second probability."""
    blocks = []
    for member, method, target in zip(members, methods, targets, strict=True):
        value = member.read(graph, method, target)
        if method == "predict_proba" and target.kind == "classes" and target.width == 2:
            value = graph.take(value, [1])
        blocks.append(value if value.shape else graph.reshape(value, (1,)))
    return blocks


def add_final(graph: Graph, stack, columns: Value, target: Target) -> Prediction:
    """Return the prediction of the final estimator."""
    final = stack.final_estimator_
    with graph.scope("final_estimator"):
        prediction = predict(graph, final, columns)
        if target.kind == "values":
            return prediction
        codes = read_member(graph, final, prediction, "predict", target)
        if prediction.probabilities is None:
            return Prediction(codes=codes, scores=prediction.scores)
        probabilities = read_member(graph, final, prediction, "predict_proba", target)
        return Prediction(codes=codes, probabilities=probabilities, scores=prediction.scores)


# -- what is passed through --------------------------------------------------------------------------------------------


def join_passed(graph: Graph, stack, blocks: Sequence[Value], X: Table) -> Value:
    """Concatenate the members' columns and those of X that are passed through."""
    passthrough = stack.passthrough
    if isinstance(passthrough, bool | np.bool_) and not passthrough:
        return graph.concat(blocks)
    if callable(passthrough):
        passed = call(graph, passthrough, X)
    else:
        passed = X if passthrough is True or passthrough is np.True_ else select(graph, stack, X)
    if isinstance(passed, Paths) or len(passed.shape) != 1:
        raise graph.refuse(f"passthrough={passthrough!r}, which requires rows of numbers", "set it to False")
    if STRING in [one.dtype for one in (passed.columns.values() if isinstance(passed, Frame) else [passed])]:
        raise graph.refuse(f"passthrough={passthrough!r}, which selects strings", "name the columns of numbers")
    return graph.concat([*blocks, graph.matrix(passed)])


def select(graph: Graph, stack, X: Table) -> Table:
    """Return the columns of X that ``passthrough`` selects by names, indices, a slice or a mask."""
    key, names = as_key(stack.passthrough), list(getattr(stack, "feature_names_in_", []))
    if isinstance(X, Frame):
        names = list(X.columns)
    if isinstance(key, slice) and any(isinstance(end, str) for end in (key.start, key.stop)):
        raise graph.refuse(f"passthrough={key!r}, a slice of names", "list the names")
    if not isinstance(key, slice) and all(isinstance(column, str) for column in key):
        indices = [names.index(name) for name in key]
    else:
        indices = np.arange(X.shape[0])[key].tolist()
    if isinstance(X, Frame):
        return X.select(indices)
    return graph.take(graph.matrix(X), indices)


def call(graph: Graph, passthrough, X: Table) -> Table:
    """Return the columns that a callable computes, if it is the ``transform`` of a fitted transformer."""
    owner = getattr(passthrough, "__self__", None)
    if owner is None or passthrough.__name__ != "transform":
        raise graph.refuse(
            f"passthrough={passthrough!r}, a function",
            "pass column names, or the transform method of a fitted transformer that can be exported",
        )
    with graph.scope("passthrough"):
        return transform(graph, owner, X)
