"""Converters of what holds other estimators in a row: Pipeline, and wrappers that pass X on as it is."""

from __future__ import annotations

from ._converters import convert, converts, transform
from ._graph import Graph, Table


@converts("sklearn.pipeline.Pipeline")
def convert_pipeline(graph: Graph, pipeline, X: Table):
    """Add all steps, each in the scope of its name."""
    *steps, (name, last) = pipeline.steps
    for step, transformer in steps:
        with graph.scope(step):
            X = transform(graph, transformer, X)
    with graph.scope(name):
        return X if last is None or isinstance(last, str) else convert(graph, last, X)
