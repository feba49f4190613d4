"""Foreign members: estimators of scikit-learn and of others, stored by skops and checked after loading.

skops builds what it trusts, by name. That is not enough for compiled code, which reads its arrays without bounds
checks. So a scikit-learn class is trusted here if its predictions are numpy throughout (``NUMPY_ONLY``), or if there
is a check of its arrays (:mod:`._member_checks`). All others have to be named by the caller in ``trusted``.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from contextlib import suppress
from itertools import chain
from math import prod

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from ._codec import Codec, entry, join
from ._foreign_checks import CHECKS, check_jobs, check_sparse, expect

# Packages of scikit-learn of which every estimator predicts in numpy, and single classes of others.
NUMPY_ONLY = frozenset(
    f"sklearn.{name}"
    for name in (
        *("calibration", "compose", "covariance", "cross_decomposition", "discriminant_analysis", "dummy"),
        *("feature_selection", "frozen", "gaussian_process", "impute", "isotonic", "kernel_approximation"),
        *("kernel_ridge", "linear_model", "mixture", "model_selection", "multiclass", "multioutput", "naive_bayes"),
        *("pipeline", "preprocessing", "random_projection"),
        *("decomposition.PCA", "decomposition.IncrementalPCA", "decomposition.KernelPCA", "decomposition.TruncatedSVD"),
        *("decomposition.FastICA", "decomposition.FactorAnalysis"),
        *("ensemble.AdaBoostClassifier", "ensemble.AdaBoostRegressor"),
        *("ensemble.BaggingClassifier", "ensemble.BaggingRegressor"),
        *("ensemble.VotingClassifier", "ensemble.VotingRegressor"),
        *("ensemble.StackingClassifier", "ensemble.StackingRegressor"),
        *("feature_extraction.FeatureHasher", "feature_extraction.HashingVectorizer"),
        *("feature_extraction.TfidfTransformer",),
        *("neighbors.NearestCentroid", "neighbors.KernelDensity", "svm.LinearSVC", "svm.LinearSVR"),
        *("_loss", "ensemble._BinMapper", "utils.Bunch"),
    )
)
# What skops does not trust by itself, and what is harmless or checked.
PARTS = frozenset(
    {
        "functools.partial",  # of check_array: see check_partials
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble.TreePredictor",
        "sklearn.feature_selection.f_classif",
        "sklearn.feature_selection.f_regression",
        "sklearn.feature_selection.chi2",
        "sklearn.feature_selection.mutual_info_classif",
        "sklearn.feature_selection.mutual_info_regression",
        "sklearn.gaussian_process._BinaryGaussianProcessClassifierLaplace",
        *(
            f"sklearn.gaussian_process.{kernel}"
            for kernel in (
                *("CompoundKernel", "ConstantKernel", "DotProduct", "Exponentiation", "ExpSineSquared", "Matern"),
                *("PairwiseKernel", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
            )
        ),
        *(
            f"sklearn.metrics.{distance}Distance{bits}"
            for distance in ("Euclidean", "Manhattan", "Chebyshev", "Minkowski")
            for bits in ("", "32", "64")
        ),
        "sklearn.neural_network.AdamOptimizer",
        "sklearn.neural_network.SGDOptimizer",
        "sklearn.utils.check_array",
        *(f"scipy.sparse.{form}_{kind}" for form in ("csr", "csc", "bsr", "coo") for kind in ("matrix", "array")),
    }
)
MAX_INFLATION = 256 * 2**20  # bytes that a compressed sparse matrix may take, or twenty times its own size


# -- what may be built -------------------------------------------------------------------------------------------------


def check_trusted(trusted):
    """Return the names of the types that the caller trusts."""
    if trusted is None:
        return frozenset()
    if not isinstance(trusted, list | tuple | set | frozenset) or not all(
        isinstance(item, str | type) for item in trusted
    ):
        raise TypeError(f"trusted must be a list of types or of their full names, or None; got {trusted!r}")
    return frozenset(item if isinstance(item, str) else f"{item.__module__}.{item.__qualname__}" for item in trusted)


def full_name(value):
    """Return the name by which skops calls the type of an object."""
    return f"{type(value).__module__}.{type(value).__name__}"


def public_name(name):
    """Return the name of a class of scikit-learn without its private modules: ``sklearn.tree.Tree``."""
    package, _, _ = name.rpartition(".")
    return ".".join([*package.split(".")[:2], name.rpartition(".")[2]])


def name_of_type(value):
    """Return the public name of the type of an object."""
    return public_name(full_name(value))


def untrusted_types(content, skops, trusted):
    """Return the types in the bytes of skops that nobody vouches for, and those that skops has to be told of."""
    asked = set(skops.get_untrusted_types(data=content))
    named = {name for name in type_names(schema_of(content)) if name.startswith("sklearn.")} - asked
    unknown = [name for name in asked if not is_checked(name)]
    unknown += [name for name in named if not (is_numpy_only(name) or is_checked(name))]
    return sorted(set(unknown) - trusted), sorted(asked)


def is_checked(name):
    """Return True for a type whose contents are checked, or can do no harm."""
    return public_name(name) in CHECKS or public_name(name) in PARTS


def is_numpy_only(name):
    """Return True for an estimator of scikit-learn that predicts in numpy."""
    public = public_name(name)
    return public in NUMPY_ONLY or public.rpartition(".")[0] in NUMPY_ONLY


def schema_of(content):
    """Return the description of all objects in the bytes of skops."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read("schema.json"))


def nodes_of(schema):
    """Yield each object of a schema."""
    pending = [schema]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if "__loader__" in item:
                yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def type_names(schema):
    """Yield the full name of the type of each object."""
    for node in nodes_of(schema):
        yield f"{node['__module__']}.{node['__class__']}"


# -- before anything is built ------------------------------------------------------------------------------------------


def check_sizes(content, compressed=False):
    """Raise a ValueError if the entries of a zip file, or the arrays in them, ask for more memory than they may."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        limit = max(MAX_INFLATION, 20 * len(content)) if compressed else len(content)
        size = sum(entry.file_size for entry in entries)
        expect(size <= limit, f"{len(content)} bytes must not inflate to {size}")
        for entry in entries:
            expect(
                compressed or entry.compress_type == zipfile.ZIP_STORED, f"{entry.filename!r} must not be compressed"
            )
            part = archive.read(entry)
            if part.startswith(b"PK") and not compressed:
                check_sizes(part, compressed=True)
            elif part.startswith(b"\x93NUMPY"):
                check_array_size(part)


def check_array_size(part):
    """Raise a ValueError if the header of an array asks for other memory than its numbers take."""
    file = io.BytesIO(part)
    version = np.lib.format.read_magic(file)
    expect(version in ((1, 0), (2, 0)), f"arrays must be of format 1.0 or 2.0, got {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    size, rest = prod(shape) * dtype.itemsize, len(part) - file.tell()
    expect(size == rest, f"an array of shape {shape} and {dtype} takes {size} bytes, got {rest}")


def check_tree_arguments(content):
    """Raise a ValueError unless the arguments of each ``Tree``, which its constructor trusts, fit each other."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for node in nodes_of(json.loads(archive.read("schema.json"))):
            if node["__class__"] != "Tree":
                continue
            expect(node["__loader__"] in ("TreeNode", "TypeNode"), "a Tree must be read by the loader TreeNode")
            if node["__loader__"] == "TreeNode":
                n_features, n_classes, n_outputs = node["__reduce__"]["args"]["content"]
                numbers = [json.loads(number["content"]) for number in (n_features, n_outputs)]
                counts = np.load(io.BytesIO(archive.read(n_classes["file"])), allow_pickle=False)
                expect(
                    all(type(number) is int and 1 <= number < 2**31 for number in numbers)
                    and counts.dtype == np.intp
                    and counts.shape == (numbers[1],)
                    and counts.min() >= 1,
                    "the arguments of a Tree must fit each other",
                )


def check_partials(content):
    """Raise a ValueError unless each ``functools.partial`` is one of ``check_array``, as in HistGradientBoosting."""
    for node in nodes_of(schema_of(content)):
        if node["__loader__"] == "PartialNode":
            func = node["content"]["func"]
            found = f"{func['__module__']}.{func['__class__']}"
            expect(public_name(found) == "sklearn.utils.check_array", f"a partial must be of check_array, got {found}")


# -- after it was built ------------------------------------------------------------------------------------------------


class UncheckedError(ValueError):
    """An object of this type is not as scikit-learn makes it."""

    def __init__(self, kind, error):
        super().__init__(str(error))
        self.kind = kind


def objects_in(value):
    """Yield each object that can be reached from a fitted estimator, once."""
    pending, seen = [value], {}
    while pending:
        item = pending.pop()
        if id(item) in seen or isinstance(item, str | bytes | int | float | type(None)):
            continue
        seen[id(item)] = item  # which also keeps it alive, so that no other object gets its id
        yield item
        pending.extend(parts_of(item))


def parts_of(item):
    """Return the objects that an object holds."""
    if isinstance(item, dict):
        return chain(item.keys(), item.values())
    if isinstance(item, list | tuple | set | frozenset):
        return item
    if isinstance(item, np.ndarray):
        return item.ravel().tolist() if item.dtype == object else ()
    return vars(item).values() if hasattr(item, "__dict__") and not isinstance(item, type) else ()


def check_member(member, trusted=frozenset()):
    """Raise a ValueError unless everything in a member can be read safely; ``trusted`` types are not checked."""
    for item in objects_in(member):
        if full_name(item) not in trusted:
            try:
                check_object(item)
            except Exception as error:  # a forged object may lack anything that a check looks at
                raise UncheckedError(full_name(item), error) from error


def check_object(item):
    """Check a single object in a member."""
    if sparse.issparse(item):
        check_sparse(item)
    elif isinstance(item, np.random.RandomState):
        place = item.get_state()[2]
        expect(0 <= place <= 624, f"a RandomState must stand at a draw in 0..624, got {place}")
    if hasattr(item, "__dict__") and not isinstance(item, type | np.ufunc) and not callable(item):
        hidden = [name for name in vars(item) if callable(getattr(type(item), name, None))]
        expect(not hidden, f"attributes of {type(item).__name__} must not hide methods, got {hidden}")
    if isinstance(item, BaseEstimator):
        check_jobs(item)
    if name_of_type(item) in CHECKS and not is_unfitted(item):
        CHECKS[name_of_type(item)](item)


def is_unfitted(item):
    """Return True for an estimator that has its parameters only, such as the template of a forest's trees."""
    if not isinstance(item, BaseEstimator):
        return False
    return {name for name in vars(item) if name.startswith("_") or name.endswith("_")} <= {"_sklearn_version"}


# -- reading and writing -----------------------------------------------------------------------------------------------


def is_foreign(value):
    """Return True for an estimator that has nothing to do with us; a subclass of ours is the user's code."""
    ours = any(part.__module__.partition(".")[0] == "sktricks" for part in type(value).__mro__)
    return isinstance(value, BaseEstimator) and not ours


def import_skops(who):
    """Return ``skops.io``, for a member with this title."""
    from .._optional import import_optional

    try:
        return import_optional("skops.io", "persist")
    except ImportError as error:
        raise ImportError(f"{who} is saved and loaded through skops. {error}") from error


def title(name, kind):
    """Return what a member is called in an error: by the name that its user gave it, if there is one."""
    parts = [part for part in re.split(r"__|\.", name) if part.strip("_0123456789") and part[-1:] != "_"]
    return f"the member {'__'.join(parts)!r} ({kind})" if parts else f"the estimator {kind}"


def write_member(estimator, name, writer):
    """Return an estimator as the bytes that skops makes of it.

    The types that ``load`` would refuse are added to ``writer.untrusted``, so that one error can name them all.
    """
    kind = type(estimator).__name__
    who = title(name, kind)
    if hasattr(estimator, "best_estimator_"):
        raise TypeError(f"save cannot store a search, {kind}: save its best_estimator_")
    skops = import_skops(who)
    try:
        content = skops.dumps(estimator)
        untrusted, asked = untrusted_types(content, skops, writer.trusted)
    except Exception as error:  # skops has no error of its own for what it cannot write
        raise TypeError(f"save cannot store {who}: skops says {error}") from error
    local = [kind for kind in asked if "<" in kind]
    if local:
        raise TypeError(f"save cannot store {who}: load would not find {local[0]}. Define it by name in a module")
    reason = ""
    if not untrusted:
        try:
            check_member(estimator, writer.trusted)
        except UncheckedError as error:
            untrusted, reason = [error.kind], f", which load cannot check ({error})"
    if untrusted:
        writer.untrusted.setdefault(who + reason, set()).update(untrusted)
    return {"name": name, "class": kind, "key": writer.keep(np.frombuffer(content, np.uint8), name)}


def refuse_untrusted(writer):
    """Raise an error that names all members, and all their types, that are stored only if the caller trusts them."""
    if writer.untrusted:
        who = list(writer.untrusted)[0]
        types = sorted(writer.trusted.union(*writer.untrusted.values()))
        raise TypeError(f"save stores {who} only if you trust its types: pass trusted={types} to save and load")


def read_member(record, reader):
    """Return what :func:`write_member` wrote, checked."""
    name, kind = entry(record, "name", str), entry(record, "class", str)
    who, content = title(name, kind), reader.array(record).tobytes()
    skops = import_skops(who)
    try:
        untrusted, asked = check_content(content, skops, reader.trusted)
        if not untrusted:
            member = skops.loads(content, trusted=asked)
            expect(type(member).__name__ == kind, f"it must be of the class {kind}, got {type(member).__name__}")
            check_member(member, reader.trusted)
            drop_paths(member, name, reader)
            return member
    except Exception as error:  # what a damaged file makes skops raise can be anything
        raise ValueError(f"{who} of the archive is damaged or forged: {error}") from error
    types = sorted(reader.trusted.union(untrusted, untrusted_of_others(reader, skops)))
    raise ValueError(
        f"{who} of the archive has types that are not trusted: if you know where the file comes from, pass "
        f"trusted={types}"
    )


def untrusted_of_others(reader, skops):
    """Return the types of all members of an archive that are not trusted."""
    types = set()
    for array in reader.arrays.values():
        content = array.tobytes() if array.dtype == np.uint8 else b""
        if content.startswith(b"PK"):
            with suppress(Exception):  # a damaged one has its own error once it is read
                types.update(check_content(content, skops, reader.trusted)[0])
    return types


def check_content(content, skops, trusted):
    """Check the bytes of skops before anything is built; return the same as :func:`untrusted_types`."""
    check_sizes(content)
    check_tree_arguments(content)
    if "functools.partial" not in trusted:
        check_partials(content)
    return untrusted_types(content, skops, trusted)


def drop_paths(member, name, reader):
    """Take out the folders in which a Pipeline would cache its steps, since a file must not name one."""
    for item in objects_in(member):
        if isinstance(item, BaseEstimator) and vars(item).get("memory") is not None:
            reader.dropped[join(name, "memory")] = str(item.memory)
            item.memory = None


MEMBERS = [Codec("skops", is_foreign, write_member, read_member, shared=True)]
