"""Convert decision trees to one operator that finds the leaf of each row; values are then summed as in numpy.

ONNX's TreeEnsembleRegressor could sum the values itself, but in float32 and in an order that depends on the number of
threads, so that rounding would break ties between classes. Here each tree is a target of its own that returns the index
of the leaf; the values are looked up in a float64 table and summed tree by tree. Only votes, zeros and ones, are summed
by the operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..._optional import import_optional
from .._graph import Graph, Value
from ._shallow_trees import LEVELS, count_levels, flatten, number_leaves_at_once

EXACT = 2**24  # float32 holds all integers up to here
ROWS_OF_NODES = 2**10  # rows per call, so that the results of all nodes fit into the cache
GROUP_OF_VOTES, GROUP, MAX_GROUPS = 2**14, 2**12, 12  # nodes per operator, for votes and for others; operators


@dataclass(frozen=True)
class Tree:
    """The nodes of a tree as arrays of equal length; node 0 is the root.

    Parameters
    ----------
    feature, threshold : ndarray
        A row whose feature is ≤ threshold goes to the left.
    left, right : ndarray of int
        The indices of the children; negative for a leaf.
    missing_left : ndarray of bool
        True if NaN goes to the left.
    equal : ndarray of bool, or None
        True if only values equal to the threshold go to the left.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    equal: np.ndarray | None = None

    @property
    def is_leaf(self) -> np.ndarray:
        """True for nodes that are leaves."""
        return self.left < 0


def from_sklearn(tree, columns=None) -> Tree:
    """Convert the ``tree_`` of a decision tree of scikit-learn, for X in float32.

    Thresholds are rounded down to float32, which does not change ``x <= threshold`` for any x in float32.
    ``columns`` are the columns of X that the tree was fitted on.
    """
    feature = np.maximum(tree.feature, 0)
    return Tree(
        feature=feature if columns is None else np.asarray(columns)[feature],
        threshold=round_down(tree.threshold),
        left=tree.children_left,
        right=tree.children_right,
        missing_left=tree.missing_go_to_left.astype(bool),
    )


def round_down(values: np.ndarray) -> np.ndarray:
    """Return float64 values rounded down to float32."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def add_up(graph: Graph, X: Value, trees: Sequence[Tree], values: Sequence[np.ndarray]) -> Value:
    """Return the sums of the values of each row's leaves, of shape (k,), float64, summed tree by tree.

    ``values`` are arrays of shape (leaves, k), one per tree.
    """
    rows = np.concatenate(values)
    if are_votes(rows):  # their sums are exact in float32, and in any order
        return graph.cast(count_votes(graph, X, trees, split(rows.argmax(1), values), rows.shape[1]), np.float64)
    numbers, table = number_leaves(graph, X, trees, values)
    if table.shape[1] > 2:
        looked_up = graph.op("Gather", graph.constant(table), numbers, dtype=table.dtype, axis=0)
        return add_rows(graph, looked_up, len(trees), table.shape[1])
    return graph.concat([add_rows(graph, look_up(graph, numbers, column), len(trees), 1) for column in table.T])


def add_stages(
    graph: Graph, X: Value, trees: Sequence[Tree], values: Sequence[np.ndarray], start: np.ndarray | Value
) -> Value:
    """Return a start, of shape (k,), plus the values of the trees of all stages, with one tree per stage and column.

    A constant start is added to the values of the first stage, which does not change the order of the sum.
    """
    (width,) = start.shape
    if isinstance(start, np.ndarray):
        values = [*(array + number for array, number in zip(values, start, strict=False)), *values[width:]]
    levels = count_levels(trees)
    if levels <= LEVELS:  # for many rows faster than scikit-learn, unlike the operator for trees
        graph.rows_at_once = min(graph.rows_at_once, ROWS_OF_NODES)
        numbers, leaves = number_leaves_at_once(graph, X, trees, levels)
        table = np.concatenate(values)[leaves]
    else:
        numbers, table = number_leaves(graph, X, trees, values)
    terms = look_up(graph, numbers, table[:, 0])
    if isinstance(start, np.ndarray):
        return add_rows(graph, terms, len(trees) // width, width, columns_first=True)
    columns = graph.op("Transpose", start, dtype=start.dtype, perm=[1, 0])
    terms = graph.op("Concat", flatten(graph, columns), terms, dtype=np.float64, axis=0)
    return add_rows(graph, terms, len(trees) // width + 1, width, columns_first=True)


def are_votes(rows: np.ndarray) -> bool:
    """Return True if each row is one-hot, like the leaves of a fully grown tree."""
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(1) == 1).all())


def look_up_leaves(graph: Graph, X: Value, trees: Sequence[Tree], values: Sequence[np.ndarray]) -> Value:
    """Return the value of each row's leaf in each tree, float64, of shape (trees,)."""
    numbers, table = number_leaves(graph, X, trees, values)
    found = graph.op(
        "Reshape", look_up(graph, numbers, table[:, 0]), graph.constant([len(trees), -1]), dtype=table.dtype
    )
    return graph.op("Transpose", found, dtype=table.dtype, shape=(len(trees),), perm=[1, 0])


def number_leaves(
    graph: Graph, X: Value, trees: Sequence[Tree], values: Sequence[np.ndarray]
) -> tuple[Value, np.ndarray]:
    """Return the number of each row's leaf in each tree, flattened tree by tree, and the values by number."""
    every = np.concatenate(values)
    table, numbers = np.unique(every, axis=0, return_inverse=True)
    if len(table) > EXACT:
        raise graph.refuse(f"trees with {len(table):,} leaves", f"fit smaller ones, with at most {EXACT:,} leaves")
    groups = []
    numbers_of = split(numbers.ravel(), values)
    for group in group_trees(trees, GROUP):
        targets = [np.full(len(numbers_of[index]), target) for target, index in enumerate(group)]
        found = add_nodes(graph, X, [trees[i] for i in group], targets, [numbers_of[i] for i in group], len(group))
        groups.append(found)
    found = graph.op("Transpose", graph.concat(groups), dtype=np.float32, perm=[1, 0])
    return graph.cast(flatten(graph, found), np.int32), table


def count_votes(graph: Graph, X: Value, trees: Sequence[Tree], targets: Sequence[np.ndarray], n_targets: int) -> Value:
    """Return the number of each row's leaves per target, float32; ``targets`` are the targets of each tree's leaves."""
    votes = []
    for group in group_trees(trees, GROUP_OF_VOTES):
        ones = [np.ones(len(targets[index])) for index in group]
        votes.append(add_nodes(graph, X, [trees[i] for i in group], [targets[i] for i in group], ones, n_targets))
    if len(votes) == 1:
        return votes[0]
    return graph.op("Sum", *votes, dtype=np.float32, shape=(n_targets,))


def group_trees(trees: Sequence[Tree], size: int) -> list[list[int]]:
    """Return the indices of trees in groups of about ``size`` nodes, one group per operator.

    The runtime traverses all trees of an operator for one row, then for the next, so they should fit into the cache.
    Each operator takes about a microsecond, however, so that too many would slow down the prediction of a single row.
    """
    sizes = np.array([len(tree.left) for tree in trees])
    ends = np.cumsum(sizes)
    limit = max(size, ends[-1] / MAX_GROUPS)
    number = ((ends - 1) // limit).astype(int)
    return [np.flatnonzero(number == value).tolist() for value in np.unique(number)]


def split(values: np.ndarray, like: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Split an array into parts with the lengths of the arrays in ``like``."""
    return np.split(values, np.cumsum([len(part) for part in like])[:-1])


def add_nodes(graph: Graph, X: Value, trees: Sequence[Tree], targets, weights, n_targets: int) -> Value:
    """Return the sums of the weights of each row's leaves per target, float32, by one operator.

    ``targets`` and ``weights`` contain one array per tree, with one number per leaf.
    """
    where = np.concatenate([np.arange(len(tree.left)) for tree in trees])
    number = np.repeat(np.arange(len(trees)), [len(tree.left) for tree in trees])
    leaf = np.concatenate([tree.is_leaf for tree in trees])
    equal = np.concatenate([np.zeros(len(t.left), bool) if t.equal is None else t.equal for t in trees])
    modes = np.where(leaf, "LEAF", np.where(equal, "BRANCH_EQ", "BRANCH_LEQ"))
    left, right = (np.concatenate([getattr(tree, side) for tree in trees]) for side in ("left", "right"))
    attributes = {
        "nodes_treeids": number,
        "nodes_nodeids": where,
        "nodes_featureids": np.where(leaf, 0, np.concatenate([tree.feature for tree in trees])),
        "nodes_truenodeids": np.where(leaf, 0, left),
        "nodes_falsenodeids": np.where(leaf, 0, right),
        "nodes_missing_value_tracks_true": ~leaf & np.concatenate([tree.missing_left for tree in trees]),
        "target_treeids": number[leaf],
        "target_nodeids": where[leaf],
        "target_ids": np.concatenate(targets),
    }
    threshold = np.where(leaf, 0, np.concatenate([tree.threshold for tree in trees]))
    floats = {"nodes_values": threshold.astype(X.dtype), "target_weights": np.concatenate(weights).astype(X.dtype)}
    if X.dtype == np.float64:
        from_array = import_optional("onnx.numpy_helper", "onnx").from_array
        floats = {f"{name}_as_tensor": from_array(array) for name, array in floats.items()}
    return graph.op(
        "TreeEnsembleRegressor",
        X,
        dtype=np.float32,
        shape=(n_targets,),
        domain="ai.onnx.ml",
        n_targets=n_targets,
        nodes_modes=modes.tolist(),
        **{name: array.astype(np.int64).tolist() for name, array in attributes.items()},
        **{name: array.tolist() if isinstance(array, np.ndarray) else array for name, array in floats.items()},
    )


def count_reached(graph: Graph, values: Value, edges: Sequence[np.ndarray]) -> Value:
    """Return for each column the number of its sorted edges that are not above the value, int32.

    A tree per column finds it by bisection.
    """
    pairs = [bisection(column, np.asarray(some, values.dtype)) for column, some in enumerate(edges)]
    targets = [np.full(len(counts), column) for column, (_, counts) in enumerate(pairs)]
    found = add_nodes(graph, values, [tree for tree, _ in pairs], targets, [counts for _, counts in pairs], len(pairs))
    return graph.cast(found, np.int32)


def bisection(column: int, edges: np.ndarray) -> tuple[Tree, np.ndarray]:
    """Return a tree that compares a column with edges, and the number of edges reached in each leaf."""
    threshold: list[float] = []
    left: list[int] = []
    right: list[int] = []
    counts: list[int] = []

    def add(start: int, stop: int) -> int:
        """Add the nodes for values that reach at least ``start`` and at most ``stop`` edges."""
        node, middle = len(left), (start + stop) // 2
        is_leaf = start == stop
        threshold.append(0.0 if is_leaf else np.nextafter(edges[middle], -np.inf))  # x ≤ threshold means x < edge
        left.append(-1)
        right.append(-1)
        if is_leaf:
            counts.append(start)
        else:
            left[node], right[node] = add(start, middle), add(middle + 1, stop)
        return node

    add(0, len(edges))
    size = len(left)
    tree = Tree(np.full(size, column), np.array(threshold), np.array(left), np.array(right), np.zeros(size, bool))
    return tree, np.array(counts)


def look_up(graph: Graph, numbers: Value, table: np.ndarray) -> Value:
    """Return the entries of a table at these indices, both with one axis; faster than Gather."""
    return graph.op("GatherElements", graph.constant(table.copy()), numbers, dtype=table.dtype, axis=0)


def add_rows(graph: Graph, terms: Value, count: int, width: int, columns_first: bool = False) -> Value:
    """Return the sums, of shape (width,), of ``count`` terms per row, added in order like numpy's ``+=``.

    ReduceSum would add them in another order, which changes the last bits.

    Parameters
    ----------
    graph : Graph
    terms : Value
        The first terms of all rows, then the second ones, and so on.
    count, width : int
    columns_first : bool
        True if each term is stored column by column.
    """
    if count > 1:
        terms = graph.op("Reshape", terms, graph.constant([count, -1], np.int64), dtype=terms.dtype)
        terms = graph.op("CumSum", terms, graph.constant(0, np.int64), dtype=terms.dtype)
        terms = graph.op("Gather", terms, graph.constant(count - 1, np.int64), dtype=terms.dtype, axis=0)
    if not columns_first or width == 1:
        return graph.reshape(terms, (width,))
    columns = graph.op("Reshape", terms, graph.constant([width, -1], np.int64), dtype=terms.dtype)
    return graph.op("Transpose", columns, dtype=terms.dtype, shape=(width,), perm=[1, 0])
