"""The parameter values that may be stored in an archive, within the constraints of their class.

Values are plain: numbers, text, arrays and random states of exact types. Only the parameters listed here may have other
values. A value that refers to code must be passed to ``load`` again; a path or a download is dropped with a warning.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePath

from sklearn.utils._param_validation import validate_parameter_constraints

from ._codec import Malformed
from ._descriptions import DEVICES, OWN, augmenter, instance
from ._specs import Spec, either, estimator, integer, is_plain, list_of, nothing, only, optional, string
from ._steps import PARAMS
from ._tensors import is_torch, name_of_class

# Backbones that a library builds from their name alone, without weights or network access; the weights are in the
# archive. Any other name refers to code, a folder or a repository, and must be passed by the caller.
BUILT = r"([\w-]+|(timm|torchvision):[\w.-]+)"
BACKBONE = re.compile(rf"(untrained:)*{BUILT}")
FILED = re.compile(rf"(untrained:)*file:.+::(untrained:)*(?P<net>{BUILT})")
# Entries of net_params that may be stored; any other may be code or cause code to run, such as ``compile``.
STORED_PREFIXES = ("module__", "criterion__", "optimizer__", "iterator_train__", "iterator_valid__")
THREADS = 4096


def torch_class(beginning, ending=""):
    """Return the spec of torch classes whose names have this beginning and ending."""

    def fits(value):
        name = name_of_class(value) or ""
        return name.startswith(beginning) and name.endswith(ending)

    return Spec(f"a class torch.{beginning}*{ending}", fits)


def is_storable(key, value):
    """Return True if an entry of ``net_params`` may be stored; any other must be passed to ``load`` again."""
    return key.startswith(STORED_PREFIXES) and (is_plain(value) or name_of_class(value) is not None)


def is_cache(value):
    """Return True for a feature cache without a folder."""
    return instance("FeatureCache").fits(value) and value.folder is None


def is_callback(value):
    """Return True for one of our callbacks, or a pair of a name and such a callback."""
    if type(value) is tuple and len(value) == 2 and type(value[0]) is str:
        value = value[1]
    return type(value).__name__ in OWN and not isinstance(value, type) and hasattr(value, "on_train_begin")


def is_member(value):
    """Return True for a pair of a name and an estimator, None, "drop" or "passthrough"."""
    if type(value) not in (tuple, list) or len(value) != 2 or type(value[0]) is not str:
        return False
    return estimator.fits(value[1]) or value[1] is None or value[1] in ("drop", "passthrough")


def is_device(value):
    """Return True for a device of a supported kind, or its name."""
    known = rf"auto|({'|'.join(DEVICES)})(:\d{{1,3}})?"
    return (type(value) is str or is_torch(value, "device")) and re.fullmatch(known, str(value)) is not None


BY_NAME = "the name of a library's backbone (code that a file refers to is never imported)"
plain = Spec("a plain value", lambda value: is_plain(value, tensors=False))
members = Spec("a list of pairs of a name and an estimator", list_of(Spec("", is_member)).fits)
# Parameters that may have values other than plain ones, or only some of these, by name.
SPECIAL = {
    **PARAMS,
    "estimator": estimator,
    "teacher": estimator,
    "student": either(estimator, only("auto")),
    "final_estimator": optional(estimator),
    "estimators": either(members, list_of(estimator)),  # the second of FoldModels
    "steps": members,
    "transformer_list": members,
    "augmenter": augmenter,
    "backbone": Spec(BY_NAME, lambda value: is_text(value, BACKBONE)),
    "module": only("mlp"),
    "loss": either(string, torch_class("nn.", "Loss")),
    "optimizer": optional(either(string, torch_class("optim."))),
    "callbacks": optional(list_of(Spec("a callback", is_callback))),
    "cache": either(only("auto", None), Spec("a FeatureCache", is_cache)),
    "memory": nothing,
    "n_jobs": optional(integer(-THREADS, THREADS)),
    "device": Spec("'auto' or a device", is_device),
    "target": Spec("a target", lambda value: type(value) is str or type(value).__name__ == "Target"),
}


def is_text(value, pattern):
    """Return True for exactly a str that matches a pattern."""
    return type(value) is str and pattern.fullmatch(value) is not None


def find_wrong_param(cls, params, given=()):
    """Return the first invalid parameter of an estimator and what is expected instead, or None.

    Parameters ``given`` by the caller may have any value that the class accepts.
    """
    for name, value in params.items():
        spec = SPECIAL.get(name, plain)
        if name not in given and not spec.fits(value):
            return name, spec.text
    return None


def check_constraints(cls, params, given=()):
    """Validate parameters by the constraints of their class, as scikit-learn does."""
    constraints = getattr(cls, "_parameter_constraints", {})
    for name in constraints.keys() & params.keys():
        try:
            validate_parameter_constraints({name: constraints[name]}, {name: params[name]}, caller_name=cls.__name__)
        except ValueError as error:
            if name in given:
                raise
            raise Malformed(f"has an invalid value: {error}") from error


# -- parameters that are passed again or dropped -----------------------------------------------------------------------


def must_be_given(name, value):
    """Return True if a parameter must be passed to ``load`` because its value may refer to code or a download."""
    key = name.rpartition("__")[2]
    if key == "backbone":
        return isinstance(value, str) and not (is_text(value, BACKBONE) or is_text(value, FILED))
    if key == "module":
        return not (type(value) is str and value == "mlp")
    return False


def replacement(key, value):
    """Return the replacement of a value that refers to a path, and the path as text; None for other values."""
    if key == "memory" and value is not None:
        return None, value if isinstance(value, str) else str(getattr(value, "location", value))
    if key == "cache" and isinstance(value, str | PurePath) and value != "auto":
        return "auto", os.fspath(value)
    if key == "cache" and getattr(value, "folder", None) is not None:
        return type(value)(max_bytes=value.max_bytes, dtype=value.dtype), repr(value)
    if key == "backbone" and is_text(value, FILED):
        return "untrained:" + FILED.fullmatch(value)["net"], value
    return None


def as_plain_text(value):
    """Convert a numpy string, from a search over an array, to a Python string; return other values unchanged."""
    return str(value) if type(value).__name__ == "str_" and isinstance(value, str) else value
