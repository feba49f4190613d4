"""Specs of the values in an archive: each has a description and a check.

Types are exact: a subclass of ``str`` or ``int`` may behave in ways that its value does not show.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, isinf
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from ._codec import brief, require
from ._tensors import is_torch

PLAIN = (type(None), bool, int, float, str, bytes)
LARGEST = 2**53  # integers up to this are exact as floats


class Spec(NamedTuple):
    """The spec of an attribute or parameter.

    Parameters
    ----------
    text : str
        The description, which follows "must be" in errors.
    fits : callable
        Returns True for a value that satisfies the spec.
    required : bool
        False for an attribute that not every fit sets.
    """

    text: str
    fits: Callable
    required: bool = True


def maybe(spec):
    """Return the spec of an attribute that not every fit sets."""
    return spec._replace(required=False)


def optional(spec):
    """Return the spec of None or a value of another spec."""
    return Spec(f"None or {spec.text}", lambda value: value is None or spec.fits(value))


def either(*specs):
    """Return the spec of values that satisfy any of several specs."""
    return Spec(" or ".join(spec.text for spec in specs), lambda value: any(spec.fits(value) for spec in specs))


def only(*values):
    """Return the spec of exactly these strings, numbers or None."""
    text = "one of " + ", ".join(map(repr, values)) if len(values) > 1 else repr(values[0])
    return Spec(text, lambda value: any(type(value) is type(one) and value == one for one in values))


def integer(low=0, high=LARGEST):
    """Return the spec of an int in a closed range."""
    return Spec(f"an int from {low} to {high}", lambda value: type(value) is int and low <= value <= high)


def real(low=-np.inf, high=np.inf):
    """Return the spec of a Python or numpy number in a closed range, without NaN."""

    def fits(value):
        is_number = type(value) in (int, float) or (isinstance(value, np.generic) and value.dtype.kind in "iuf")
        return bool(is_number and low <= value <= high)

    return Spec("a number" if isinf(low) and isinf(high) else f"a number from {low} to {high}", fits)


def list_of(spec, at_least=0):
    """Return the spec of a list, given the spec of its items."""

    def fits(value):
        return type(value) is list and len(value) >= at_least and all(spec.fits(item) for item in value)

    return Spec(f"a list of {spec.text}", fits)


def tuple_of(*specs):
    """Return the spec of a tuple with one value per spec."""

    def fits(value):
        lengths = type(value) is tuple and len(value) == len(specs)
        return lengths and all(spec.fits(item) for spec, item in zip(specs, value, strict=True))

    return Spec(f"({', '.join(spec.text for spec in specs)})", fits)


def dict_of(key, item, kind=dict):
    """Return the spec of a dict, given the specs of its keys and values."""

    def fits(value):
        return type(value) is kind and all(key.fits(k) and item.fits(v) for k, v in value.items())

    return Spec(f"a {kind.__name__} of {item.text}", fits)


def entries(specs):
    """Return the spec of a dict with exactly these entries."""

    def fits(value):
        return type(value) is dict and value.keys() == specs.keys() and all(specs[k].fits(v) for k, v in value.items())

    return Spec("a dict of " + ", ".join(f"{name}: {spec.text}" for name, spec in specs.items()), fits)


def array(kinds, *dims, finite=False):
    """Return the spec of an array with these dtype kinds and numbers of dimensions; objects in it must be plain."""

    def fits(value):
        if type(value) is not np.ndarray or value.dtype.kind not in kinds or value.ndim not in dims:
            return False
        if value.dtype == object:
            return all(is_label(item) for item in value.reshape(-1).tolist())
        return not finite or bool(np.isfinite(value).all())

    return Spec(f"an array of {' or '.join(map(str, dims))} dimension(s) and dtype kind {'/'.join(kinds)}", fits)


def is_label(value):
    """Return True for a plain Python value or numpy scalar, such as a label or category."""
    if type(value) is tuple:
        return all(map(is_label, value))
    return type(value) in PLAIN or (isinstance(value, np.generic) and value.dtype.kind in "biufUSmM")


def instance(cls):
    """Return the spec of instances of this class, without subclasses."""
    return Spec(f"a {cls.__name__}", lambda value: type(value) is cls)


estimator = Spec("an estimator", lambda value: isinstance(value, BaseEstimator))
anything = Spec("anything", lambda value: True)
boolean = Spec("True or False", lambda value: type(value) is bool)
string = Spec("a str", lambda value: type(value) is str)
nothing = Spec("None", lambda value: value is None)
label = Spec("a plain value", is_label)
labels = array("biufUSmMO", 1)
pixel_range = Spec(
    "a pair of finite numbers (low, high) with low < high",
    lambda value: tuple_of(real(), real()).fits(value) and all(map(isfinite, value)) and value[0] < value[1],
)


def is_plain(value, tensors=True):
    """Return True for numbers, text, arrays, random states, tensors if allowed, and lists, tuples or dicts of these."""
    if type(value) in (list, tuple):
        return all(is_plain(item, tensors) for item in value)
    if type(value) is dict:
        return all(is_label(key) and is_plain(item, tensors) for key, item in value.items())
    if type(value) is np.ndarray:
        return value.dtype != object or all(is_label(item) for item in value.reshape(-1).tolist())
    if isinstance(value, np.generic):
        return value.dtype.kind in "biufcmM"
    if type(value) in (*PLAIN, complex, np.random.RandomState):
        return True
    return tensors and any(is_torch(value, name) for name in ("Tensor", "dtype", "device"))


def check_fields(value, fields, what):
    """Raise an error unless a value is a dict with exactly these entries, which satisfy their specs.

    Parameters
    ----------
    value : object
    fields : dict
        The :class:`Spec` of each entry, or the fields of a nested dict.
    what : str
        The name of the dict in errors.
    """
    is_dict = type(value) is dict
    found = sorted(map(str, value)) if is_dict else type(value).__name__
    has_all = is_dict and value.keys() == fields.keys()
    require(has_all, f"must have the entries {sorted(fields)} in its {what}, got {found!r:.100}")
    for name, spec in fields.items():
        if isinstance(spec, dict):
            check_fields(value[name], spec, name)
        else:
            text = f"must have {spec.text} as {name} of its {what}, got {brief(value[name])}"
            require(spec.fits(value[name]), text)


# -- attributes that many classes share --------------------------------------------------------------------------------

NAMES = {"feature_names_in_": maybe(array("O", 1))}
COLUMNS = {"n_features_in_": integer(1), **NAMES}
OUTPUT = {"_sklearn_output_config": maybe(dict_of(only("transform"), only("default", "pandas", "polars")))}
