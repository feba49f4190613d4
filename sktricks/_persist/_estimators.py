"""Estimators: our own and scikit-learn's containers by parameters and attributes, all others through skops."""

import inspect
import re
from functools import cache

import numpy as np
from sklearn.base import BaseEstimator

from ._codec import Codec, NotStorable, describe, join

TORCH_PARTS = ("_net", "_loaded", "_backbone")
# Backbones that a library rebuilds from their name; a file of weights is not needed again. Any other name is one of
# code or of a folder, which the caller has to give.
REBUILT = re.compile(r"(untrained:|file:.+::)*(?P<net>[\w.-]+|(timm|torchvision):[\w.-]+|hf:.+)")


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
        missing = {record["name"]: record["was"] for record in records(node, "given") if not self.find(record["name"])}
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


def write_or_ask(value, name, writer):
    """A value, or where it cannot be stored a record by which ``load`` asks for it."""
    before = len(writer.arrays), len(writer.seen)
    try:
        if name.rpartition("__")[2] == "backbone" and isinstance(value, str) and not REBUILT.fullmatch(value):
            raise NotStorable
        return writer.write(value, name)
    except NotStorable:
        writer.undo(before)
        # a class is the same object in an estimator and in its clones, and need be given once
        return {"$": "given", "name": writer.asked.setdefault(id(value), name), "was": describe(value)}


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
        raise ValueError(f"the archive has an estimator of the unknown class {name!r}")
    return cls


@cache
def containers():
    """Estimators around others, scikit-learn's and one of ours, and what they keep in their attributes."""
    from sklearn import ensemble, frozen, pipeline, preprocessing

    from ..ensemble._members import FoldModels

    classes = [
        FoldModels,
        *(pipeline.Pipeline, pipeline.FeatureUnion, frozen.FrozenEstimator, preprocessing.LabelEncoder),
        *(ensemble.VotingClassifier, ensemble.VotingRegressor),
        *(ensemble.StackingClassifier, ensemble.StackingRegressor),
    ]
    return {cls.__name__: cls for cls in classes}


def container_class(name):
    """One of scikit-learn's containers by name."""
    if name not in containers():
        raise ValueError(f"the archive has an estimator of the unknown class 'sklearn {name}'")
    return containers()[name]


def write_estimator(estimator, name, writer, write_param):
    """Parameters, attributes and, where there is a net, its torch part."""
    params = estimator.get_params(deep=False)
    learned = {key: value for key, value in vars(estimator).items() if key not in params}
    requests = learned.pop("_metadata_request", None)
    record = {"class": type(estimator).__name__, "name": name}
    record["params"] = {key: write_param(value, join(name, key), writer) for key, value in params.items()}
    if any(learned.get(part) is not None for part in TORCH_PARTS):
        from ._nets import trained_state

        learned = {key: value for key, value in learned.items() if key not in TORCH_PARTS}
        trained = trained_state(estimator)
        record["trained"] = {key: writer.write(value, join(name, key)) for key, value in trained.items()}
    record["learned"] = {key: writer.write(value, join(name, key)) for key, value in learned.items()}
    if requests is not None:
        record["requests"] = requests._serialize()
    return record


def write_own_param(value, name, writer):
    """A parameter of our own estimators; of ``net_params`` each entry."""
    if name.rpartition("__")[2] != "net_params" or not isinstance(value, dict):
        return write_or_ask(value, name, writer)
    prefix = name.rpartition("__")[0]
    return {key: write_or_ask(item, join(prefix, key), writer) for key, item in value.items()}


def read_estimator(record, reader, find_class):
    """What :func:`write_estimator` wrote, with what the caller gives."""
    cls = find_class(record["class"])
    params = read_params(record, reader, inspect.signature(cls).parameters)
    estimator = cls(**params)
    vars(estimator).update({key: reader.read(node) for key, node in record["learned"].items()})
    if "requests" in record:
        restore_requests(estimator, record["requests"])
    if "trained" in record:
        from ._nets import restore_trained

        restore_trained(estimator, reader.read(record["trained"]))
    return estimator


def read_params(record, reader, known):
    """The parameters of an estimator: the caller's where there are any, else those in the archive."""
    unknown = sorted(record["params"].keys() - known)
    if unknown:
        raise ValueError(
            f"{record['class']} in the archive has the parameters {unknown}, which this version does not know"
        )
    params = {}
    for key, node in record["params"].items():
        name = join(record["name"], key)
        if key == "backbone" and isinstance(node, str) and not REBUILT.fullmatch(node):
            raise ValueError(f"the archive says {name}={node!r}, and code that a file names is never imported")
        params[key] = reader.given.take(name) if name in reader.given.params else reader.read(node)
    return params


def restore_requests(estimator, requests):
    """The metadata that ``set_fit_request`` and the like have asked for."""
    fresh = estimator._get_metadata_request()
    for method, wanted in requests.items():
        for param, alias in wanted.items():
            getattr(fresh, method).add_request(param=param, alias=alias)
    estimator._metadata_request = fresh


# -- what is made of its settings alone --------------------------------------------------------------------------------


@cache
def classes_of_settings():
    """Classes whose instances are made again from these settings; what a cache keeps it can find again."""
    from ..ensemble._align import Target
    from ..training._table import Columns
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
    if record["class"] not in classes_of_settings():
        raise ValueError(f"the archive has settings of the unknown class {record['class']!r}")
    cls, _ = classes_of_settings()[record["class"]]
    return cls(**{key: reader.read(node) for key, node in record["settings"].items()})


# -- all others --------------------------------------------------------------------------------------------------------


def is_foreign(value):
    """Whether a value is an estimator that has nothing to do with us; a subclass of ours is the user's code."""
    ours = any(part.__module__.partition(".")[0] == "sktricks" for part in type(value).__mro__)
    return isinstance(value, BaseEstimator) and not ours


def import_skops(name, kind):
    """``skops.io``, for a member of this name and class."""
    from .._optional import import_optional

    try:
        return import_optional("skops.io", "persist")
    except ImportError as error:
        raise ImportError(f"the member {name!r} ({kind}) is saved and loaded through skops. {error}") from error


def write_foreign(estimator, name, writer):
    """An estimator as the bytes that skops makes of it, if skops would open them again without being told to."""
    kind = type(estimator).__name__
    if hasattr(estimator, "best_estimator_"):
        raise TypeError(f"save cannot store a search, {kind}: save its best_estimator_")
    skops = import_skops(name, kind)
    try:
        content = skops.dumps(estimator)
        untrusted = skops.get_untrusted_types(data=content)
    except Exception as error:  # skops has no error of its own for what it cannot write
        raise TypeError(f"save cannot store the member {name!r} ({kind}): skops says {error}") from error
    if untrusted:
        raise TypeError(f"save cannot store the member {name!r} ({kind}): skops does not trust {untrusted}")
    return {"name": name, "class": kind, "key": writer.keep(np.frombuffer(content, np.uint8), name)}


def read_foreign(record, reader):
    """What :func:`write_foreign` wrote; types that skops does not trust are an error."""
    skops = import_skops(record["name"], record["class"])
    content = reader.arrays[record["key"]].tobytes()
    untrusted = skops.get_untrusted_types(data=content)
    if untrusted:
        raise ValueError(f"the member {record['name']!r} of the archive has types that are not trusted: {untrusted}")
    return skops.loads(content)


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
        lambda value: containers().get(type(value).__name__) is type(value),
        lambda value, name, writer: write_estimator(
            value, name, writer, lambda value, name, writer: writer.write(value, name)
        ),
        lambda record, reader: read_estimator(record, reader, container_class),
        shared=True,
    ),
    Codec("settings", is_of_settings, write_settings, read_settings, shared=True),
    Codec("skops", is_foreign, write_foreign, read_foreign, shared=True),
    Codec(
        "given",
        lambda value: False,
        lambda value, name, writer: {},
        lambda record, reader: reader.given.take(record["name"]),
    ),
]
