"""Checks of foreign members after skops has built them: compiled code must find every index where it will look.

scikit-learn's trees, neighbors and support vector machines read their arrays in compiled code without bounds checks. An
array that somebody altered would crash the process in ``predict``, or read memory of others. Each function here takes
one fitted object of scikit-learn and raises a ``ValueError`` unless its arrays can be read safely.
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn import utils

MAX_CATEGORY = 255  # HistGradientBoosting keeps the known categories in sets of 256 bits
MAX_JOBS = 1024
METRICS = frozenset(  # computed without parameters, except for minkowski's p
    {"euclidean", "l2", "minkowski", "p", "manhattan", "cityblock", "l1", "chebyshev", "infinity", "cosine"}
)


def expect(condition, what):
    """Raise a ValueError that says ``what`` must hold, unless it does."""
    if not condition:
        raise ValueError(what)


def attribute(value, name, *types):
    """Return an attribute of a fitted object; it must be there, and of one of these types, exactly."""
    found = vars(value).get(name)
    kinds = " or ".join(kind.__name__ for kind in types)
    expect(type(found) in types, f"{type(value).__name__}.{name} must be of type {kinds}, got {type(found).__name__}")
    return found


def n_features_of(value):
    """Return the number of features that an estimator checks X against."""
    n_features = attribute(value, "n_features_in_", int, np.int64)
    expect(n_features >= 1, f"{type(value).__name__}.n_features_in_ must be at least 1, got {n_features}")
    return n_features


def is_array(value, dtype, ndim):
    """Return True for a plain array of this dtype and number of dimensions."""
    return type(value) is np.ndarray and value.dtype == dtype and value.ndim == ndim


def within(indices, start, stop):
    """Return True if all indices lie in ``range(start, stop)``."""
    return len(indices) == 0 or (int(indices.min()) >= start and int(indices.max()) < stop)


# -- trees -------------------------------------------------------------------------------------------------------------


def check_children(left, right, is_leaf, what):
    """Check that children come after their parents, as scikit-learn numbers them: no cycles, no index out of range."""
    parents = np.flatnonzero(~is_leaf)
    for children in (left[parents].astype(np.int64), right[parents].astype(np.int64)):
        inside = (children > parents) & (children < len(is_leaf))
        expect(inside.all(), f"{what}: the children of a node must be nodes that follow it")


def check_tree(tree):
    """Check a ``sklearn.tree._tree.Tree``."""
    state = tree.__getstate__()
    nodes, values = state["nodes"], state["values"]
    expect(len(nodes) == tree.node_count >= 1, "Tree.nodes must hold node_count nodes")
    is_leaf = nodes["left_child"] == -1
    check_children(nodes["left_child"], nodes["right_child"], is_leaf, "Tree.nodes")
    inside = within(nodes["feature"][~is_leaf], 0, tree.n_features)
    expect(inside, f"Tree.nodes: feature indices must be in range({tree.n_features})")
    shape = (len(nodes), tree.n_outputs, tree.max_n_classes)
    expect(values.shape == shape, f"Tree.values must be of shape {shape}, got {values.shape}")


def check_decision_tree(tree):
    """Check a DecisionTree or ExtraTree estimator: what it knows of itself is what its ``Tree`` reads."""
    inner, n_features = vars(tree).get("tree_"), n_features_of(tree)
    expect(type(inner).__name__ == "Tree", f"{type(tree).__name__}.tree_ must be a Tree")
    expect(inner.n_features == n_features, f"{type(tree).__name__}.tree_ must read {n_features} features")
    if hasattr(tree, "classes_"):
        classes = [tree.classes_] if inner.n_outputs == 1 else tree.classes_
        expect(
            [len(of_output) for of_output in classes] == list(inner.n_classes),
            f"{type(tree).__name__}.classes_ must have the lengths {list(inner.n_classes)}",
        )


def check_forest(forest):
    """Check a forest: its trees do not check X again."""
    n_features, trees = n_features_of(forest), attribute(forest, "estimators_", list)
    kinds = {type(tree).__name__ for tree in trees}
    expect(
        trees
        and kinds <= {f"{kind}Tree{task}" for kind in ("Decision", "Extra") for task in ("Classifier", "Regressor")},
        f"{type(forest).__name__}.estimators_ must hold trees, got {sorted(kinds)}",
    )
    expect(
        all(tree.tree_.n_features == n_features for tree in trees),
        f"{type(forest).__name__}.estimators_ must read {n_features} features each",
    )
    outputs = {(tree.tree_.n_outputs, *tree.tree_.n_classes) for tree in trees}
    expect(len(outputs) == 1, f"{type(forest).__name__}.estimators_ must agree in their outputs")
    if hasattr(forest, "classes_"):
        n_outputs, *n_classes = outputs.pop()
        classes = [forest.classes_] if n_outputs == 1 else forest.classes_
        lengths = [len(of_output) for of_output in classes]
        expect(lengths == n_classes, f"{type(forest).__name__}.classes_ must have the lengths {n_classes}")


def check_isolation_forest(forest):
    """Check an IsolationForest, whose trees may each see some of the features."""
    n_features, trees = n_features_of(forest), attribute(forest, "estimators_", list)
    columns = attribute(forest, "estimators_features_", list)
    expect(
        len(trees) == len(columns) and vars(forest).get("_max_features") == len(columns[0]),
        "IsolationForest.estimators_features_ must hold _max_features columns for each tree",
    )
    for tree, own in zip(trees, columns, strict=True):
        expect(
            is_array(own, np.int64, 1) and within(own, 0, n_features) and len(own) == tree.tree_.n_features,
            "IsolationForest.estimators_features_ must name the columns that each tree reads",
        )
    for name in ("_decision_path_lengths", "_average_path_length_per_tree"):
        lengths = [len(of_tree) for of_tree in attribute(forest, name, tuple, list)]
        counts = [tree.tree_.node_count for tree in trees]
        expect(lengths == counts, f"IsolationForest.{name} must have a number for each node")


def check_gradient_boosting(boosting):
    """Check a GradientBoosting estimator, whose trees are read one after the other in compiled code."""
    n_features, trees = n_features_of(boosting), attribute(boosting, "estimators_", np.ndarray)
    n_classes = len(boosting.classes_) if hasattr(boosting, "classes_") else 1
    n_outputs = n_classes if n_classes > 2 else 1
    expect(
        trees.ndim == 2 and trees.shape[1] == n_outputs and len(trees),
        f"{type(boosting).__name__}.estimators_ must have {n_outputs} columns",
    )
    for tree in trees.ravel():
        inner = getattr(tree, "tree_", None)
        expect(
            type(inner).__name__ == "Tree" and inner.n_features == n_features and inner.value.shape[1:] == (1, 1),
            f"{type(boosting).__name__}.estimators_ must be trees of {n_features} features with one value per node",
        )
    for name in ("n_trees_per_iteration_", "_n_classes"):
        expect(vars(boosting).get(name, n_outputs) in (n_outputs, n_classes), f"{name} must be {n_outputs}")


def check_predictor(predictor, n_features):
    """Check one tree of HistGradientBoosting."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes = attribute(predictor, "nodes", np.ndarray)
    expect(
        nodes.dtype == PREDICTOR_RECORD_DTYPE and nodes.ndim == 1 and len(nodes), "TreePredictor.nodes must hold nodes"
    )
    is_leaf = nodes["is_leaf"] != 0
    check_children(nodes["left"], nodes["right"], is_leaf, "TreePredictor.nodes")
    inner = nodes[~is_leaf]
    inside = within(inner["feature_idx"], 0, n_features)
    expect(inside, f"TreePredictor.nodes: feature_idx must be in range({n_features})")
    for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets"):
        bits = attribute(predictor, name, np.ndarray)
        expect(is_array(bits, np.uint32, 2) and bits.shape[1] == 8, f"TreePredictor.{name} must be uint32 of 8 columns")
        inside = within(inner["bitset_idx"][inner["is_categorical"] != 0], 0, len(bits))
        expect(inside, f"TreePredictor.nodes: bitset_idx must be in range({len(bits)})")


def check_hist_gradient_boosting(boosting):
    """Check a HistGradientBoosting estimator."""
    n_features = n_features_of(boosting)
    n_classes = len(boosting.classes_) if hasattr(boosting, "classes_") else 1
    n_outputs = n_classes if n_classes > 2 else 1
    expect(vars(boosting).get("_in_fit", False) is False, "_in_fit must be False")
    expect(
        attribute(boosting, "n_trees_per_iteration_", int) == n_outputs, f"n_trees_per_iteration_ must be {n_outputs}"
    )
    expect(
        np.shape(boosting._baseline_prediction) == (1, n_outputs), "_baseline_prediction must be of shape (1, outputs)"
    )
    for trees in attribute(boosting, "_predictors", list):
        expect(
            type(trees) is list and len(trees) == n_outputs, f"_predictors must hold {n_outputs} trees per iteration"
        )
        for tree in trees:
            check_predictor(tree, n_features)
    check_bins(boosting._bin_mapper, n_features)
    check_category_encoder(boosting, n_features)


def check_bins(mapper, n_features):
    """Check the part of HistGradientBoosting that knows the categories."""
    is_categorical = attribute(mapper, "is_categorical_", np.ndarray)
    expect(is_categorical.shape == (n_features,), f"_BinMapper.is_categorical_ must be of length {n_features}")
    bins = attribute(mapper, "bin_thresholds_", list)
    expect(len(bins) == n_features, f"_BinMapper.bin_thresholds_ must be of length {n_features}")
    for of_feature in (bins[feature] for feature in np.flatnonzero(is_categorical)):
        expect(
            type(of_feature) is np.ndarray and within(of_feature, 0, MAX_CATEGORY + 1),
            f"_BinMapper.bin_thresholds_: categories must lie in 0..{MAX_CATEGORY}",
        )


def check_category_encoder(boosting, n_features):
    """Check that what encodes the categories of a DataFrame passes on each column once."""
    encoder = vars(boosting).get("_preprocessor")
    if encoder is None:
        return
    steps = encoder.transformers_[:2]
    names = [(name, type(step).__name__) for name, step, _ in steps]
    masks = [np.asarray(columns) for _, _, columns in steps]
    function = getattr(steps[1][1], "func", None)
    expect(
        names == [("encoder", "OrdinalEncoder"), ("numerical", "FunctionTransformer")]
        and all(mask.dtype == bool and mask.shape == (n_features,) for mask in masks)
        and (masks[0] ^ masks[1]).all()
        and all(step == "drop" for _, step, _ in encoder.transformers_[2:])
        and getattr(function, "func", None) in (None, utils.check_array),
        "_preprocessor must encode the categories and pass on all other columns",
    )


# -- neighbors ---------------------------------------------------------------------------------------------------------


def check_search_tree(tree):
    """Check a KDTree or BallTree."""
    data, indices, nodes, bounds, _, _, n_nodes, *_, metric, weights = tree.__getstate__()
    name, (n_rows, n_features) = type(tree).__name__, np.shape(data)
    layers = 2 if name.startswith("KD") else 1
    expect(n_nodes == len(nodes) >= 1, f"{name}: n_nodes must be the number of nodes")
    expect(np.shape(bounds) == (layers, n_nodes, n_features), f"{name}: node_bounds must fit the nodes and features")
    expect(len(indices) == n_rows and within(indices, 0, n_rows), f"{name}: idx_array must be in range({n_rows})")
    starts, stops = nodes["idx_start"], nodes["idx_end"]
    expect(((starts >= 0) & (starts <= stops) & (stops <= n_rows)).all(), f"{name}: nodes must hold rows that exist")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    expect(within(2 * inner + 2, 0, n_nodes), f"{name}: every node must be a leaf or have two children")
    expect(weights is None or len(weights) == n_rows, f"{name}: sample_weight must have one number per row")
    check_distance(metric)


def check_distance(metric):
    """Check that a compiled distance has no arrays of its own that would have to fit the features."""
    _, vector, matrix, *_ = metric.__getstate__()
    plain = np.size(vector) <= 1 and np.size(matrix) <= 1
    reads_none = type(metric).__name__.startswith(("Euclidean", "Manhattan", "Chebyshev"))
    weighted = type(metric).__name__.startswith("Minkowski") and np.size(vector) > 0 and np.any(vector)
    expect(plain and (reads_none or not weighted), f"{type(metric).__name__} must have no weights")


def check_neighbors(neighbors):
    """Check an estimator of ``sklearn.neighbors``."""
    name, n_features = type(neighbors).__name__, n_features_of(neighbors)
    rows = vars(neighbors).get("_fit_X")
    expect(isinstance(rows, np.ndarray) or sparse.issparse(rows), f"{name}._fit_X must be an array")
    expect(rows.ndim == 2 and rows.shape[1] == n_features, f"{name}._fit_X must have {n_features} columns")
    expect(rows.dtype.kind == "f", f"{name}._fit_X must hold floats")
    expect(vars(neighbors).get("n_samples_fit_") == rows.shape[0], f"{name}.n_samples_fit_ must be {rows.shape[0]}")
    metric, params = vars(neighbors).get("effective_metric_"), vars(neighbors).get("effective_metric_params_")
    expect(type(metric) is str and metric in METRICS, f"{name}.effective_metric_ must be one of {sorted(METRICS)}")
    expect(
        type(params) is dict and params.keys() <= {"p"} and all(isinstance(p, Real) for p in params.values()),
        f"{name}.effective_metric_params_ must be empty, or a number p",
    )
    tree = vars(neighbors).get("_tree")
    expect(tree is None or tree.data.shape == rows.shape, f"{name}._tree must hold the rows of _fit_X")
    if "_y" in vars(neighbors):
        check_neighbor_targets(neighbors, rows.shape[0])


def check_neighbor_targets(neighbors, n_rows):
    """Check the targets of the rows that a neighbors estimator keeps."""
    name, y = type(neighbors).__name__, attribute(neighbors, "_y", np.ndarray)
    expect(len(y) == n_rows and y.ndim in (1, 2), f"{name}._y must have {n_rows} rows")
    if not hasattr(neighbors, "classes_"):
        return
    classes = neighbors.classes_ if neighbors.outputs_2d_ else [neighbors.classes_]
    columns = y.reshape(n_rows, -1).T
    expect(
        y.dtype.kind == "i"
        and len(columns) == len(classes)
        and all(within(own, 0, len(labels)) for own, labels in zip(columns, classes, strict=True)),
        f"{name}._y must be indices of classes_",
    )


# -- others ------------------------------------------------------------------------------------------------------------


def check_svm(svm):
    """Check a support vector machine of libsvm."""
    name, n_features, n_rows = type(svm).__name__, n_features_of(svm), len(svm.support_)
    expect(type(svm.kernel) is str, f"{name}.kernel must be a name")
    if svm.kernel == "precomputed":
        expect(svm.shape_fit_[0] == n_features, f"{name}.shape_fit_ must begin with {n_features}")
    else:
        shape = svm.support_vectors_.shape
        expect(shape == (n_rows, n_features), f"{name}.support_vectors_ must be of shape {(n_rows, n_features)}")
    expect(
        is_array(svm.support_, np.int32, 1) and within(svm.support_, 0, svm.shape_fit_[0]),
        f"{name}.support_ must hold indices of rows",
    )
    is_classifier = hasattr(svm, "classes_")
    n_classes, counts = len(svm.classes_) if is_classifier else 2, svm._n_support
    expect(
        is_array(counts, np.int32, 1) and len(counts) == n_classes, f"{name}._n_support must hold {n_classes} counts"
    )
    expect(
        not is_classifier or ((counts >= 0).all() and counts.sum() == n_rows),
        f"{name}._n_support must count the support vectors of each class",
    )
    check_svm_coefficients(svm, name, n_rows, n_classes, n_classes * (n_classes - 1) // 2)


def check_svm_coefficients(svm, name, n_rows, n_classes, n_pairs):
    """Check the coefficients of a support vector machine: one for each vector, and one for each pair of classes."""
    for key in ("_dual_coef_", "dual_coef_"):
        shape = getattr(svm, key).shape
        expect(
            shape == (n_classes - 1, n_rows), f"{name}.{key} must be of shape {(n_classes - 1, n_rows)}, got {shape}"
        )
    for key in ("_intercept_", "intercept_"):
        expect(np.shape(getattr(svm, key)) == (n_pairs,), f"{name}.{key} must be of length {n_pairs}")
    for key in ("_probA", "_probB"):
        expect(np.shape(getattr(svm, key)) in ((0,), (n_pairs,)), f"{name}.{key} must be empty or of length {n_pairs}")
    expect(np.size(svm._probA) == np.size(svm._probB), f"{name}._probA and _probB must be of equal length")


def check_k_means(k_means):
    """Check a KMeans, whose centers are read in compiled code."""
    shape = (k_means.n_clusters, n_features_of(k_means))
    centers = attribute(k_means, "cluster_centers_", np.ndarray)
    n_threads = attribute(k_means, "_n_threads", int)
    expect(1 <= n_threads <= MAX_JOBS, f"_n_threads must be in 1..{MAX_JOBS}, got {n_threads}")
    expect(centers.shape == shape and centers.dtype.kind == "f", f"cluster_centers_ must be of shape {shape}")


def check_one_hot(encoder):
    """Check a OneHotEncoder, which builds a sparse matrix of as many columns as it says."""
    found, expected = encoder._n_features_outs, encoder._compute_n_features_outs()
    expect(list(found) == list(expected), f"OneHotEncoder._n_features_outs must be {expected}, got {found}")


def check_mlp(mlp):
    """Check a multilayer perceptron: each layer fits the one before it."""
    name, coefs = type(mlp).__name__, attribute(mlp, "coefs_", list)
    intercepts = attribute(mlp, "intercepts_", list)
    expect(len(coefs) == len(intercepts) == vars(mlp).get("n_layers_", 0) - 1 >= 1, f"{name}.coefs_ must fit n_layers_")
    expect(all(type(part) is np.ndarray and part.ndim == 2 for part in coefs), f"{name}.coefs_ must be matrices")
    widths = [n_features_of(mlp), *(part.shape[1] for part in coefs)]
    for part, bias, before, after in zip(coefs, intercepts, widths[:-1], widths[1:], strict=True):
        expect(part.shape == (before, after) and np.shape(bias) == (after,), f"{name}.coefs_ must fit each other")
    expect(widths[-1] == vars(mlp).get("n_outputs_"), f"{name}.coefs_ must end in n_outputs_ columns")


def check_sparse(matrix):
    """Check the indices of a sparse matrix."""
    if matrix.format in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)
    elif matrix.format == "coo":
        expect(
            all(within(own, 0, size) for own, size in zip((matrix.row, matrix.col), matrix.shape, strict=True)),
            "the indices of a sparse matrix must lie within its shape",
        )
    else:
        raise ValueError(f"a sparse matrix must be csr, csc, bsr or coo, got {matrix.format}")


def check_jobs(estimator):
    """Check that an estimator does not ask for an absurd number of workers."""
    n_jobs = vars(estimator).get("n_jobs")
    allowed = n_jobs is None or (isinstance(n_jobs, Integral) and abs(n_jobs) <= MAX_JOBS)
    expect(
        allowed, f"{type(estimator).__name__}.n_jobs must be None or an integer of at most {MAX_JOBS}, got {n_jobs!r}"
    )


FORESTS = ("RandomForest", "ExtraTrees")
CHECKS = {
    "sklearn.tree.Tree": check_tree,
    **{
        f"sklearn.tree.{kind}Tree{task}": check_decision_tree
        for kind in ("Decision", "Extra")
        for task in ("Classifier", "Regressor")
    },
    **{f"sklearn.ensemble.{kind}{task}": check_forest for kind in FORESTS for task in ("Classifier", "Regressor")},
    "sklearn.ensemble.RandomTreesEmbedding": check_forest,
    "sklearn.ensemble.IsolationForest": check_isolation_forest,
    **{f"sklearn.ensemble.GradientBoosting{task}": check_gradient_boosting for task in ("Classifier", "Regressor")},
    **{
        f"sklearn.ensemble.HistGradientBoosting{task}": check_hist_gradient_boosting
        for task in ("Classifier", "Regressor")
    },
    "sklearn.neighbors.KDTree": check_search_tree,
    "sklearn.neighbors.BallTree": check_search_tree,
    **{
        f"sklearn.neighbors.{name}": check_neighbors
        for name in (
            *("KNeighborsClassifier", "KNeighborsRegressor", "RadiusNeighborsClassifier", "RadiusNeighborsRegressor"),
            *("NearestNeighbors", "KNeighborsTransformer", "RadiusNeighborsTransformer"),
        )
    },
    **{f"sklearn.svm.{name}": check_svm for name in ("SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM")},
    **{f"sklearn.neural_network.MLP{task}": check_mlp for task in ("Classifier", "Regressor")},
    "sklearn.preprocessing.OneHotEncoder": check_one_hot,
    "sklearn.cluster.KMeans": check_k_means,
    "sklearn.cluster.MiniBatchKMeans": check_k_means,
}
