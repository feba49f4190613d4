"""Converters of NetClassifier and NetRegressor: tables with missing values and categories, or images."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from ...training._precision import BFLOAT16, HALF
from .._graph import Graph, Paths, Prediction, Table, Value
from ._center_images import center_images, keeps_images
from ._net_columns import NetColumns, one_hot, read_columns
from ._net_outputs import finish_outputs
from ._pixels import is_column_of_files, read_images, scale_pixels
from ._registry import converts
from ._residual_mlp import add_residual_mlp, is_residual_mlp
from ._torch_graphs import as_tuple, embed_module


class FirstOutput(torch.nn.Module):
    """Wrap a user's module as a net calls it: in the module's dtype, with only the first output, in full precision."""

    def __init__(self, module, dtype):
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, x):
        """Return the logits or values."""
        y = as_tuple(self.module(x if self.dtype is None else x.to(self.dtype)))[0]
        return y.float() if y.dtype in HALF else y


@converts("sktricks.NetClassifier", "sktricks.NetRegressor")
def convert_net(graph: Graph, net, X: Table) -> Prediction:
    """Add the columns of a table or the pixels of images, the module, and the conversion to predictions."""
    check_net(graph, net)
    return convert_table(graph, net, X) if net.image_shape_ is None else convert_images(graph, net, X)


def check_net(graph: Graph, net) -> None:
    """Raise an error for settings that take more than one pass of the module, and record bfloat16."""
    if net._views:
        raise graph.refuse(
            f"predict_views={net.predict_views}, the mean over augmented copies of a row",
            "set_params(predict_views=0) and fit again",
        )
    graph.is_rounded |= net._net.precision_ == BFLOAT16


def convert_table(graph: Graph, net, X: Table) -> Prediction:
    """Add a net for tables."""
    if isinstance(X, Paths):
        raise graph.refuse("a column of image files", "the net was fitted on a table: pass its columns")
    if not keeps_images(net._augmenter, (1, net.n_features_in_, 1)):
        raise graph.refuse(
            f"augmenter={net._augmenter!r}, which crops rows at prediction time as well",
            "put it before the net in a Pipeline, or use an augmenter that does not crop",
        )
    module, by_hand = net._net.module_, is_residual_mlp(net._net.module_)
    columns = read_columns(graph, net, X, by_hand)
    exact = columns.dtype == np.float64
    if by_hand:
        outputs = add_residual_mlp(graph, module, columns)
    else:
        x = as_matrix(graph, columns, torch.empty(0, dtype=net._dtype).numpy().dtype)
        outputs = add_module(graph, net, x)
    return finish_outputs(graph, net, outputs, exact)


def convert_images(graph: Graph, net, X: Table) -> Prediction:
    """Add a net for images scaled to 0..1, which the default module flattens."""
    if is_column_of_files(X):
        raise graph.refuse("a column of image files", "put ImageLoader before it")
    images = center_images(graph, net._augmenter, read_images(graph, X, net.image_shape_), net.value_range_)
    x = scale_pixels(graph, images, net.value_range_)
    module = net._net.module_
    if is_residual_mlp(module):
        x = graph.reshape(x, (prod(x.shape),))
        outputs = add_residual_mlp(graph, module, NetColumns(x.dtype, x, [], []))
    else:
        outputs = add_module(graph, net, x)
    return finish_outputs(graph, net, outputs, exact=False)


def as_matrix(graph: Graph, columns: NetColumns, dtype) -> Value:
    """Concatenate the columns, with categories one-hot encoded."""
    pairs = zip(columns.codes, columns.sizes, strict=True)
    parts = [one_hot(graph, codes, size, dtype) for codes, size in pairs]
    numbers = [] if columns.numbers is None else [graph.cast(columns.numbers, dtype)]
    return graph.concat([*numbers, *parts])


def add_module(graph: Graph, net, x: Value) -> Value:
    """Add the module of a net, and return its logits or values."""
    module = net._net.module_
    return embed_module(graph, FirstOutput(module, net._net.input_dtype_), x, type(module).__name__)[0]
