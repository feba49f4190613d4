"""Convert values to JSON and arrays, and back.

Numbers, text, lists and dicts are represented by JSON directly. Any other value is a *record*: a dict whose ``"$"`` is
its kind, written and read by the :class:`Codec` of that kind. The list of kinds is fixed, and no codec imports or runs
anything that a record refers to.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from math import isfinite
from typing import NamedTuple


class Codec(NamedTuple):
    """Functions that write and read one kind of value."""

    kind: str
    takes: Callable  # (value) -> bool
    write: Callable  # (value, name, writer) -> dict
    read: Callable  # (record, reader) -> value
    shared: bool = False  # if True, an object that occurs several times is written once and stays a single object


def codec_by_name(kind, takes, name_of, find):
    """Return a codec for values that are written as a name, ``name_of(value)``, and read by ``find(name)``."""
    return Codec(
        kind,
        takes,
        lambda value, name, writer: {"value": name_of(value)},
        lambda record, reader: find(entry(record, "value", str)),
    )


class NotStorable(TypeError):
    """A value cannot be stored in an archive."""


class Malformed(ValueError):
    """An archive has content that ``save`` never writes."""


def require(condition, text):
    """Raise :class:`Malformed` with a text such as "must be a slice" unless the condition is True."""
    if not condition:
        raise Malformed(text)


def describe(value):
    """Return a description of a value for errors: its name or its type."""
    if isinstance(value, list | tuple) and value:
        return "[" + ", ".join(describe(item) for item in value) + "]"
    if hasattr(value, "__qualname__"):
        kind = "class" if isinstance(value, type) else "function"
        return f"the {kind} {value.__module__}.{value.__qualname__}"
    if isinstance(value, str):
        return repr(value)
    return f"an instance of {type(value).__module__}.{type(value).__qualname__}"


def brief(value):
    """Return a short description of a value in an archive."""
    return f"{value!r:.60}" if type(value) in (str, bool, int, float, type(None)) else f"a {type(value).__name__}"


def entry(record, key, *types):
    """Return the value of a key in a record, after checking that its type is exactly one of these."""
    require(key in record, f"must have {key!r}")
    if types and type(record[key]) not in types:
        expected = " or ".join(one.__name__ for one in types)
        raise Malformed(f"must have {key!r} of type {expected}, got {brief(record[key])}")
    return record[key]


def look_up(known, name, what):
    """Return the value with this name in a dict of allowed values, or raise an error."""
    require(name in known, f"must be the name of {what}, got {name!r:.60}")
    return known[name]


def join(prefix, name):
    """Return the nested name of a parameter, as in ``get_params``: ``prefix__name``."""
    return f"{prefix}__{name}" if prefix else name


def is_pair(item):
    """Return True if an item of a list is a pair (name, member), such as a step of a Pipeline."""
    return isinstance(item, list | tuple) and len(item) > 1 and isinstance(item[0], str)


class Writer:
    """Write values as JSON and arrays.

    Parameters
    ----------
    codecs : list of Codec
    trusted : frozenset of str
        The full names of the types that the caller trusts.

    Attributes
    ----------
    arrays : dict
        The arrays that the JSON refers to.
    seen : dict
        The numbers of shared objects, by their ids.
    asked : dict
        The names under which ``load`` requires values that cannot be stored.
    untrusted : dict
        The untrusted types of each member.
    """

    def __init__(self, codecs, trusted=frozenset()):
        self.codecs, self.trusted, self.untrusted = codecs, trusted, {}
        self.arrays, self.seen, self.asked = {}, {}, {}

    def write(self, value, name):
        """Convert a value to JSON. ``name`` is its position, used in errors and as the name of an array."""
        if value is None or type(value) in (bool, int, str) or (type(value) is float and isfinite(value)):
            return value
        if type(value) is list:
            return self.write_items(value, name)
        if type(value) is dict and "$" not in value and all(type(key) is str for key in value):
            return {key: self.write(item, f"{name}.{key}") for key, item in value.items()}
        if id(value) in self.seen:
            return {"$": "again", "id": self.seen[id(value)]}
        codec = next((codec for codec in self.codecs if codec.takes(value)), None)
        if codec is None:
            raise NotStorable(f"save cannot store {name or 'the estimator'}: {describe(value)}")
        record = {"$": codec.kind, **codec.write(value, name, self)}
        if codec.shared:
            record["id"] = self.seen[id(value)] = len(self.seen)
        return record

    def write_items(self, items, name):
        """Convert the items of a list or tuple to JSON; for pairs (name, member), the position includes the name."""
        if is_pair(items) and name.rpartition("__")[2] == items[0]:
            return [self.write(item, name) for item in items]
        prefix = name.rpartition("__")[0]
        names = [join(prefix, item[0]) if is_pair(item) else f"{name}.{index}" for index, item in enumerate(items)]
        return [self.write(item, own) for item, own in zip(items, names, strict=True)]

    def keep(self, array, name):
        """Add an array, and return its key."""
        key, n = name or "array", 1
        while key in self.arrays:
            n += 1
            key = f"{name}#{n}"
        self.arrays[key] = array
        return key

    def undo(self, before):
        """Remove everything written since ``before``, the lengths of :attr:`arrays` and :attr:`seen` at that time."""
        for kept, length in zip((self.arrays, self.seen), before, strict=True):
            for key in list(kept)[length:]:
                del kept[key]


class Reader:
    """Read values from JSON and arrays.

    Parameters
    ----------
    codecs : list of Codec
    arrays : dict of ndarray
    given : Given
        The values that the caller passes to ``load``.
    trusted : frozenset of str
        The full names of the types that the caller trusts.

    Attributes
    ----------
    seen : dict
        Shared objects by their numbers.
    place : list of str or int
        The current position in the manifest; after an error, the position of the error.
    dropped : dict
        Names and values of parameters that were replaced because they are paths.
    """

    def __init__(self, codecs, arrays, given, trusted=frozenset()):
        self.codecs, self.trusted = {codec.kind: codec for codec in codecs}, trusted
        self.arrays, self.given, self.seen = arrays, given, {}
        self.place, self.dropped = [], {}

    def read(self, node, *where):
        """Convert JSON to a value; ``where`` is its position relative to the current one."""
        with self.inside(*where):
            return self._read(node)

    @contextmanager
    def inside(self, *where):
        """Context manager that moves the current position, which errors name."""
        self.place += where
        yield
        del self.place[len(self.place) - len(where) :]  # not after an error, to keep its position

    def _read(self, node):
        if isinstance(node, list):
            return [self.read(item, index) for index, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        if "$" not in node:
            return {key: self.read(item, key) for key, item in node.items()}
        kind = entry(node, "$", str)
        if kind == "again":
            number = entry(node, "id", int)
            require(number in self.seen, f"must refer to an earlier value, got the number {number}")
            return self.seen[number]
        require(kind in self.codecs, f"must be a value of a known kind, got the unknown kind {kind!r:.60}")
        value = self.codecs[kind].read(node, self)
        if "id" in node:
            self.seen[entry(node, "id", int)] = value
        return value

    def array(self, record):
        """Return the array that a record refers to."""
        key = entry(record, "key", str)
        require(key in self.arrays, f"must refer to an array of the file, got {key!r:.60}")
        return self.arrays[key]

    def where(self):
        """Return the current position as text, such as ``estimator.learned.classes_``."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place)
        return "estimator" + "".join(parts)
