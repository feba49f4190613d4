"""Check foreign members after skops has built them: all indices that compiled code reads must be valid.

scikit-learn's trees, neighbors and support vector machines read their arrays in compiled code without bounds checks. An
altered array could crash the process in ``predict``, or expose other memory. Each function here takes one fitted
scikit-learn object, and raises a ``ValueError`` unless its arrays can be read safely.
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy import sparse

from ._array_checks import attribute, is_array, n_features_of, within
from ._codec import require
from ._tree_checks import TASKS, TREE_CHECKS

MAX_JOBS = 1024
METRICS = frozenset(  # metrics without parameters, except for minkowski's p
    {"euclidean", "l2", "minkowski", "p", "manhattan", "cityblock", "l1", "chebyshev", "infinity", "cosine"}
)


def check_search_tree(tree):
    """Check a KDTree or BallTree."""
    data, indices, nodes, bounds, _, _, n_nodes, *_, metric, weights = tree.__getstate__()
    name, (n_rows, n_features) = type(tree).__name__, np.shape(data)
    layers = 2 if name.startswith("KD") else 1
    require(n_nodes == len(nodes) >= 1, f"{name}: n_nodes must be the number of nodes")
    require(np.shape(bounds) == (layers, n_nodes, n_features), f"{name}: node_bounds must match the nodes and features")
    require(len(indices) == n_rows and within(indices, 0, n_rows), f"{name}: idx_array must be in range({n_rows})")
    starts, stops = nodes["idx_start"], nodes["idx_end"]
    require(((starts >= 0) & (starts <= stops) & (stops <= n_rows)).all(), f"{name}: nodes must contain existing rows")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    require(within(2 * inner + 2, 0, n_nodes), f"{name}: every node must be a leaf or have two children")
    require(weights is None or len(weights) == n_rows, f"{name}: sample_weight must have one number per row")
    check_distance(metric)


def check_distance(metric):
    """Check that a compiled distance has no arrays of its own, which would have to match the features."""
    _, vector, matrix, *_ = metric.__getstate__()
    plain = np.size(vector) <= 1 and np.size(matrix) <= 1
    reads_none = type(metric).__name__.startswith(("Euclidean", "Manhattan", "Chebyshev"))
    weighted = type(metric).__name__.startswith("Minkowski") and np.size(vector) > 0 and np.any(vector)
    require(plain and (reads_none or not weighted), f"{type(metric).__name__} must have no weights")


def check_neighbors(neighbors):
    """Check an estimator of ``sklearn.neighbors``."""
    name, n_features = type(neighbors).__name__, n_features_of(neighbors)
    rows = vars(neighbors).get("_fit_X")
    require(isinstance(rows, np.ndarray) or sparse.issparse(rows), f"{name}._fit_X must be an array")
    require(rows.ndim == 2 and rows.shape[1] == n_features, f"{name}._fit_X must have {n_features} columns")
    require(rows.dtype.kind == "f", f"{name}._fit_X must contain floats")
    require(vars(neighbors).get("n_samples_fit_") == rows.shape[0], f"{name}.n_samples_fit_ must be {rows.shape[0]}")
    metric, params = vars(neighbors).get("effective_metric_"), vars(neighbors).get("effective_metric_params_")
    require(type(metric) is str and metric in METRICS, f"{name}.effective_metric_ must be one of {sorted(METRICS)}")
    fits = type(params) is dict and params.keys() <= {"p"} and all(isinstance(p, Real) for p in params.values())
    require(fits, f"{name}.effective_metric_params_ must be empty, or a number p")
    tree = vars(neighbors).get("_tree")
    require(tree is None or tree.data.shape == rows.shape, f"{name}._tree must contain the rows of _fit_X")
    if "_y" in vars(neighbors):
        check_neighbor_targets(neighbors, rows.shape[0])


def check_neighbor_targets(neighbors, n_rows):
    """Check the stored targets of a neighbors estimator."""
    name, y = type(neighbors).__name__, attribute(neighbors, "_y", np.ndarray)
    require(len(y) == n_rows and y.ndim in (1, 2), f"{name}._y must have {n_rows} rows")
    if not hasattr(neighbors, "classes_"):
        return
    classes = neighbors.classes_ if neighbors.outputs_2d_ else [neighbors.classes_]
    columns = y.reshape(n_rows, -1).T
    fits = y.dtype.kind == "i" and len(columns) == len(classes)
    fits = fits and all(within(own, 0, len(labels)) for own, labels in zip(columns, classes, strict=True))
    require(fits, f"{name}._y must be indices of classes_")


def check_svm(svm):
    """Check a libsvm-based support vector machine."""
    name, n_features, n_rows = type(svm).__name__, n_features_of(svm), len(svm.support_)
    require(type(svm.kernel) is str, f"{name}.kernel must be a str")
    if svm.kernel == "precomputed":
        require(svm.shape_fit_[0] == n_features, f"{name}.shape_fit_ must start with {n_features}")
    else:
        shape = svm.support_vectors_.shape
        require(shape == (n_rows, n_features), f"{name}.support_vectors_ must be of shape {(n_rows, n_features)}")
    fits = is_array(svm.support_, np.int32, 1) and within(svm.support_, 0, svm.shape_fit_[0])
    require(fits, f"{name}.support_ must contain indices of rows")
    is_classifier, counts = hasattr(svm, "classes_"), svm._n_support
    n_classes = len(svm.classes_) if is_classifier else 2
    fits = is_array(counts, np.int32, 1) and len(counts) == n_classes
    require(fits, f"{name}._n_support must contain {n_classes} counts")
    fits = not is_classifier or ((counts >= 0).all() and counts.sum() == n_rows)
    require(fits, f"{name}._n_support must count the support vectors of each class")
    check_svm_coefficients(svm, name, n_rows, n_classes, n_classes * (n_classes - 1) // 2)


def check_svm_coefficients(svm, name, n_rows, n_classes, n_pairs):
    """Check the numbers of coefficients of a support vector machine, per vector and per pair of classes."""
    for key in ("_dual_coef_", "dual_coef_"):
        shape, expected = getattr(svm, key).shape, (n_classes - 1, n_rows)
        require(shape == expected, f"{name}.{key} must be of shape {expected}, got {shape}")
    for key in ("_intercept_", "intercept_"):
        require(np.shape(getattr(svm, key)) == (n_pairs,), f"{name}.{key} must be of length {n_pairs}")
    for key in ("_probA", "_probB"):
        require(np.shape(getattr(svm, key)) in ((0,), (n_pairs,)), f"{name}.{key} must be empty or of length {n_pairs}")
    require(np.size(svm._probA) == np.size(svm._probB), f"{name}._probA and _probB must be of equal length")


def check_k_means(k_means):
    """Check a KMeans, whose compiled code reads the centers."""
    shape = (k_means.n_clusters, n_features_of(k_means))
    centers = attribute(k_means, "cluster_centers_", np.ndarray)
    n_threads = attribute(k_means, "_n_threads", int)
    require(1 <= n_threads <= MAX_JOBS, f"_n_threads must be in 1..{MAX_JOBS}, got {n_threads}")
    require(centers.shape == shape and centers.dtype.kind == "f", f"cluster_centers_ must be of shape {shape}")


def check_one_hot(encoder):
    """Check a OneHotEncoder, which builds a sparse matrix with ``_n_features_outs`` columns."""
    found, expected = encoder._n_features_outs, encoder._compute_n_features_outs()
    require(list(found) == list(expected), f"OneHotEncoder._n_features_outs must be {expected}, got {found}")


def check_mlp(mlp):
    """Check a multilayer perceptron: the input of each layer must match the output of the previous one."""
    name, n = type(mlp).__name__, vars(mlp).get("n_layers_", 0) - 1
    coefs, intercepts = attribute(mlp, "coefs_", list), attribute(mlp, "intercepts_", list)
    require(len(coefs) == len(intercepts) == n >= 1, f"{name}.coefs_ must match n_layers_")
    require(all(type(part) is np.ndarray and part.ndim == 2 for part in coefs), f"{name}.coefs_ must be matrices")
    widths = [n_features_of(mlp), *(part.shape[1] for part in coefs)]
    for part, bias, before, after in zip(coefs, intercepts, widths[:-1], widths[1:], strict=True):
        require(part.shape == (before, after) and np.shape(bias) == (after,), f"{name}.coefs_ must match each other")
    require(widths[-1] == vars(mlp).get("n_outputs_"), f"{name}.coefs_ must end in n_outputs_ columns")


def check_sparse(matrix):
    """Check the indices of a sparse matrix."""
    if matrix.format in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)
    elif matrix.format == "coo":
        inside = all(within(own, 0, size) for own, size in zip((matrix.row, matrix.col), matrix.shape, strict=True))
        require(inside, "the indices of a sparse matrix must lie within its shape")
    else:
        raise ValueError(f"a sparse matrix must be csr, csc, bsr or coo, got {matrix.format}")


def check_jobs(estimator):
    """Check that ``n_jobs`` of an estimator is not absurdly large."""
    n_jobs = vars(estimator).get("n_jobs")
    allowed = n_jobs is None or (isinstance(n_jobs, Integral) and abs(n_jobs) <= MAX_JOBS)
    name = f"{type(estimator).__name__}.n_jobs"
    require(allowed, f"{name} must be None or an integer of at most {MAX_JOBS}, got {n_jobs!r}")


CHECKS = {
    **TREE_CHECKS,
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
    **{f"sklearn.neural_network.MLP{task}": check_mlp for task in TASKS},
    "sklearn.preprocessing.OneHotEncoder": check_one_hot,
    "sklearn.cluster.KMeans": check_k_means,
    "sklearn.cluster.MiniBatchKMeans": check_k_means,
}
