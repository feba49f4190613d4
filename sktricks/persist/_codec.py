"""Turn values into JSON and arrays, and back.

Numbers, text, lists and dicts are JSON as they are. Any other value is a *record*: a dict whose ``"$"`` names its kind,
written and read by the :class:`Codec` of that kind. There is a fixed list of kinds, and none imports or runs what a
record says.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from math import isfinite
from typing import NamedTuple


class Codec(NamedTuple):
    """The writing and reading of one kind of value."""

    kind: str
    takes: Callable  # (value) -> bool
    write: Callable  # (value, name, writer) -> dict
    read: Callable  # (record, reader) -> value
    shared: bool = False  # an object that stands in several places is written once, and is one object again


def codec_by_name(kind, takes, name_of, find):
    """Return the codec of values that are written as a name, ``name_of(value)``, and read by ``find(name)``."""
    return Codec(
        kind,
        takes,
        lambda value, name, writer: {"value": name_of(value)},
        lambda record, reader: find(entry(record, "value", str)),
    )


class NotStorable(TypeError):
    """An archive cannot hold a value."""


class Malformed(ValueError):
    """An archive holds something that ``save`` never writes."""


def require(holds, text):
    """Raise :class:`Malformed` with a text such as "must be a slice", unless ``holds``."""
    if not holds:
        raise Malformed(text)


def describe(value):
    """Return a description of a value for errors: its name, or the name of its type."""
    if isinstance(value, list | tuple) and value:
        return "[" + ", ".join(describe(item) for item in value) + "]"
    if hasattr(value, "__qualname__"):
        kind = "class" if isinstance(value, type) else "function"
        return f"the {kind} {value.__module__}.{value.__qualname__}"
    if isinstance(value, str):
        return repr(value)
    return f"an instance of {type(value).__module__}.{type(value).__qualname__}"


def brief(value):
    """Return a short description of a value that was found in an archive."""
    return f"{value!r:.60}" if type(value) in (str, bool, int, float, type(None)) else f"a {type(value).__name__}"


def entry(record, key, *types):
    """Return the value of a record under a key, which must be of exactly one of these types."""
    require(key in record, f"must have {key!r}")
    if types and type(record[key]) not in types:
        expected = " or ".join(one.__name__ for one in types)
        raise Malformed(f"must have {key!r} of type {expected}, got {brief(record[key])}")
    return record[key]


def look_up(known, name, what):
    """Return the value with a name in a closed list, a dict."""
    require(name in known, f"must be the name of {what}, got {name!r:.60}")
    return known[name]


def join(prefix, name):
    """Return the name of a parameter within an estimator that is itself a parameter, as ``get_params`` has it."""
    return f"{prefix}__{name}" if prefix else name


def is_pair(item):
    """Return True if an item of a list is a member with its name, such as a step of a Pipeline."""
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
        The arrays that the JSON points to.
    seen : dict
        The numbers of shared objects, by their ids.
    asked : dict
        The names under which ``load`` asks for values that cannot be stored.
    untrusted : dict
        The types that the caller does not trust, by the members that have them.
    """

    def __init__(self, codecs, trusted=frozenset()):
        self.codecs, self.trusted, self.untrusted = codecs, trusted, {}
        self.arrays, self.seen, self.asked = {}, {}, {}

    def write(self, value, name):
        """Return a value as JSON. ``name`` says where it stands: in errors, and as the name of an array."""
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
        """Return the items of a list or tuple as JSON; in a list of pairs (name, member) a member has its own name."""
        if is_pair(items) and name.rpartition("__")[2] == items[0]:
            return [self.write(item, name) for item in items]
        prefix = name.rpartition("__")[0]
        names = [join(prefix, item[0]) if is_pair(item) else f"{name}.{index}" for index, item in enumerate(items)]
        return [self.write(item, own) for item, own in zip(items, names, strict=True)]

    def keep(self, array, name):
        """Add an array, and return the key under which it is kept."""
        key, n = name or "array", 1
        while key in self.arrays:
            n += 1
            key = f"{name}#{n}"
        self.arrays[key] = array
        return key

    def undo(self, before):
        """Remove what was written since ``before``, two lengths of :attr:`arrays` and :attr:`seen`."""
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
        The values that the caller of ``load`` gives.
    trusted : frozenset of str
        The full names of the types that the caller trusts.

    Attributes
    ----------
    seen : dict
        Shared objects by their numbers.
    place : list of str or int
        Where in the manifest the reader is; after an error, where it happened.
    dropped : dict
        Parameters that were replaced because they name a path: their names and values.
    """

    def __init__(self, codecs, arrays, given, trusted=frozenset()):
        self.codecs, self.trusted = {codec.kind: codec for codec in codecs}, trusted
        self.arrays, self.given, self.seen = arrays, given, {}
        self.place, self.dropped = [], {}

    def read(self, node, *where):
        """Return the value of a piece of JSON, which stands at ``where`` in the one that is being read."""
        with self.inside(*where):
            return self._read(node)

    @contextmanager
    def inside(self, *where):
        """Have errors name a place within the current one."""
        self.place += where
        yield
        del self.place[len(self.place) - len(where) :]  # not after an error, so that its place is known

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
            require(number in self.seen, f"must point to a value before it, got the number {number}")
            return self.seen[number]
        require(kind in self.codecs, f"must be a value of a known kind, got the unknown kind {kind!r:.60}")
        value = self.codecs[kind].read(node, self)
        if "id" in node:
            self.seen[entry(node, "id", int)] = value
        return value

    def array(self, record):
        """Return the array that a record points to."""
        key = entry(record, "key", str)
        require(key in self.arrays, f"must point to an array of the file, got {key!r:.60}")
        return self.arrays[key]

    def where(self):
        """Return the place as text, such as ``estimator.learned.classes_``."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place)
        return "estimator" + "".join(parts)
