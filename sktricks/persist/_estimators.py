"""Estimators: our own and scikit-learn's containers by parameters and attributes."""

from __future__ import annotations

import inspect
from functools import cache

from sklearn.utils._metadata_requests import SIMPLE_METHODS

from ._codec import Codec, Malformed, NotStorable, brief, describe, entry, join
from ._consistency import check_estimator, check_inputs, check_settings
from ._descriptions import describe_class, find_undescribed
from ._steps import STEPS, check_step, step_classes
from ._stored_params import as_plain_text, check_constraints, find_wrong_param, is_storable, must_be_given, replacement

TORCH_PARTS = ("_net", "_backbone")


# -- what the caller of load gives -------------------------------------------------------------------------------------


class Given:
    """The objects that the caller hands to ``load``, by the names of the parameters that they are for."""

    def __init__(self, params, roles):
        self.params, self.roles, self.used = params, roles, set()

    def find(self, name):
        """The key of what was given for a parameter: its full name, or the last part of it; None if nothing was."""
        keys = [name, name.rpartition("__")[2]]
        return next((key for key, known in zip(keys, (self.params, self.roles), strict=True) if key in known), None)

    def take(self, name):
        """What was given for a parameter."""
        key = self.find(name)
        self.used.add(key)
        return self.params[key] if key in self.params else self.roles[key]

    def check_missing(self, node):
        """An error that says what else to give, unless all is there that the JSON asks for."""
        asked = [(entry(record, "name", str), entry(record, "was", str)) for record in records(node, "given")]
        missing = {name: was for name, was in asked if not self.find(name)}
        if not missing:
            return
        role = {name.rpartition("__")[2] for name in missing} & {"module", "backbone", "callbacks"}
        calls = [f"{key}=..." for key in sorted(role)]
        others = [f"{name!r}: ..." for name in missing if name.rpartition("__")[2] not in role]
        calls += [f"params={{{', '.join(others)}}}"] if others else []
        what = ", ".join(f"{name} ({was})" for name, was in missing.items())
        raise ValueError(f"an archive holds no code; give what {what} was: load(path, {', '.join(calls)})")

    def check_unused(self):
        """An error if something was given that nothing takes."""
        unused = (self.params.keys() | self.roles.keys()) - self.used
        if unused:
            raise ValueError(
                f"nothing in the archive asks for {sorted(unused)}: module, backbone and callbacks fill in what it "
                "cannot hold, params any parameter by its name in get_params()"
            )


def records(node, kind):
    """All records of a kind in a piece of JSON."""
    if isinstance(node, dict):
        if node.get("$") == kind:
            yield node
        node = list(node.values())
    for item in node if isinstance(node, list) else ():
        yield from records(item, kind)


def write_or_ask(value, name, key, writer, storable=True):
    """A value, or where it cannot be stored a record by which ``load`` asks for it; ``key`` is its parameter."""
    before = len(writer.arrays), len(writer.seen)
    try:
        if not storable or must_be_given(name, value):
            raise NotStorable
        return writer.write(as_plain_text(value), name)
    except NotStorable:
        writer.undo(before)
        # a class is the same object in an estimator and in its clones, and need be given once
        asked = writer.asked.setdefault((id(value), key), name)
        return {"$": "given", "name": asked, "was": describe(value)}


# -- our own and scikit-learn's containers -----------------------------------------------------------------------------


def is_own(value):
    """Whether a value is of one of our public classes, exactly."""
    import sktricks

    cls = type(value)
    return cls.__name__ in sktricks.__all__ and getattr(sktricks, cls.__name__) is cls and hasattr(cls, "get_params")


def own_class(name):
    """One of our public estimators and callbacks by name."""
    import sktricks

    cls = getattr(sktricks, name) if name in sktricks.__all__ else None
    if not (isinstance(cls, type) and hasattr(cls, "get_params")):
        raise Malformed(f"must be an estimator of a known class, got the unknown class {name!r:.60}")
    return cls


@cache
def containers():
    """Estimators around others, scikit-learn's and two of ours."""
    from sklearn import ensemble, frozen, pipeline, preprocessing

    from .._coded import CodedClassifier
    from ..ensemble._members import FoldModels

    classes = [
        *(FoldModels, CodedClassifier),
        *(pipeline.Pipeline, pipeline.FeatureUnion, frozen.FrozenEstimator, preprocessing.LabelEncoder),
        *(ensemble.VotingClassifier, ensemble.VotingRegressor),
        *(ensemble.StackingClassifier, ensemble.StackingRegressor),
    ]
    return {**{cls.__name__: cls for cls in classes}, **step_classes()}


def is_container(value):
    """Return True for one of scikit-learn's containers, and for an everyday step with nothing but what is described."""
    cls = type(value)
    if containers().get(cls.__name__) is not cls:
        return False
    if cls.__name__ not in STEPS:
        return True
    params = value.get_params(deep=False)
    learned = {key: item for key, item in vars(value).items() if key not in params and key != "_metadata_request"}
    return find_wrong_param(cls, params) is None and find_undescribed(cls, learned) is None


def container_class(name):
    """One of scikit-learn's containers by name."""
    if name not in containers():
        raise Malformed(f"must be an estimator of a known class, got the unknown class 'sklearn {name:.60}'")
    return containers()[name]


def write_estimator(estimator, name, writer, write_param):
    """Parameters, attributes and, where there is a net, its torch part."""
    params = estimator.get_params(deep=False)
    learned = {key: value for key, value in vars(estimator).items() if key not in params}
    requests = learned.pop("_metadata_request", None)
    has_net = any(learned.get(part) is not None for part in TORCH_PARTS)
    if has_net:
        learned = {key: value for key, value in learned.items() if key not in TORCH_PARTS}
    check_described(type(estimator), learned, name)
    check_agrees(estimator, name)
    record = {"class": type(estimator).__name__, "name": name}
    record["params"] = {key: write_param(value, join(name, key), writer) for key, value in params.items()}
    check_params_described(type(estimator), params, record["params"], name)
    if has_net:
        from ._net_state import trained_state

        trained = trained_state(estimator)
        record["trained"] = {key: writer.write(value, join(name, key)) for key, value in trained.items()}
    record["learned"] = {key: writer.write(value, join(name, key)) for key, value in learned.items()}
    if requests is not None:
        record["requests"] = requests._serialize()
    return record


def check_described(cls, learned, name):
    """An error if an estimator has attributes that ``load`` would refuse."""
    wrong = find_undescribed(cls, learned)
    if wrong is None:
        return
    key, expected = wrong
    where = join(name, key)
    if key not in describe_class(cls):
        raise NotStorable(f"save cannot store {where}: it is no fitted attribute of {cls.__name__}. Delete it first")
    got = describe(learned[key]) if key in learned else "nothing"
    raise NotStorable(f"save cannot store {where}: {got}; it must be {expected}")


def check_params_described(cls, params, written, name):
    """An error if parameters that are stored, and not asked for, are such that ``load`` would refuse them."""
    asked = {key for key, node in written.items() if type(node) is dict and node.get("$") == "given"}
    stored = {key: as_plain_text(value) for key, value in params.items() if key not in asked}
    stored = {key: value for key, value in stored.items() if key != "net_params" and not replacement(key, value)}
    wrong = find_wrong_param(cls, stored)
    if wrong is not None:
        key, expected = wrong
        raise NotStorable(f"save cannot store {join(name, key)}: it must be {expected}, got {describe(params[key])}")


def write_own_param(value, name, writer):
    """A parameter of our own estimators; of ``net_params`` each entry."""
    prefix, _, key = name.rpartition("__")
    if key != "net_params" or not isinstance(value, dict):
        return write_or_ask(value, name, key, writer)
    written = {}
    for key, item in value.items():
        written[key] = write_or_ask(item, join(prefix, key), key, writer, is_storable(key, item))
    return written


def write_container_param(value, name, writer):
    """A parameter of scikit-learn's containers; of a cache of their steps only where it is, for a warning."""
    dropped = replacement(name.rpartition("__")[2], value)
    return writer.write(value if dropped is None else dropped[1], name)


def read_estimator(record, reader, find_class):
    """What :func:`write_estimator` wrote, with what the caller gives."""
    cls = find_class(entry(record, "class", str))
    entry(record, "name", str)
    check_keys(record, {"$", "id", "class", "name", "params", "learned", "trained", "requests"})
    params = read_params(cls, record, reader)
    learned = reader.read(entry(record, "learned", dict), "learned")
    reader.place.append("learned")
    if type(learned) is not dict:
        raise Malformed("must be a dict of attributes")
    check_learned(cls, learned, params, reader)
    reader.place.pop()
    estimator = cls(**params)
    vars(estimator).update(learned)
    if "requests" in record:
        restore_requests(estimator, entry(record, "requests", dict))
    check_built(estimator)
    if "trained" in record:
        restore_net(estimator, reader.read(entry(record, "trained", dict), "trained"), reader)
    return estimator


def check_built(estimator):
    """An error unless what an estimator has learned agrees."""
    if type(estimator).__name__ in STEPS:
        check_inputs(estimator, vars(estimator))
        check_step(estimator)
    else:
        check_estimator(estimator)


def check_agrees(estimator, name):
    """An error unless ``load`` would accept what an estimator has learned."""
    try:
        check_built(estimator)
    except Malformed as error:
        what = f"{name or 'the estimator'}, a {type(estimator).__name__}"
        raise NotStorable(f"save cannot store {what}: it {error}") from error


def check_keys(record, known):
    """An error if a record has what no version of ``save`` writes."""
    unknown = sorted(record.keys() - known)
    if unknown:
        raise Malformed(f"has the unknown entries {unknown!r:.100}")


def check_learned(cls, learned, params, reader):
    """An error unless attributes are those of a class and nothing else: no parameter, no method."""
    wrong = find_undescribed(cls, learned)
    if wrong is not None:
        key, expected = wrong
        got = brief(learned[key]) if key in learned else "nothing"
        reader.place.append(key)
        raise Malformed(f"must be {expected}, got {got}")


def restore_net(estimator, state, reader):
    """Build the torch part of an estimator and fill it."""
    if not hasattr(estimator, "_device"):
        raise Malformed("must have no trained part, since it has no attributes of a net")
    from ._net_state import restore_trained

    reader.place.append("trained")
    restore_trained(estimator, state)
    reader.place.pop()


def read_params(cls, record, reader):
    """The parameters of an estimator: the caller's where there are any, else those in the archive."""
    known, nodes = inspect.signature(cls).parameters, entry(record, "params", dict)
    unknown = sorted(nodes.keys() - known)
    if unknown:
        raise Malformed(f"{cls.__name__} has the parameters {unknown!r:.100}, which this version does not know")
    reader.place.append("params")
    params, given = {}, set()
    for key, node in nodes.items():
        params[key], is_given = read_param(key, node, join(record["name"], key), reader)
        given |= {key} if is_given else set()
    wrong = find_wrong_param(cls, params, given | {"net_params"})
    if wrong is not None:
        key, expected = wrong
        reader.place.append(key)
        raise Malformed(f"must be {expected}, got {brief(params[key])}")
    check_constraints(cls, params, given)
    reader.place.pop()
    return params


def read_param(key, node, name, reader):
    """A parameter, and whether it comes from the caller; paths are dropped."""
    if name in reader.given.params:
        return reader.given.take(name), True
    if is_given(node):
        return take_given(node, key, reader), True
    if key == "net_params" and node is not None:
        return read_net_params(node, name.rpartition("__")[0], reader), True
    value = reader.read(node, key)
    dropped = replacement(key, value)
    if dropped is not None:
        value, reader.dropped[name] = dropped
    return value, False


def read_net_params(node, prefix, reader):
    """The entries of ``net_params``."""
    if type(node) is not dict or "$" in node:
        raise Malformed(f"must have None or a dict as net_params, got {brief(node)}")
    params = {}
    for key, item in node.items():
        name = join(prefix, key)
        if name in reader.given.params:
            params[key] = reader.given.take(name)
        elif is_given(item):
            params[key] = take_given(item, key, reader)
        else:
            params[key] = reader.read(item, "net_params", key)
            if not is_storable(key, params[key]):
                raise Malformed(f"must have no entry {key!r:.60} of net_params that is {brief(params[key])}")
    return params


def is_given(node):
    """Whether a piece of JSON asks the caller for a value."""
    return type(node) is dict and node.get("$") == "given"


def take_given(node, key, reader):
    """What the caller gives for a parameter, which a record asks for by its name or that of an equal one."""
    name = entry(node, "name", str)
    if not (name == key or name.endswith(f"__{key}")):
        raise Malformed(f"must ask for {key}, got a request for {name!r:.60}")
    return reader.given.take(name)


def restore_requests(estimator, requests):
    """The metadata that ``set_fit_request`` and the like have asked for."""
    fresh = estimator._get_metadata_request()
    for method, wanted in requests.items():
        if method not in SIMPLE_METHODS or type(wanted) is not dict:
            raise Malformed(f"must have requests for metadata by known methods, got {method!r:.60}")
        for param, alias in wanted.items():
            if type(alias) not in (bool, str, type(None)):
                raise Malformed(f"must have True, False, None or a name as a request for metadata, got {brief(alias)}")
            getattr(fresh, method).add_request(param=param, alias=alias)
    estimator._metadata_request = fresh


# -- what is made of its settings alone --------------------------------------------------------------------------------


@cache
def classes_of_settings():
    """Classes whose instances are made again from these settings; what a cache keeps it can find again."""
    from ..ensemble._target import Target
    from ..tables._table_reader import Columns
    from ..transfer import FeatureCache

    return {
        "Columns": (Columns, ("is_categorical", "means", "has_gaps", "places", "one_hot")),
        "FeatureCache": (FeatureCache, ("folder", "max_bytes", "dtype")),
        "Target": (Target, ("kind", "classes")),
    }


def is_of_settings(value):
    return classes_of_settings().get(type(value).__name__, (None,))[0] is type(value)


def write_settings(value, name, writer):
    _, settings = classes_of_settings()[type(value).__name__]
    written = {key: writer.write(getattr(value, key), join(name, key)) for key in settings}
    return {"class": type(value).__name__, "settings": written}


def read_settings(record, reader):
    """One of these objects; a cache without its folder, which is not for a file to name."""
    name = entry(record, "class", str)
    if name not in classes_of_settings():
        raise Malformed(f"must be settings of a known class, got the unknown class {name!r:.60}")
    cls, known = classes_of_settings()[name]
    nodes = entry(record, "settings", dict)
    if nodes.keys() != set(known):
        raise Malformed(f"must have the settings {list(known)}, got {sorted(nodes)!r:.100}")
    settings = {key: reader.read(node, "settings", key) for key, node in nodes.items()}
    check_settings(name, settings)
    if settings.get("folder") is not None:
        reader.dropped["cache"] = settings["folder"]
        settings["folder"] = None
    return cls(**settings)


def read_given(record, reader):
    """Only parameters are given by the caller, and read_param takes these."""
    raise Malformed("must be no request for something of the caller's")


ESTIMATORS = [
    Codec(
        "own",
        is_own,
        lambda value, name, writer: write_estimator(value, name, writer, write_own_param),
        lambda record, reader: read_estimator(record, reader, own_class),
        shared=True,
    ),
    Codec(
        "sklearn",
        is_container,
        lambda value, name, writer: write_estimator(value, name, writer, write_container_param),
        lambda record, reader: read_estimator(record, reader, container_class),
        shared=True,
    ),
    Codec("settings", is_of_settings, write_settings, read_settings, shared=True),
    Codec(
        "given",
        lambda value: False,
        lambda value, name, writer: {},
        read_given,
    ),
]
