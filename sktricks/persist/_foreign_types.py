"""The types that skops may build in foreign members, and checks of its bytes before it builds anything.

skops trusts types by name. This is not sufficient for compiled code, which reads arrays without bounds checks.
Therefore a scikit-learn class is trusted here only if it predicts entirely in numpy (``NUMPY_ONLY``), or if its arrays
can be checked (:mod:`._foreign_checks`). All other types must be listed in ``trusted`` by the caller.
"""

from __future__ import annotations

import io
import json
import zipfile
from math import prod

import numpy as np

from ._codec import require
from ._foreign_checks import CHECKS
from ._tree_checks import TASKS

# scikit-learn packages whose estimators all predict in numpy, and single classes of other packages.
NUMPY_ONLY = frozenset(
    f"sklearn.{name}"
    for name in (
        *("calibration", "compose", "covariance", "cross_decomposition", "discriminant_analysis", "dummy"),
        *("feature_selection", "frozen", "gaussian_process", "impute", "isotonic", "kernel_approximation"),
        *("kernel_ridge", "linear_model", "mixture", "model_selection", "multiclass", "multioutput", "naive_bayes"),
        *("pipeline", "preprocessing", "random_projection"),
        *("decomposition.PCA", "decomposition.IncrementalPCA", "decomposition.KernelPCA", "decomposition.TruncatedSVD"),
        *("decomposition.FastICA", "decomposition.FactorAnalysis"),
        *(f"ensemble.{kind}{task}" for kind in ("AdaBoost", "Bagging", "Voting", "Stacking") for task in TASKS),
        *("feature_extraction.FeatureHasher", "feature_extraction.HashingVectorizer"),
        *("feature_extraction.TfidfTransformer",),
        *("neighbors.NearestCentroid", "neighbors.KernelDensity", "svm.LinearSVC", "svm.LinearSVR"),
        *("_loss", "ensemble._BinMapper", "utils.Bunch"),
    )
)
KERNELS = (
    *("CompoundKernel", "ConstantKernel", "DotProduct", "Exponentiation", "ExpSineSquared", "Matern"),
    *("PairwiseKernel", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
    "_BinaryGaussianProcessClassifierLaplace",
)
DISTANCES = ("Euclidean", "Manhattan", "Chebyshev", "Minkowski")
SCORES = ("f_classif", "f_regression", "chi2", "mutual_info_classif", "mutual_info_regression")
# Types that skops does not trust by default, but that are harmless or checked.
PARTS = frozenset(
    {
        "functools.partial",  # only of check_array: see check_partial
        "numpy.dtype",
        *(f"sklearn.calibration._{name}" for name in ("CalibratedClassifier", "SigmoidCalibration")),
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble.TreePredictor",
        *(f"sklearn.feature_selection.{name}" for name in SCORES),
        *(f"sklearn.gaussian_process.{name}" for name in KERNELS),
        *(f"sklearn.metrics.{name}Distance{bits}" for name in DISTANCES for bits in ("", "32", "64")),
        *(f"sklearn.neural_network.{name}Optimizer" for name in ("Adam", "SGD")),
        "sklearn.utils.check_array",
        *(f"scipy.sparse.{form}_{kind}" for form in ("csr", "csc", "bsr", "coo") for kind in ("matrix", "array")),
    }
)
MAX_INFLATION = 256 * 2**20  # bytes of a decompressed sparse matrix; more is allowed up to 20 times its compressed size


def check_trusted(trusted):
    """Return the names of the types that the caller trusts."""
    if trusted is None:
        return frozenset()
    fits = isinstance(trusted, list | tuple | set | frozenset) and all(isinstance(item, str | type) for item in trusted)
    if not fits:
        raise TypeError(f"trusted must be a list of types or of their full names, or None; got {trusted!r}")
    return frozenset(item if isinstance(item, str) else f"{item.__module__}.{item.__qualname__}" for item in trusted)


def full_name(value):
    """Return the full name of the type of an object, as skops writes it."""
    return f"{type(value).__module__}.{type(value).__name__}"


def public_name(name):
    """Return the name of a class of scikit-learn without its private modules: ``sklearn.tree.Tree``."""
    package, _, _ = name.rpartition(".")
    return ".".join([*package.split(".")[:2], name.rpartition(".")[2]])


def name_of_type(value):
    """Return the public name of the type of an object."""
    return public_name(full_name(value))


def untrusted_types(content, skops, trusted, nodes=None):
    """Return the types in skops bytes that neither we nor the caller trust, and those untrusted by skops.

    ``nodes`` are the objects of the schema, if they have been read already.
    """
    asked = set(skops.get_untrusted_types(data=content))
    names = {f"{node['__module__']}.{node['__class__']}" for node in nodes or nodes_of(content)}
    unknown = {name for name in asked if not is_checked(name)}
    unknown |= {
        name for name in names - asked if name.startswith("sklearn.") and not (is_numpy_only(name) or is_checked(name))
    }
    return sorted(unknown - trusted), sorted(asked)


def is_checked(name):
    """Return True for a type whose contents are checked or harmless."""
    return public_name(name) in CHECKS or public_name(name) in PARTS


def is_numpy_only(name):
    """Return True for a scikit-learn estimator that predicts in numpy."""
    public = public_name(name)
    return public in NUMPY_ONLY or public.rpartition(".")[0] in NUMPY_ONLY


def nodes_of(content):
    """Return the descriptions of all objects in the schema of skops bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pending = [json.loads(archive.read("schema.json"))]
    nodes = []
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            nodes += [item] if "__loader__" in item else []
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return nodes


def check_sizes(content, compressed=False):
    """Raise an error if the entries of a zip file, or the arrays in them, claim too much memory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        limit = max(MAX_INFLATION, 20 * len(content)) if compressed else len(content)
        size = sum(entry.file_size for entry in entries)
        require(size <= limit, f"{len(content)} bytes must not inflate to {size}")
        for entry in entries:
            fits = compressed or entry.compress_type == zipfile.ZIP_STORED
            require(fits, f"{entry.filename!r} must not be compressed")
            part = archive.read(entry)
            if part.startswith(b"PK") and not compressed:
                check_sizes(part, compressed=True)
            elif part.startswith(b"\x93NUMPY"):
                check_array_size(part)


def check_array_size(part):
    """Raise an error unless the size in the header of an array matches its data."""
    file = io.BytesIO(part)
    version = np.lib.format.read_magic(file)
    require(version in ((1, 0), (2, 0)), f"arrays must be of format 1.0 or 2.0, got {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    size, rest = prod(shape) * dtype.itemsize, len(part) - file.tell()
    require(size == rest, f"an array of shape {shape} and {dtype} takes {size} bytes, got {rest}")


def check_tree_arguments(node, archive):
    """Raise an error unless the arguments of a ``Tree`` are consistent, which its constructor does not check."""
    require(node["__loader__"] in ("TreeNode", "TypeNode"), "a Tree must be read by the loader TreeNode")
    if node["__loader__"] == "TypeNode":
        return
    n_features, n_classes, n_outputs = node["__reduce__"]["args"]["content"]
    numbers = [json.loads(number["content"]) for number in (n_features, n_outputs)]
    counts = np.load(io.BytesIO(archive.read(n_classes["file"])), allow_pickle=False)
    fits = all(type(number) is int and 1 <= number < 2**31 for number in numbers)
    fits = fits and counts.dtype == np.intp and counts.shape == (numbers[1],) and counts.min() >= 1
    require(fits, "the arguments of a Tree must be consistent")


def check_partial(node):
    """Raise an error unless a ``functools.partial`` wraps ``check_array``, as in HistGradientBoosting."""
    func = node["content"]["func"]
    found = f"{func['__module__']}.{func['__class__']}"
    require(public_name(found) == "sklearn.utils.check_array", f"a partial must be of check_array, got {found}")


def check_content(content, skops, trusted):
    """Check skops bytes before anything is built, and return the result of :func:`untrusted_types`."""
    check_sizes(content)
    nodes = nodes_of(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for node in nodes:
            if node["__class__"] == "Tree":
                check_tree_arguments(node, archive)
            elif node["__loader__"] == "PartialNode" and "functools.partial" not in trusted:
                check_partial(node)
    return untrusted_types(content, skops, trusted, nodes)
