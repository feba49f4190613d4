"""Write and read estimators, our own and scikit-learn's containers, by parameters and attributes."""

from __future__ import annotations

import inspect

from sklearn.utils._metadata_requests import SIMPLE_METHODS

from .._kept_params import describe_params
from ._classes import container_class, is_container, is_own, own_class, parts_of
from ._codec import Codec, Malformed, NotStorable, brief, describe, entry, join, require
from ._consistency import check_consistency
from ._descriptions import describe_class, find_undescribed
from ._given import given_name, write_or_ask
from ._stored_params import as_plain_text, check_constraints, find_wrong_param, is_storable, replacement

OMITTED = object()
RECORD = {"$", "id", "class", "name", "params", "learned", "trained", "requests"}


# -- writing -----------------------------------------------------------------------------------------------------------


def write_estimator(estimator, name, writer, write_param):
    """Return the record of an estimator: its parameters, attributes, metadata requests, and the torch part of a net."""
    cls = type(estimator)
    params, learned, requests = parts_of(estimator)
    has_net = learned.pop("_net", None) is not None or learned.get("_prefix") is not None
    check_described(cls, learned, name)
    check_agrees(estimator, name)
    check_built_with(estimator, learned.pop("_built_with", {}), name)
    record = {"class": cls.__name__, "name": name}
    record["params"] = {key: write_param(value, join(name, key), writer) for key, value in params.items()}
    check_params_described(cls, params, record["params"], name)
    parts = {"learned": learned}
    if has_net:
        from ._net_state import trained_state

        parts = {"trained": trained_state(estimator), **parts}
    for part, values in parts.items():
        written = {key: write_value(key, value, join(name, key), writer) for key, value in values.items()}
        record[part] = {key: node for key, node in written.items() if node is not OMITTED}
    if requests is not None:
        record["requests"] = requests._serialize()
    return record


def write_value(key, value, name, writer):
    """Convert an attribute to JSON; return OMITTED for a net's copy of a user-defined augmenter."""
    before = len(writer.arrays), len(writer.seen)
    try:
        return writer.write(value, name)
    except NotStorable:
        if key != "_augmenter":
            raise
        writer.undo(before)
        return OMITTED


def check_described(cls, learned, name):
    """Raise an error if an estimator has attributes that ``load`` would reject."""
    wrong = find_undescribed(cls, learned)
    if wrong is None:
        return
    key, expected = wrong
    where = join(name, key)
    if key not in describe_class(cls):
        raise NotStorable(f"save cannot store {where}: it is not a fitted attribute of {cls.__name__}. Delete it first")
    got = describe(learned[key]) if key in learned else "nothing"
    raise NotStorable(f"save cannot store {where}: {got}; it must be {expected}")


def check_agrees(estimator, name):
    """Raise an error if the fitted attributes are inconsistent, so that ``load`` would reject them."""
    try:
        check_consistency(estimator)
    except Malformed as error:
        what = f"{name or 'the estimator'}, a {type(estimator).__name__}"
        raise NotStorable(f"save cannot store {what}: it {error}") from error


def check_built_with(estimator, built_with, name):
    """Raise an error if a parameter was changed after ``fit``, so that ``load`` would build a different net."""
    from ..training._built_with import describe_build

    now = describe_build(estimator) if built_with else {}
    for key in now.keys() & built_with.keys():
        if now[key] != built_with[key]:
            raise NotStorable(
                f"save cannot store {join(name, key)}: it must be {built_with[key]}, as in fit, got {now[key]}. Set it "
                "back, or fit again"
            )


def check_params_described(cls, params, written, name):
    """Raise an error if ``load`` would reject a stored parameter; those to pass again or to replace are not stored."""
    asked = {key for key, node in written.items() if type(node) is dict and node.get("$") == "given"}
    stored = {key: as_plain_text(value) for key, value in params.items() if key not in {*asked, "net_params"}}
    stored = {key: value for key, value in stored.items() if not replacement(key, value)}
    wrong = find_wrong_param(cls, stored)
    if wrong is not None:
        key, expected = wrong
        raise NotStorable(f"save cannot store {join(name, key)}: it must be {expected}, got {describe(params[key])}")
    try:
        check_constraints(cls, stored)
    except Malformed as error:
        raise NotStorable(f"save cannot store {name or 'the estimator'}, a {cls.__name__}: it {error}") from error


def write_own_param(value, name, writer):
    """Convert a parameter of one of our own estimators to JSON; for ``net_params``, each entry."""
    prefix, _, key = name.rpartition("__")
    if key != "net_params" or not isinstance(value, dict):
        return write_or_ask(value, name, key, writer)
    entries = value.items()
    return {key: write_or_ask(item, join(prefix, key), key, writer, is_storable(key, item)) for key, item in entries}


def write_container_param(value, name, writer):
    """Convert a parameter of a container to JSON; the folder of a cache is stored only for the warning of ``load``."""
    dropped = replacement(name.rpartition("__")[2], value)
    return writer.write(value if dropped is None else dropped[1], name)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_estimator(record, reader, find_class):
    """Read an estimator written by :func:`write_estimator`, with the values that the caller passes."""
    cls = find_class(entry(record, "class", str))
    entry(record, "name", str)
    unknown = sorted(record.keys() - RECORD)
    require(not unknown, f"has the unknown entries {unknown!r:.100}")
    with reader.inside("params"):
        params = read_params(cls, record, reader)
    learned = reader.read(entry(record, "learned", dict), "learned")
    with reader.inside("learned"):
        require(type(learned) is dict, "must be a dict of attributes")
        refuse_wrong(find_undescribed(cls, learned), learned, reader)
    estimator = cls(**params)
    vars(estimator).update(learned)
    if "requests" in record:
        restore_requests(estimator, entry(record, "requests", dict))
    check_consistency(estimator)
    has_backbone = learned.get("_prefix") is not None
    require("trained" in record or not has_backbone, "must have a trained part, since it has a backbone")
    if "_built_with" in describe_class(cls) and "estimator_" in learned:  # for nets, restore_trained does this
        estimator._built_with = describe_params(estimator, estimator._kept_params)
    if "trained" in record:
        restore_net(estimator, reader.read(entry(record, "trained", dict), "trained"), reader)
    return estimator


def refuse_wrong(wrong, values, reader):
    """Raise an error that names an invalid attribute or parameter, unless ``wrong`` is None."""
    if wrong is not None:
        key, expected = wrong
        reader.place.append(key)
        raise Malformed(f"must be {expected}, got {brief(values[key]) if key in values else 'nothing'}")


def restore_net(estimator, state, reader):
    """Build the torch part of an estimator and load its state."""
    require(hasattr(estimator, "_device"), "must have no trained part, since it has no attributes of a net")
    from ._net_restore import restore_trained

    with reader.inside("trained"):
        restore_trained(estimator, state)


def read_params(cls, record, reader):
    """Read the parameters of an estimator, including those that the caller passes."""
    known, nodes = inspect.signature(cls).parameters, entry(record, "params", dict)
    unknown = sorted(nodes.keys() - known)
    require(not unknown, f"{cls.__name__} has the unknown parameters {unknown!r:.100}")
    params, given = {}, {"net_params"}
    for key, node in nodes.items():
        params[key], is_given = read_param(key, node, join(record["name"], key), reader)
        given |= {key} if is_given else set()
    refuse_wrong(find_wrong_param(cls, params, given), params, reader)
    check_constraints(cls, params, given)
    return params


def read_param(key, node, name, reader):
    """Read a parameter, and return it and True if the caller passes it; a path is replaced."""
    given = given_name(node, name, key, reader)
    if given is not None:
        return reader.given.take(given), True
    if key == "net_params" and node is not None:
        return read_net_params(node, name.rpartition("__")[0], reader), True
    value = reader.read(node, key)
    dropped = replacement(key, value)
    if dropped is not None:
        value, reader.dropped[name] = dropped
    return value, False


def read_net_params(node, prefix, reader):
    """Read the entries of ``net_params``."""
    fits = type(node) is dict and "$" not in node
    require(fits, f"must have None or a dict as net_params, got {brief(node)}")
    params = {}
    for key, item in node.items():
        given = given_name(item, join(prefix, key), key, reader)
        if given is not None:
            params[key] = reader.given.take(given)
            continue
        params[key] = reader.read(item, "net_params", key)
        stored = is_storable(key, params[key])
        require(stored, f"must not have {brief(params[key])} as the entry {key!r:.60} of net_params")
    return params


def restore_requests(estimator, requests):
    """Restore the metadata requests set by ``set_fit_request`` and similar methods."""
    fresh = estimator._get_metadata_request()
    for method, wanted in requests.items():
        known = method in SIMPLE_METHODS and type(wanted) is dict
        require(known, f"must have requests for metadata by known methods, got {method!r:.60}")
        for param, alias in wanted.items():
            fits = type(alias) in (bool, str, type(None))
            require(fits, f"must have True, False, None or a name as a request for metadata, got {brief(alias)}")
            getattr(fresh, method).add_request(param=param, alias=alias)
    estimator._metadata_request = fresh


def estimator_codec(kind, takes, write_param, find_class):
    """Return the codec for a kind of estimators."""
    return Codec(
        kind,
        takes,
        lambda value, name, writer: write_estimator(value, name, writer, write_param),
        lambda record, reader: read_estimator(record, reader, find_class),
        shared=True,
    )


ESTIMATORS = [
    estimator_codec("own", is_own, write_own_param, own_class),
    estimator_codec("sklearn", is_container, write_container_param, container_class),
]
