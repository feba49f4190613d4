"""Foreign members: estimators of scikit-learn and other libraries, stored by skops and checked after loading."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import chain

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from ._codec import Codec, entry, join, require
from ._foreign_checks import CHECKS, check_jobs, check_sparse
from ._foreign_types import check_content, full_name, name_of_type, untrusted_types

# -- checks of loaded objects ------------------------------------------------------------------------------------------


class UncheckedError(ValueError):
    """An object in a member is invalid or cannot be checked; ``kind`` is the name of its type."""

    def __init__(self, kind, error):
        super().__init__(str(error))
        self.kind = kind


def objects_in(value):
    """Yield each object in a fitted estimator, at any depth, once."""
    pending, seen = [value], {}
    while pending:
        item = pending.pop()
        if id(item) in seen or isinstance(item, str | bytes | int | float | type(None)):
            continue
        seen[id(item)] = item  # kept alive, so that its id is not reused
        yield item
        pending.extend(parts_of(item))


def parts_of(item):
    """Return the direct parts of an object."""
    if isinstance(item, dict):
        return chain(item.keys(), item.values())
    if isinstance(item, list | tuple | set | frozenset):
        return item
    if isinstance(item, np.ndarray):
        return item.ravel().tolist() if item.dtype == object else ()
    return vars(item).values() if hasattr(item, "__dict__") and not isinstance(item, type) else ()


def check_objects(objects, trusted):
    """Raise an error unless all objects in a member can be read safely; ``trusted`` types are not checked."""
    for item in objects:
        if full_name(item) not in trusted:
            try:
                check_object(item)
            except Exception as error:  # a forged object may lack any attribute that a check reads
                raise UncheckedError(full_name(item), error) from error


def check_object(item):
    """Check a single object in a member."""
    if sparse.issparse(item):
        check_sparse(item)
    elif isinstance(item, np.random.RandomState):
        draw = item.get_state()[2]
        require(0 <= draw <= 624, f"a RandomState must be at a draw in 0..624, got {draw}")
    if hasattr(item, "__dict__") and not isinstance(item, type | np.ufunc) and not callable(item):
        hidden = [name for name in vars(item) if callable(getattr(type(item), name, None))]
        require(not hidden, f"attributes of {type(item).__name__} must not hide methods, got {hidden}")
    if isinstance(item, BaseEstimator):
        check_jobs(item)
    if name_of_type(item) in CHECKS and not is_unfitted(item):
        CHECKS[name_of_type(item)](item)


def is_unfitted(item):
    """Return True for an estimator that has only parameters, such as the template of the trees of a forest."""
    if not isinstance(item, BaseEstimator):
        return False
    return {name for name in vars(item) if name.startswith("_") or name.endswith("_")} <= {"_sklearn_version"}


# -- reading and writing -----------------------------------------------------------------------------------------------


def is_foreign(value):
    """Return True for an estimator with no base class of ours; a subclass of our classes is user code."""
    ours = any(part.__module__.partition(".")[0] == "sktricks" for part in type(value).__mro__)
    return isinstance(value, BaseEstimator) and not ours


def import_skops(who):
    """Import ``skops.io``, or raise an error that names the member."""
    from .._optional import import_optional

    try:
        return import_optional("skops.io", "persist")
    except ImportError as error:
        raise ImportError(f"{who} is saved and loaded with skops. {error}") from error


def title(name, kind):
    """Return the description of a member in errors, with its name, if any."""
    parts = [part for part in re.split(r"__|\.", name) if part.strip("_0123456789") and part[-1:] != "_"]
    return f"the member {'__'.join(parts)!r} ({kind})" if parts else f"the estimator {kind}"


def write_member(estimator, name, writer):
    """Return the record of an estimator that skops serializes.

    Types that ``load`` would reject are added to ``writer.untrusted``, so that one error can list all of them.
    """
    kind = type(estimator).__name__
    who = title(name, kind)
    if hasattr(estimator, "best_estimator_"):
        raise TypeError(f"save cannot store a search, {kind}: save its best_estimator_")
    skops = import_skops(who)
    try:
        content = skops.dumps(estimator)
        untrusted, asked = untrusted_types(content, skops, writer.trusted)
    except Exception as error:  # skops may raise any exception for unsupported objects
        raise TypeError(f"save cannot store {who}: {why_unwritable(estimator, error)}") from error
    local = [kind for kind in asked if "<" in kind]
    if local:
        raise TypeError(f"save cannot store {who}: load cannot find {local[0]}, a local class. Define it in a module")
    reason = ""
    if not untrusted:
        try:
            check_objects(objects_in(estimator), writer.trusted)
        except UncheckedError as error:
            untrusted, reason = [error.kind], f", which load cannot check ({error})"
    if untrusted:
        writer.untrusted.setdefault(who + reason, set()).update(untrusted)
    return {"name": name, "class": kind, "key": writer.keep(np.frombuffer(content, np.uint8), name)}


def why_unwritable(estimator, error):
    """Return the reason why skops cannot write an estimator; it does not support ours inside other estimators."""
    from ._classes import find_unknown, is_own

    own = ", ".join(sorted({type(item).__name__ for item in objects_in(estimator) if is_own(item)}))
    if not own:
        return f"skops raised {error}"
    unknown = find_unknown(estimator)
    if unknown is not None:
        return f"it contains {own}, and its attribute or parameter {unknown!r} is not supported by save"
    return (
        f"it contains {own}, which can be saved only alone, in a Pipeline, FeatureUnion or ColumnTransformer, or in a "
        "voting or stacking ensemble"
    )


def refuse_untrusted(writer):
    """Raise an error that lists all types for which members need the caller's trust, if there are any."""
    if writer.untrusted:
        who = list(writer.untrusted)[0]
        types = sorted(writer.trusted.union(*writer.untrusted.values()))
        raise TypeError(f"save stores {who} only if you trust its types: pass trusted={types} to save and load")


def read_member(record, reader):
    """Read and check an estimator written by :func:`write_member`."""
    name, kind = entry(record, "name", str), entry(record, "class", str)
    who, content = title(name, kind), reader.array(record).tobytes()
    skops = import_skops(who)
    try:
        untrusted, asked = check_content(content, skops, reader.trusted)
        if not untrusted:
            member = skops.loads(content, trusted=asked)
            require(type(member).__name__ == kind, f"it must be of the class {kind}, got {type(member).__name__}")
            objects = list(objects_in(member))
            check_objects(objects, reader.trusted)
            drop_paths(objects, name, reader)
            return member
    except Exception as error:  # skops may raise any exception for a damaged file
        raise ValueError(f"{who} of the archive is damaged or forged: {error}") from error
    types = sorted(reader.trusted.union(untrusted, untrusted_of_others(reader, skops)))
    raise ValueError(
        f"{who} of the archive has types that are not trusted: if you trust the source of the file, pass "
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


def drop_paths(objects, name, reader):
    """Remove the folders in which a Pipeline would cache its steps, which a file must not name."""
    for item in objects:
        if isinstance(item, BaseEstimator) and vars(item).get("memory") is not None:
            reader.dropped[join(name, "memory")] = str(item.memory)
            item.memory = None


MEMBERS = [Codec("skops", is_foreign, write_member, read_member, shared=True)]
