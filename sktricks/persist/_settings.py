"""Store our own small objects by their settings, from which they are created again."""

from __future__ import annotations

from importlib import import_module
from math import inf

from ._codec import Codec, entry, join, require
from ._consistency import check_classes
from ._specs import (
    Spec,
    array,
    boolean,
    check_fields,
    either,
    integer,
    labels,
    list_of,
    only,
    optional,
    real,
    string,
    tuple_of,
)

nan = Spec("NaN", lambda value: type(value) is float and value != value)
SETTINGS = {
    "Columns": {
        "is_categorical": array("b", 1),
        "means": array("f", 1),
        "has_gaps": array("b", 1),
        "places": list_of(array("i", 1)),
        "one_hot": boolean,
    },
    "FeatureCache": {
        "folder": optional(string),
        "max_bytes": integer(0, inf),
        "dtype": only("float32", "float16"),
    },
    "Prefix": {
        "stages": optional(list_of(string)),
        "n_frozen": integer(),
        "encodes_once": boolean,
        "rates": tuple_of(real(0), real(0)),
    },
    "PruningReport": {
        "amount": real(0, 1),
        "n_parameters_before": integer(1),
        "n_parameters_after": integer(1),
        "scores": list_of(tuple_of(real(), either(real(), nan))),
        "kept_layers": list_of(string),
    },
    "Target": {
        "kind": only("classes", "multilabel", "values"),
        "classes": optional(either(labels, list_of(labels))),
    },
}


MODULES = {
    "Columns": "..tables._columns",
    "FeatureCache": "..transfer",
    "Prefix": "..transfer._prefix",  # requires torch
    "PruningReport": "..training._pruning_report",
    "Target": "..ensemble._target",
}


def find_class(name):
    """Return one of these classes by name."""
    return getattr(import_module(MODULES[name], __package__), name)


def is_of_settings(value):
    """Return True for an instance of one of these classes, but not of a subclass."""
    name = type(value).__name__
    return name in MODULES and find_class(name) is type(value)


def write_settings(value, name, writer):
    """Return the record of one of these objects."""
    kind = type(value).__name__
    settings = {key: writer.write(getattr(value, key), join(name, key)) for key in SETTINGS[kind]}
    return {"class": kind, "settings": settings}


def read_settings(record, reader):
    """Read one of these objects; the folder of a feature cache is dropped, since archives must not choose paths."""
    name = entry(record, "class", str)
    require(name in SETTINGS, f"must be settings of a known class, got the unknown class {name!r:.60}")
    nodes = entry(record, "settings", dict)
    settings = {key: reader.read(node, "settings", key) for key, node in nodes.items()}
    check_fields(settings, SETTINGS[name], f"settings of a {name}")
    if name == "Columns":
        check_columns(**settings)
    if name == "Target":
        check_target(**settings)
    if settings.get("folder") is not None:
        reader.dropped["cache"] = settings["folder"]
        settings["folder"] = None
    return find_class(name)(**settings)


def check_columns(is_categorical, means, has_gaps, places, one_hot):
    """Raise an error unless the settings of a Columns are consistent."""
    n = int(is_categorical.sum())
    n_numbers = len(is_categorical) - n
    require(len(means) == len(has_gaps) == n_numbers, f"must have means and has_gaps for {n_numbers} numeric columns")
    require(len(places) == n, f"must have places for {n} categorical columns")
    for one in places:
        fits = len(one) > 0 and one.min() >= 0 and one.max() <= len(one)
        require(fits, "must have places that are indices of categories")


def check_target(kind, classes):
    """Raise an error unless the classes of a Target match its kind."""
    expected = {"classes": "ndarray", "multilabel": "list", "values": "NoneType"}[kind]
    found = type(classes).__name__
    require(found == expected, f"must be a target of {kind} whose classes are of type {expected}, got {found}")
    if classes is not None:
        require(len(classes) > 0, "must be a target with classes")
        check_classes(classes)


SETTINGS_CODEC = Codec("settings", is_of_settings, write_settings, read_settings, shared=True)
