"""Small types for what an archive may hold: each says what it expects, and whether a value is of it.

Types are exact: a subclass of ``str`` or ``int`` may behave in ways that its value does not show.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, isinf
from typing import NamedTuple

import numpy as np

from ._tensors import is_torch

PLAIN = (type(None), bool, int, float, str, bytes)
LARGEST = 2**53  # integers up to here are the same as floats


class Spec(NamedTuple):
    """What an attribute may be.

    Parameters
    ----------
    text : str
        What is expected, as it stands in an error after "must be".
    fits : callable
        Whether a value is of this type.
    required : bool
        False for an attribute that not every fit sets.
    """

    text: str
    fits: Callable
    required: bool = True


def maybe(spec):
    """An attribute that not every fit sets."""
    return spec._replace(required=False)


def optional(spec):
    """None, or a value of another type."""
    return Spec(f"None or {spec.text}", lambda value: value is None or spec.fits(value))


def either(*specs):
    """A value of one of several types."""
    return Spec(" or ".join(spec.text for spec in specs), lambda value: any(spec.fits(value) for spec in specs))


def only(*values):
    """One of these strings, numbers or None."""
    text = "one of " + ", ".join(map(repr, values)) if len(values) > 1 else repr(values[0])
    return Spec(text, lambda value: any(type(value) is type(one) and value == one for one in values))


def integer(low=0, high=LARGEST):
    """An int in a range, both ends included."""
    return Spec(f"an int from {low} to {high}", lambda value: type(value) is int and low <= value <= high)


def real(low=-np.inf, high=np.inf):
    """A number of Python or numpy in a range, which NaN is never in."""

    def fits(value):
        is_number = type(value) in (int, float) or (isinstance(value, np.generic) and value.dtype.kind in "iuf")
        return bool(is_number and low <= value <= high)

    return Spec("a number" if isinf(low) and isinf(high) else f"a number from {low} to {high}", fits)


def list_of(spec, at_least=0):
    """A list of any number of values of one type."""

    def fits(value):
        return type(value) is list and len(value) >= at_least and all(spec.fits(item) for item in value)

    return Spec(f"a list of {spec.text}", fits)


def tuple_of(*specs):
    """A tuple of values of these types."""

    def fits(value):
        lengths = type(value) is tuple and len(value) == len(specs)
        return lengths and all(spec.fits(item) for spec, item in zip(specs, value, strict=True))

    return Spec(f"({', '.join(spec.text for spec in specs)})", fits)


def dict_of(key, item, kind=dict):
    """A dict whose keys are of one type and whose values of another."""

    def fits(value):
        return type(value) is kind and all(key.fits(k) and item.fits(v) for k, v in value.items())

    return Spec(f"a {kind.__name__} of {item.text}", fits)


def array(kinds, *dims, finite=False):
    """An array of these kinds of numpy types and one of these numbers of dimensions; of objects only plain values."""

    def fits(value):
        if type(value) is not np.ndarray or value.dtype.kind not in kinds or value.ndim not in dims:
            return False
        if value.dtype == object:
            return all(is_label(item) for item in value.reshape(-1).tolist())
        return not finite or bool(np.isfinite(value).all())

    return Spec(f"an array of {' or '.join(map(str, dims))} dimension(s) and a type of kind {'/'.join(kinds)}", fits)


def is_label(value):
    """Whether a value is a plain one, as labels and categories are: of Python or a scalar of numpy."""
    if type(value) is tuple:
        return all(map(is_label, value))
    return type(value) in PLAIN or (isinstance(value, np.generic) and value.dtype.kind in "biufUSmM")


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
    """Whether a value consists of numbers, text, arrays, random states and maybe tensors, all of exact types."""
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
