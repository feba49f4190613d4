"""Describe a model for the metadata of its file: see :class:`~sktricks.deploy._metadata.Metadata`."""

from __future__ import annotations

import numpy as np

from ._check import KINDS
from ._compare_outputs import Outputs, near_ties
from ._exactness import texts_in
from ._feeds import make_feeds
from ._graph_inputs import column_names
from ._metadata import Check, Metadata
from ._sample_rows import N_ROWS, SEED, describe_input, sample_rows


def describe_model(estimator, X, graph, model, run, expected, atol, missing, embed_rows) -> Metadata:
    """Return the metadata of the file; ``missing`` are the columns in which the estimator takes missing values."""
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
        missing=missing_by_input(X, graph, missing),
        decodings=graph.decodings,
        check=check,
    )


def labels_follow(estimator, X, expected: Outputs, atol: float) -> bool:
    """Return True if the label of an estimator is that of the largest probability."""
    probabilities = expected.get("probabilities")
    if probabilities is None or probabilities.shape[1] != len(estimator.classes_):
        return False
    labels = np.asarray(expected["label"] if "label" in expected else estimator.predict(X))
    if labels.ndim != 1:
        return False
    largest = np.asarray(estimator.classes_)[probabilities.argmax(axis=1)]
    return bool(((labels == largest) | near_ties(probabilities, labels, atol)).all())


def missing_by_input(X, graph, missing: list[int]) -> dict[str, bool | list[int]]:
    """Return for each input in which columns the estimator takes missing values."""
    if len(graph.inputs) == 1 and graph.inputs[0].shape != (1,):
        (value,) = graph.inputs
        return {value.name: missing if len(missing) < value.shape[0] else True}
    names = column_names(X) if np.ndim(X) == 2 else []
    return {value.name: value.name in [names[index] for index in missing] for value in graph.inputs}
