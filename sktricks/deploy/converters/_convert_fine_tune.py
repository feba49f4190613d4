"""Converters of FineTuneClassifier, FineTuneRegressor and PretrainedFeatures, starting from raw pixels.

For estimators that were fitted on image files, the graph takes pixels as input: see
:mod:`~sktricks.deploy.converters._convert_files`.
"""

from __future__ import annotations

import numpy as np

from .._graph import Graph, Prediction, Table, Value
from ._backbone_features import add_features, add_signed_power
from ._center_images import center_images
from ._convert_nets import check_net, convert_table
from ._net_outputs import finish_outputs
from ._pixels import read_images
from ._registry import converts
from ._residual_mlp import linear
from ._torch_graphs import to_array


@converts("sktricks.FineTuneClassifier", "sktricks.FineTuneRegressor")
def convert_fine_tune(graph: Graph, net, X: Table) -> Prediction:
    """Add pixels, backbone and head, or the default module for a net fitted on a table."""
    check_net(graph, net)
    if net._prefix is None:
        return convert_table(graph, net, X)
    images = center_images(graph, net._augmenter, images_of(graph, net, X), net.value_range_)
    features = add_signed_power(graph, add_features(graph, net._prefix, images))
    return finish_outputs(graph, net, add_head(graph, net._net.module_.head, features), exact=False)


@converts("sktricks.PretrainedFeatures")
def convert_features(graph: Graph, features, X: Table) -> Table:
    """Add pixels and backbone; a table passes unchanged."""
    if features._prefix is None:
        return X
    images = images_of(graph, features, X)
    value = add_features(graph, features._prefix, images)
    return graph.cast(value, images.dtype if images.dtype in (np.float32, np.float64) else value.dtype)


def images_of(graph: Graph, estimator, X: Table) -> Value:
    """Return X as canonical images for an estimator with a backbone."""
    shape = estimator.image_shape_
    return read_images(graph, X, shape, mode="L" if shape[2] == 1 else "RGB", **estimator._decoding)


def add_head(graph: Graph, head, features: Value) -> Value:
    """Return the logits or values of a head for features, in the dtype of its weights."""
    mean, scale = to_array(head.standardize.mean), to_array(head.standardize.scale)
    x = graph.cast(features, to_array(head.linear.weight).dtype)
    x = graph.binary("Div", graph.binary("Sub", x, mean), scale)
    return linear(graph, head.linear, x)
