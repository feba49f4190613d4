"""Check loaded scikit-learn trees and tree ensembles, whose compiled code reads nodes without bounds checks.

Each function takes a fitted object and raises a ``ValueError`` unless its arrays can be read safely.
"""

from __future__ import annotations

import numpy as np
from sklearn import utils

from ._array_checks import attribute, is_array, n_features_of, within
from ._codec import require

MAX_CATEGORY = 255  # HistGradientBoosting stores categories in bitsets of 256 bits
TREES = frozenset(f"{kind}Tree{task}" for kind in ("Decision", "Extra") for task in ("Classifier", "Regressor"))


def check_children(left, right, is_leaf, what):
    """Check that children follow their parents, as in scikit-learn, so there are no cycles or indices out of range."""
    parents = np.flatnonzero(~is_leaf)
    for children in (left[parents].astype(np.int64), right[parents].astype(np.int64)):
        inside = (children > parents) & (children < len(is_leaf))
        require(inside.all(), f"{what}: the children of a node must be nodes that follow it")


def check_tree(tree):
    """Check a ``sklearn.tree._tree.Tree``."""
    state = tree.__getstate__()
    nodes, values = state["nodes"], state["values"]
    require(len(nodes) == tree.node_count >= 1, "Tree.nodes must contain node_count nodes")
    is_leaf = nodes["left_child"] == -1
    check_children(nodes["left_child"], nodes["right_child"], is_leaf, "Tree.nodes")
    inside = within(nodes["feature"][~is_leaf], 0, tree.n_features)
    require(inside, f"Tree.nodes: feature indices must be in range({tree.n_features})")
    shape = (len(nodes), tree.n_outputs, tree.max_n_classes)
    require(values.shape == shape, f"Tree.values must be of shape {shape}, got {values.shape}")


def check_classes(estimator, n_outputs, n_classes):
    """Check that a classifier has the same number of classes as its trees."""
    if hasattr(estimator, "classes_"):
        classes = [estimator.classes_] if n_outputs == 1 else estimator.classes_
        fits = [len(of_output) for of_output in classes] == list(n_classes)
        require(fits, f"{type(estimator).__name__}.classes_ must have the lengths {list(n_classes)}")


def check_decision_tree(tree):
    """Check that a DecisionTree or ExtraTree estimator matches its ``Tree``."""
    inner, n_features, name = vars(tree).get("tree_"), n_features_of(tree), type(tree).__name__
    require(type(inner).__name__ == "Tree", f"{name}.tree_ must be a Tree")
    require(inner.n_features == n_features, f"{name}.tree_ must read {n_features} features")
    check_classes(tree, inner.n_outputs, inner.n_classes)


def check_forest(forest):
    """Check a forest, whose trees do not validate X again."""
    n_features, trees, name = n_features_of(forest), attribute(forest, "estimators_", list), type(forest).__name__
    kinds = {type(tree).__name__ for tree in trees}
    require(trees and kinds <= TREES, f"{name}.estimators_ must contain trees, got {sorted(kinds)}")
    fits = all(tree.tree_.n_features == n_features for tree in trees)
    require(fits, f"{name}.estimators_ must read {n_features} features each")
    outputs = {(tree.tree_.n_outputs, *tree.tree_.n_classes) for tree in trees}
    require(len(outputs) == 1, f"{name}.estimators_ must agree in their outputs")
    n_outputs, *n_classes = outputs.pop()
    check_classes(forest, n_outputs, n_classes)


def check_isolation_forest(forest):
    """Check an IsolationForest, whose trees may each read a subset of the features."""
    n_features, trees = n_features_of(forest), attribute(forest, "estimators_", list)
    columns = attribute(forest, "estimators_features_", list)
    fits = len(trees) == len(columns) and vars(forest).get("_max_features") == len(columns[0])
    require(fits, "IsolationForest.estimators_features_ must contain _max_features columns for each tree")
    for tree, own in zip(trees, columns, strict=True):
        fits = is_array(own, np.int64, 1) and within(own, 0, n_features) and len(own) == tree.tree_.n_features
        require(fits, "IsolationForest.estimators_features_ must name the columns that each tree reads")
    counts = [tree.tree_.node_count for tree in trees]
    for name in ("_decision_path_lengths", "_average_path_length_per_tree"):
        lengths = [len(of_tree) for of_tree in attribute(forest, name, tuple, list)]
        require(lengths == counts, f"IsolationForest.{name} must have one number per node")


def n_classes_and_outputs(boosting):
    """Return the number of classes, 1 for a regressor, and the number of trees per iteration."""
    n_classes = len(boosting.classes_) if hasattr(boosting, "classes_") else 1
    return n_classes, n_classes if n_classes > 2 else 1


def check_gradient_boosting(boosting):
    """Check a GradientBoosting estimator, whose compiled code reads all trees."""
    n_features, trees = n_features_of(boosting), attribute(boosting, "estimators_", np.ndarray)
    (n_classes, n_outputs), name = n_classes_and_outputs(boosting), f"{type(boosting).__name__}.estimators_"
    fits = trees.ndim == 2 and trees.shape[1] == n_outputs and len(trees)
    require(fits, f"{name} must have {n_outputs} columns")
    for tree in trees.ravel():
        inner = getattr(tree, "tree_", None)
        fits = type(inner).__name__ == "Tree" and inner.n_features == n_features and inner.value.shape[1:] == (1, 1)
        require(fits, f"{name} must be trees of {n_features} features with one value per node")
    for name in ("n_trees_per_iteration_", "_n_classes"):
        require(vars(boosting).get(name, n_outputs) in (n_outputs, n_classes), f"{name} must be {n_outputs}")


def check_predictor(predictor, n_features):
    """Check one tree of HistGradientBoosting."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes = attribute(predictor, "nodes", np.ndarray)
    fits = nodes.dtype == PREDICTOR_RECORD_DTYPE and nodes.ndim == 1 and len(nodes)
    require(fits, "TreePredictor.nodes must contain nodes")
    is_leaf = nodes["is_leaf"] != 0
    check_children(nodes["left"], nodes["right"], is_leaf, "TreePredictor.nodes")
    inner = nodes[~is_leaf]
    inside = within(inner["feature_idx"], 0, n_features)
    require(inside, f"TreePredictor.nodes: feature_idx must be in range({n_features})")
    for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets"):
        bits = attribute(predictor, name, np.ndarray)
        fits = is_array(bits, np.uint32, 2) and bits.shape[1] == 8
        require(fits, f"TreePredictor.{name} must be uint32 of 8 columns")
        inside = within(inner["bitset_idx"][inner["is_categorical"] != 0], 0, len(bits))
        require(inside, f"TreePredictor.nodes: bitset_idx must be in range({len(bits)})")


def check_hist_gradient_boosting(boosting):
    """Check a HistGradientBoosting estimator."""
    n_features, (_, n) = n_features_of(boosting), n_classes_and_outputs(boosting)
    require(vars(boosting).get("_in_fit", False) is False, "_in_fit must be False")
    require(attribute(boosting, "n_trees_per_iteration_", int) == n, f"n_trees_per_iteration_ must be {n}")
    require(np.shape(boosting._baseline_prediction) == (1, n), "_baseline_prediction must be of shape (1, outputs)")
    for trees in attribute(boosting, "_predictors", list):
        require(type(trees) is list and len(trees) == n, f"_predictors must contain {n} trees per iteration")
        for tree in trees:
            check_predictor(tree, n_features)
    check_bins(boosting._bin_mapper, n_features)
    check_category_encoder(boosting, n_features)


def check_bins(mapper, n_features):
    """Check the bin mapper of HistGradientBoosting, which has the categories."""
    is_categorical = attribute(mapper, "is_categorical_", np.ndarray)
    require(is_categorical.shape == (n_features,), f"_BinMapper.is_categorical_ must be of length {n_features}")
    bins = attribute(mapper, "bin_thresholds_", list)
    require(len(bins) == n_features, f"_BinMapper.bin_thresholds_ must be of length {n_features}")
    for of_feature in (bins[feature] for feature in np.flatnonzero(is_categorical)):
        fits = type(of_feature) is np.ndarray and within(of_feature, 0, MAX_CATEGORY + 1)
        require(fits, f"_BinMapper.bin_thresholds_: categories must lie in 0..{MAX_CATEGORY}")


def check_category_encoder(boosting, n_features):
    """Check that the preprocessor of HistGradientBoosting, which encodes categories, passes each column once."""
    encoder = vars(boosting).get("_preprocessor")
    if encoder is None:
        return
    steps = encoder.transformers_[:2]
    names = [(name, type(step).__name__) for name, step, _ in steps]
    masks = [np.asarray(columns) for _, _, columns in steps]
    function = getattr(steps[1][1], "func", None)
    require(
        names == [("encoder", "OrdinalEncoder"), ("numerical", "FunctionTransformer")]
        and all(mask.dtype == bool and mask.shape == (n_features,) for mask in masks)
        and (masks[0] ^ masks[1]).all()
        and all(step == "drop" for _, step, _ in encoder.transformers_[2:])
        and getattr(function, "func", None) in (None, utils.check_array),
        "_preprocessor must encode the categories and pass on all other columns",
    )


TASKS = ("Classifier", "Regressor")
TREE_CHECKS = {
    "sklearn.tree.Tree": check_tree,
    **{f"sklearn.tree.{name}": check_decision_tree for name in TREES},
    **{f"sklearn.ensemble.{kind}{task}": check_forest for kind in ("RandomForest", "ExtraTrees") for task in TASKS},
    "sklearn.ensemble.RandomTreesEmbedding": check_forest,
    "sklearn.ensemble.IsolationForest": check_isolation_forest,
    **{f"sklearn.ensemble.GradientBoosting{task}": check_gradient_boosting for task in TASKS},
    **{f"sklearn.ensemble.HistGradientBoosting{task}": check_hist_gradient_boosting for task in TASKS},
}
