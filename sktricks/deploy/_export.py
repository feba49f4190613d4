"""The export of a fitted estimator as one ONNX file."""

from __future__ import annotations

from sklearn.utils.validation import check_is_fitted

from ._converters import as_labels, convert
from ._graph import Graph, Prediction
from ._graph_inputs import add_inputs


def build_model(estimator, X, outputs="all"):
    """Return the graph of a fitted estimator, from rows like X to its predictions, and the ONNX model of it.

    Parameters
    ----------
    estimator : estimator
    X : array-like
        Some rows, which show names and dtypes of the inputs.
    outputs : {"all", "probabilities"}

    Returns
    -------
    graph : Graph
    model : onnx.ModelProto
        Its outputs are ``label`` and ``probabilities`` of a classifier, ``prediction`` of a regressor, ``features`` of
        a transformer.
    """
    check_is_fitted(estimator)
    graph = Graph()
    result = convert(graph, estimator, add_inputs(graph, X))
    return graph, graph.build(name_outputs(graph, estimator, result, outputs))


def name_outputs(graph, estimator, result, outputs):
    """Return the outputs of the graph by name."""
    if not isinstance(result, Prediction):
        return {"features": graph.matrix(result)}
    if result.values is not None:
        return {"prediction": result.values}
    named = {} if result.probabilities is None else {"probabilities": result.probabilities}
    if outputs == "probabilities" and named:
        return named
    several = result.codes.shape != ()  # 0 and 1 for each of several labels
    label = result.codes if several else as_labels(graph, result.codes, estimator.classes_)
    return {"label": label, **named}
