"""Evaluate trees with few levels by comparing all of their nodes at once, without an operator for trees.

The runtime's operator traverses one tree after another for each row, with branches that the processor cannot predict.
Here, each node compares its feature of all rows with its threshold. The results for the upper three levels of a tree
are the bits of a code below 128, and a table maps each code to the next node. Trees with up to five levels have eight
subtrees below these; their codes are computed in the same way, and that of the reached subtree is selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._graph import Graph, Value, onnx_type

UPPER, LEVELS = 3, 5


def count_levels(trees: Sequence[Any]) -> int:
    """Return the number of levels with inner nodes in the deepest tree; at most one more than the limit.

    A tree that compares with ``==`` counts as too deep.
    """
    if any(tree.equal is not None for tree in trees):
        return LEVELS + 1
    for levels in range(1, LEVELS + 1):
        if all(tree.is_leaf[spread_nodes(tree, 0, levels)[2**levels - 1 :]].all() for tree in trees):
            return levels
    return LEVELS + 1


def number_leaves_at_once(graph: Graph, X: Value, trees: Sequence[Any], levels: int) -> tuple[Value, np.ndarray]:
    """Return the number of each row's leaf in each tree, flattened tree by tree, and the leaf for each number.

    A leaf is given by its index among the leaves of all trees.
    """
    upper = min(levels, UPPER)
    roots = [(tree, 0) for tree in trees]
    codes, nodes = find_codes(graph, X, roots, upper), [nodes_of_codes(tree, 0, upper) for tree in trees]
    numbers = graph.binary("Add", codes, len(nodes[0]) * np.arange(len(trees))[:, None])
    owners = np.repeat(np.arange(len(trees)), [len(some) for some in nodes])
    if levels > upper:
        roots = [(tree, node) for tree in trees for node in spread_nodes(tree, 0, upper)[2**upper - 1 :]]
        leaves = [2**upper * index + codes_to_leaves(upper) for index in range(len(trees))]
        below = find_codes(graph, X, roots, levels - upper)
        chosen = graph.constant(np.concatenate(leaves), np.int32)
        chosen = graph.op("GatherElements", chosen, flatten(graph, numbers), dtype=np.int32, axis=0)
        chosen = graph.op("Reshape", chosen, graph.constant([len(trees), -1], np.int64), dtype=np.int32)
        codes = graph.op("GatherElements", below, chosen, dtype=np.int32, axis=0)
        nodes = [nodes_of_codes(tree, node, levels - upper) for tree, node in roots]
        numbers = graph.binary("Add", graph.binary("Mul", chosen, len(nodes[0])), codes)
        owners = np.repeat(np.arange(len(trees)), 2**upper * len(nodes[0]))
    starts = np.cumsum([0, *(int(tree.is_leaf.sum()) for tree in trees)])
    orders = [np.cumsum(tree.is_leaf) - 1 for tree in trees]
    leaves = [starts[owner] + orders[owner][node] for owner, node in zip(owners, np.concatenate(nodes), strict=True)]
    return flatten(graph, numbers), np.array(leaves)


def find_codes(graph: Graph, X: Value, roots: Sequence[tuple[Any, int]], levels: int) -> Value:
    """Return the code of each row in the subtree of each root, int32 (roots, rows)."""
    n_nodes = 2**levels - 1
    pairs = [(tree, spread_nodes(tree, root, levels)[:n_nodes]) for tree, root in roots]
    inner = np.stack([~tree.is_leaf[nodes] for tree, nodes in pairs], axis=1)
    feature, threshold, missing_left = (
        np.where(inner, np.stack([getattr(tree, name)[nodes] for tree, nodes in pairs], axis=1), 0)
        for name in ("feature", "threshold", "missing_left")
    )
    columns = graph.op("Transpose", X, dtype=X.dtype, perm=[1, 0])
    if missing_left.any():  # NaN becomes -inf for these nodes; for the others NaN is never ≤ the threshold
        missing = graph.op("IsNaN", columns, dtype=bool)
        low = graph.op("Where", missing, graph.constant(-np.inf, X.dtype), columns, dtype=X.dtype)
        columns = graph.op("Concat", columns, low, dtype=X.dtype, axis=0)
    feature = feature + X.shape[0] * missing_left
    values = graph.op("Gather", columns, graph.constant(feature.ravel(), np.int64), dtype=X.dtype, axis=0)
    left = graph.op("LessOrEqual", values, graph.constant(threshold.reshape(-1, 1), X.dtype), dtype=bool)
    bits = graph.op("Cast", left, dtype=np.uint8, to=onnx_type(np.uint8))
    bits = graph.op("Reshape", bits, graph.constant([n_nodes, -1], np.int64), dtype=np.uint8)
    codes = graph.op("MatMulInteger", graph.constant([2 ** np.arange(n_nodes)], np.uint8), bits, dtype=np.int32)
    return graph.op("Reshape", codes, graph.constant([len(roots), -1], np.int64), dtype=np.int32)


def nodes_of_codes(tree, root: int, levels: int) -> np.ndarray:
    """Return for each code the node that is reached a number of levels below a root."""
    return spread_nodes(tree, root, levels)[2**levels - 1 + codes_to_leaves(levels)]


def codes_to_leaves(levels: int) -> np.ndarray:
    """Return for each code the index of the leaf of a full tree, counted from the left."""
    codes = np.arange(2 ** (2**levels - 1))
    index = np.zeros_like(codes)
    for _ in range(levels):
        index = 2 * index + 2 - (codes >> index & 1)
    return index - (2**levels - 1)


def spread_nodes(tree, root: int, levels: int) -> np.ndarray:
    """Return the nodes below a root, level by level, as in a full tree: a leaf is repeated below itself."""
    found = [np.array([root])]
    for _ in range(levels):
        nodes = found[-1]
        pairs = np.stack([tree.left[nodes], tree.right[nodes]], axis=1)
        found.append(np.where(tree.is_leaf[nodes][:, None], nodes[:, None], pairs).ravel())
    return np.concatenate(found)


def flatten(graph: Graph, value: Value) -> Value:
    """Return a value flattened to one axis."""
    return graph.op("Reshape", value, graph.constant([-1], np.int64), dtype=value.dtype)
