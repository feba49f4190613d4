"""Describe a model for the metadata of its file: see :class:`~sktricks.deploy._metadata.Metadata`."""

from __future__ import annotations

import numpy as np

from ._check import KINDS, CheckResult
from ._compare_outputs import Outputs, near_ties
from ._exactness import texts_in
from ._feeds import STRING, make_feeds
from ._graph_inputs import column_names
from ._metadata import Check, Metadata
from ._sample_rows import N_ROWS, SEED, describe_input, sample_rows

LEAST_ROWS, LARGEST = 16, 2**20  # rows, and numbers in an input


def describe_model(estimator, X, graph, model, run, expected, atol, result: CheckResult, embed_rows) -> Metadata:
    """Return the metadata of the file; ``result`` is the result of the check of the graph."""
    inputs = [(value.name, value.dtype, value.shape) for value in graph.inputs]
    feeds = make_feeds(X, inputs, graph.decodings)
    if embed_rows:
        rows = {name: array[:N_ROWS] for name, array in feeds.items()}
        check = Check(atol, run(rows), rows=rows)
    else:
        known = texts_in(model)
        description = [describe_input(name, array, known) for name, array in feeds.items()]
        check = Check(atol, run(sample_rows(description)), description, SEED)
    names = getattr(estimator, "feature_names_in_", getattr(X, "columns", None))
    classes = getattr(estimator, "classes_", None)
    is_classifier = KINDS[next(iter(expected))] == "classifier"
    return Metadata(
        kind=KINDS[next(iter(expected))],
        estimator=type(estimator).__name__,
        classes=np.asarray(classes) if is_classifier and classes is not None else None,
        feature_names=None if names is None else [str(name) for name in names],
        n_features=int(getattr(estimator, "n_features_in_", np.prod(np.shape(X)[1:]))),
        labels=labels_follow(estimator, X, expected, atol),
        missing=missing_by_input(X, graph, result.missing),
        gaps=gaps_by_input(X, graph, result.gaps),
        any_order=result.any_order,
        rows_at_once=min([graph.rows_at_once, *map(rows_of_input, graph.inputs)]),
        decodings=graph.decodings,
        check=check,
    )


def labels_follow(estimator, X, expected: Outputs, atol: float) -> bool:
    """Return True if the labels of an estimator are those of the largest probability."""
    probabilities = expected.get("probabilities")
    if probabilities is None or probabilities.shape[1] != len(estimator.classes_):
        return False
    labels = np.asarray(expected["label"] if "label" in expected else estimator.predict(X))
    if labels.ndim != 1:
        return False
    largest = np.asarray(estimator.classes_)[probabilities.argmax(axis=1)]
    return bool(((labels == largest) | near_ties(probabilities, labels, atol)).all())


def missing_by_input(X, graph, missing: list[int]) -> dict[str, bool | list[int]]:
    """Return for each input the columns in which the estimator accepts missing values."""
    if len(graph.inputs) == 1 and graph.inputs[0].shape != (1,):
        (value,) = graph.inputs
        return {value.name: missing if len(missing) < value.shape[0] else True}
    names = column_names(X) if np.ndim(X) == 2 else []
    return {value.name: value.name in [names[index] for index in missing] for value in graph.inputs}


def gaps_by_input(X, graph, gaps: dict[int, list[str]]) -> dict[str, list[str]]:
    """Return for each input of strings the kinds of missing values that the graph treats as the estimator does."""
    names = column_names(X) if gaps else []
    strings = {value.name for value in graph.inputs if value.dtype == STRING}
    return {names[index]: kinds for index, kinds in gaps.items() if names[index] in strings}


def rows_of_input(value) -> int:
    """Return the number of rows per call of the runtime: fewer for images than for a table."""
    return max(LEAST_ROWS, LARGEST // max(1, int(np.prod(value.shape))))
