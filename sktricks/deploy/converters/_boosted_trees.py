"""The trees of HistGradientBoosting: float64 thresholds, missing values, and sets of categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._graph import STRING, Frame, Graph, Table, Value
from ._tree_ensembles import Tree


@dataclass(frozen=True)
class Categories:
    """The categories of the columns of X.

    Parameters
    ----------
    columns : list of int
        The columns of X in the order in which the trees see them, categories first.
    values : dict of int to list
        The categories of each column of X, without missing values; the trees use their indices.
    """

    columns: list[int]
    values: dict[int, list]


def find_categories(boosting) -> Categories:
    """Return the categories that a boosting model was fitted on."""
    flags = boosting.is_categorical_
    flags = np.zeros(boosting.n_features_in_, bool) if flags is None else np.asarray(flags)
    if not flags.any():
        return Categories(list(range(len(flags))), {})
    encoder = boosting._preprocessor.named_transformers_["encoder"]
    categorical, others = np.flatnonzero(flags).tolist(), np.flatnonzero(~flags).tolist()
    values = [[value for value in found.tolist() if not is_gap(value)] for found in encoder.categories_]
    return Categories(categorical + others, dict(zip(categorical, values, strict=True)))


def is_gap(value) -> bool:
    """Return True for None and NaN."""
    return value is None or value != value


def as_numbers(graph: Graph, X: Table, categories: Categories) -> Value:
    """Return X as float64; categories become their indices, missing and unseen ones -1."""
    if not isinstance(X, Frame):
        return graph.matrix(X, np.float64)
    columns = []
    for index, value in enumerate(X.columns.values()):
        if value.dtype == STRING:
            value = number_strings(graph, value, categories.values.get(index))
        columns.append(graph.cast(value, np.float64))
    return graph.concat(columns)


def number_strings(graph: Graph, value: Value, categories: list | None) -> Value:
    """Return the indices of the categories of a column of strings."""
    if categories is None or not all(isinstance(category, str) for category in categories):
        raise graph.refuse("strings in a column of numbers", "convert the column to numbers")
    if "" in categories:
        raise graph.refuse("an empty string among the categories", "rename it: empty strings mean missing values")
    return graph.op(
        "LabelEncoder",
        value,
        dtype=np.float32,
        shape=value.shape,
        domain="ai.onnx.ml",
        keys_strings=categories,
        values_floats=[float(number) for number in range(len(categories))],
        default_float=-1.0,
    )


def from_predictor(predictor, categories: Categories) -> Tree:
    """Return a tree of HistGradientBoosting for X of :func:`as_numbers`.

    A split on a set of categories becomes a chain of comparisons with one category each. Unseen categories are treated
    as missing: a value that equals none goes to the side of missing values, so the chain tests the other side's set.
    """
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    tree = Tree(
        feature=np.asarray(categories.columns)[nodes["feature_idx"]],
        threshold=np.where(leaf, 0, nodes["num_threshold"]),
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        missing_left=nodes["missing_go_to_left"].astype(bool),
    )
    sets = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
    if len(sets) == 0:
        return tree
    return add_chains(tree, {int(node): side_set(predictor, tree, categories, node) for node in sets})


def side_set(predictor, tree: Tree, categories: Categories, node) -> list[float]:
    """Return the categories, as numbers in X, that go to the side opposite to missing values."""
    values = categories.values[int(tree.feature[node])]
    bits = predictor.raw_left_cat_bitsets[predictor.nodes["bitset_idx"][node]]
    codes = np.arange(len(values))
    in_left = (bits[codes // 32] >> (codes % 32).astype(bits.dtype)) & 1 == 1
    codes = codes[~in_left if tree.missing_left[node] else in_left]
    return [float(code) if isinstance(values[code], str) else float(values[code]) for code in codes]


def add_chains(tree: Tree, sets: dict[int, list[float]]) -> Tree:
    """Return a tree whose nodes in ``sets`` compare their feature with one number after another.

    The first comparison replaces the node, the others are appended.
    """
    columns = {name: getattr(tree, name).tolist() for name in ("feature", "threshold", "left", "right", "missing_left")}
    equal = [False] * len(tree.left)
    for node, numbers in sets.items():
        found, other = tree.left[node], tree.right[node]
        if tree.missing_left[node]:
            found, other = other, found
        found = found if numbers else other
        at = node
        for rest, number in enumerate(numbers or [0.0], start=1):
            last = rest >= len(numbers)
            new = len(equal)
            row = (columns["feature"][node], number, int(found), int(other) if last else new, False)
            for column, entry in zip(columns.values(), row, strict=True):
                column[at] = entry
            equal[at] = True
            if not last:
                for column, entry in zip(columns.values(), row, strict=True):
                    column.append(entry)
                equal.append(True)
                at = new
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    return Tree(**arrays, equal=np.asarray(equal))
