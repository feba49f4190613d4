"""The registry of converters, and functions that convert any fitted estimator.

A converter is a function of a :class:`Graph`, a fitted estimator and its input. It adds the estimator to the graph, and
returns a :class:`Value` for a transformer and a :class:`Prediction` for a classifier or regressor::

    @converts("sklearn.preprocessing.StandardScaler")
    def convert_standard_scaler(graph, scaler, X): ...

It is looked up by the exact class, since a subclass may override anything. Inner steps are converted by
:func:`transform` and :func:`predict`, within ``graph.scope(name)``. A class that both predicts and transforms, such as
a vote, has a second converter, registered by :func:`transforms`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .._graph import Graph, Prediction, Table, Value
from ._convert_foreign import convert_foreign

CONVERTERS: dict[str, Callable[[Graph, Any, Table], Any]] = {}
TRANSFORMERS: dict[str, Callable[[Graph, Any, Table], Table]] = {}  # converters of ``transform`` of predictors
# Modules that register converters; imported at the first export.
MODULES = (
    "_convert_augmented",
    "_convert_augmenters",
    "_convert_bagging",
    "_convert_bayes",
    "_convert_binary",
    "_convert_boosting",
    "_convert_calibrated",
    "_convert_cascade",
    "_convert_coded",
    "_convert_distilled",
    "_convert_encoders",
    "_convert_files",
    "_convert_fine_tune",
    "_convert_imputers",
    "_convert_linear",
    "_convert_mlp",
    "_convert_net_ensembles",
    "_convert_nets",
    "_convert_power",
    "_convert_preprocessing",
    "_convert_sklearn_votes",
    "_convert_stacks",
    "_convert_steps",
    "_convert_svm",
    "_convert_trees",
    "_convert_votes",
)


def converts(*names: str):
    """Register a converter for classes, given by their public import paths."""

    def register(function):
        CONVERTERS.update(dict.fromkeys(names, function))
        return function

    return register


def transforms(*names: str):
    """Register a converter for the ``transform`` of classes that also predict."""

    def register(function):
        TRANSFORMERS.update(dict.fromkeys(names, function))
        return function

    return register


def find_converter(estimator, converters=CONVERTERS) -> Callable | None:
    """Return the converter of an estimator's exact class, None if there is none."""
    for module in MODULES:
        importlib.import_module(f"{__package__}.{module}")
    for name, function in converters.items():
        module, _, title = name.rpartition(".")
        if type(estimator).__name__ != title:  # avoids importing unrelated modules
            continue
        if type(estimator) is getattr(importlib.import_module(module), title, None):
            return function
    return None


def convert(graph: Graph, estimator, X: Table):
    """Return the result of a fitted estimator for X: a Value, or a Prediction."""
    converter = find_converter(estimator) or convert_foreign
    return converter(graph, estimator, X)


def transform(graph: Graph, estimator, X: Table) -> Table:
    """Return the result of a fitted transformer for X."""
    if estimator is None or (isinstance(estimator, str) and estimator == "passthrough"):
        return X
    transformer = find_converter(estimator, TRANSFORMERS)
    result = convert(graph, estimator, X) if transformer is None else transformer(graph, estimator, X)
    if isinstance(result, Prediction):
        raise graph.refuse(f"{type(estimator).__name__}, which is not a transformer", "use it as the last step")
    return result


def predict(graph: Graph, estimator, X: Table) -> Prediction:
    """Return the prediction of a fitted classifier or regressor for X."""
    result = convert(graph, estimator, X)
    if not isinstance(result, Prediction):
        raise graph.refuse(f"{type(estimator).__name__}, which cannot predict", "put a classifier or regressor last")
    return result


def from_probabilities(graph: Graph, probabilities: Value) -> Prediction:
    """Return the prediction of a classifier whose label is the first class with the largest probability."""
    return Prediction(codes=graph.argmax(probabilities), probabilities=probabilities)


def as_labels(graph: Graph, codes: Value, classes) -> Value:
    """Return the labels, strings or numbers, for indices of ``classes_``."""
    labels = np.asarray(classes)
    if labels.dtype == codes.dtype and np.array_equal(labels, np.arange(len(labels))):
        return codes
    labels = labels.astype(object) if labels.dtype.kind in "UO" else labels
    if labels.dtype == object and not all(isinstance(label, str) for label in labels):
        raise graph.refuse(f"labels of several types, {labels[:3].tolist()}", "use strings or numbers as labels")
    return graph.op("Gather", graph.constant(labels), codes, dtype=labels.dtype, axis=0)
