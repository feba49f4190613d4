"""The default module for tables, written node by node: a smaller graph than that of torch's exporter, and faster."""

from __future__ import annotations

import numpy as np
from torch import nn

from ...training._modules import CategoryEmbedding, ResidualBlock, ResidualMLP, Standardize, center_vectors
from .._graph import Graph, Value
from ._net_columns import NetColumns
from ._torch_graphs import to_array


def is_residual_mlp(module: nn.Module) -> bool:
    """Return True for a :class:`ResidualMLP` without hooks that change its outputs."""
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    return type(module) is ResidualMLP and not hooked


def add_residual_mlp(graph: Graph, module: ResidualMLP, columns: NetColumns) -> Value:
    """Add the module, and return its outputs; the codes in ``columns`` are numbered across all columns."""
    if columns.numbers is not None:
        x = standardized(graph, module.standardize, columns.numbers, module.embed)
    if module.categories is not None:
        vectors = embedded(graph, module.categories, columns.codes)
        x = graph.binary("Add", vectors, to_array(module.embed.bias) if columns.numbers is None else x)
    for block in module.blocks:
        assert isinstance(block, ResidualBlock)
        inner = relu(graph, linear(graph, block.expand, normalized(graph, block.norm, x)))
        x = graph.binary("Add", x, linear(graph, block.contract, inner))
    return linear(graph, module.head, relu(graph, normalized(graph, module.norm, x)))


def standardized(graph: Graph, layer: Standardize, x: Value, embed: nn.Linear) -> Value:
    """Standardize numbers, round them to the dtype of the first linear layer, and apply that layer."""
    mean, scale = to_array(layer.mean), to_array(layer.scale)
    x = graph.cast(x, np.result_type(x.dtype, mean.dtype))
    x = graph.binary("Div", graph.binary("Sub", x, mean), scale)
    return linear(graph, embed, graph.cast(x, to_array(embed.bias).dtype))


def embedded(graph: Graph, layer: CategoryEmbedding, codes: list[Value]) -> Value:
    """Return the sum of the embedding vectors of codes; that of code 0 is zero."""
    vectors = to_array(center_vectors(layer.vectors, layer.column, layer.frequency))
    indices, width = graph.concat(codes), vectors.shape[1]
    found = graph.op("Gather", graph.constant(vectors), indices, dtype=vectors.dtype, shape=(*indices.shape, width))
    axes = graph.constant([1], np.int64)
    return graph.op("ReduceSum", found, axes, dtype=vectors.dtype, shape=(width,), keepdims=0)


def linear(graph: Graph, layer: nn.Linear, x: Value) -> Value:
    """Return ``W x + b``."""
    weight, bias = (graph.constant(to_array(part)) for part in (layer.weight, layer.bias))
    return graph.op("Gemm", x, weight, bias, dtype=x.dtype, shape=(layer.out_features,), transB=1)


def normalized(graph: Graph, layer: nn.LayerNorm, x: Value) -> Value:
    """Return a value after a LayerNorm."""
    weight, bias = (graph.constant(to_array(part)) for part in (layer.weight, layer.bias))
    return graph.op("LayerNormalization", x, weight, bias, dtype=x.dtype, shape=x.shape, axis=-1, epsilon=layer.eps)


def relu(graph: Graph, x: Value) -> Value:
    """Return ``max(x, 0)``."""
    return graph.op("Relu", x, dtype=x.dtype, shape=x.shape)
