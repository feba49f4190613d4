"""Convert the outputs of a net's module to the predictions of its estimator."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier

from ...training._targets import MULTILABEL
from .._graph import Graph, Prediction, Value
from ._operators import above_half, softmax
from ._registry import from_probabilities


def finish_outputs(graph: Graph, net, outputs: Value, exact: bool) -> Prediction:
    """Return the prediction of a fitted net.

    Parameters
    ----------
    graph : Graph
    net : BaseNet
    outputs : Value
        The outputs of the module, of shape (outputs,), or () for a single one.
    exact : bool
        Compute probabilities in float64, as for a table of float64 numbers.
    """
    outputs = graph.reshape(outputs, (1,)) if outputs.shape == () else outputs
    outputs = graph.cast(outputs, np.float64) if exact else outputs
    if not is_classifier(net):
        values = graph.binary("Mul", graph.cast(outputs, np.float64), net._y_scale)
        values = graph.binary("Add", values, net._y_mean)
        return Prediction(values=values if net._several else graph.column(values, 0))
    if net._kind == MULTILABEL:
        probabilities = graph.op("Sigmoid", outputs, dtype=outputs.dtype, shape=outputs.shape)
        return Prediction(codes=above_half(graph, probabilities), probabilities=probabilities)
    if outputs.shape == (1,):  # two classes: the logit of the second
        zeros = graph.binary("Sub", outputs, outputs)
        outputs = graph.concat([zeros, outputs])
    return from_probabilities(graph, softmax(graph, outputs))
