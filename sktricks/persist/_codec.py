"""From values to JSON and arrays, and back.

Numbers, text, lists and dicts are JSON as they are. Any other value is a *record*: a dict whose ``"$"`` names its kind,
written and read by the :class:`Codec` of that kind. There is a fixed list of kinds, and none imports or runs what a
record says.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import NamedTuple


class Codec(NamedTuple):
    """How one kind of value is written and read."""

    kind: str
    takes: Callable  # (value) -> bool
    write: Callable  # (value, name, writer) -> dict
    read: Callable  # (record, reader) -> value
    shared: bool = False  # an object that stands in several places is written once, and is one object again


class NotStorable(TypeError):
    """A value that an archive cannot hold."""


class Malformed(ValueError):
    """Something in an archive that ``save`` never writes."""


def require(holds, text):
    """Raise an error that says what something in an archive must be like, unless it is."""
    if not holds:
        raise Malformed(text)


def describe(value):
    """What a value is, for a reader."""
    if isinstance(value, list | tuple) and value:
        return "[" + ", ".join(describe(item) for item in value) + "]"
    if hasattr(value, "__qualname__"):
        kind = "class" if isinstance(value, type) else "function"
        return f"the {kind} {value.__module__}.{value.__qualname__}"
    if isinstance(value, str):
        return repr(value)
    return f"an instance of {type(value).__module__}.{type(value).__qualname__}"


def brief(value):
    """What was found, in few words."""
    return f"{value!r:.60}" if type(value) in (str, bool, int, float, type(None)) else f"a {type(value).__name__}"


def entry(record, key, *types):
    """What a record has under a key, of exactly one of these types; or an error."""
    if key not in record:
        raise Malformed(f"must have {key!r}")
    if types and type(record[key]) not in types:
        expected = " or ".join("None" if one is type(None) else one.__name__ for one in types)
        raise Malformed(f"must have {key!r} of type {expected}, got {brief(record[key])}")
    return record[key]


def join(prefix, name):
    """The name of a parameter of an estimator that is itself a parameter, as ``get_params`` has it."""
    return f"{prefix}__{name}" if prefix else name


def is_pair(item):
    """Whether an item of a list is a member with its name, such as a step of a Pipeline."""
    return isinstance(item, list | tuple) and len(item) > 1 and isinstance(item[0], str)


class Writer:
    """Turns values into JSON.

    ``arrays`` are what the JSON points to, ``seen`` the numbers of shared objects, ``asked`` the names under which
    ``load`` asks for what cannot be stored, ``trusted`` the full names of the types that the caller trusts, and
    ``untrusted`` those that it would have to, by the members that have them.
    """

    def __init__(self, codecs, trusted=frozenset()):
        self.codecs, self.trusted, self.untrusted = codecs, trusted, {}
        self.arrays, self.seen, self.asked = {}, {}, {}

    def write(self, value, name):
        """A value as JSON. ``name`` says where it stands: in errors, and as the name of an array."""
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
        """The items of a list or tuple; a member of a list of pairs (name, member) goes by its own name."""
        if is_pair(items) and name.rpartition("__")[2] == items[0]:
            return [self.write(item, name) for item in items]
        prefix = name.rpartition("__")[0]
        names = [join(prefix, item[0]) if is_pair(item) else f"{name}.{place}" for place, item in enumerate(items)]
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
        """Forget what was written since ``before``, two lengths of :attr:`arrays` and :attr:`seen`."""
        for kept, length in zip((self.arrays, self.seen), before, strict=True):
            for key in list(kept)[length:]:
                del kept[key]


class Reader:
    """Turns JSON into values; ``given`` is what the caller gives, ``trusted`` the types that the caller trusts.

    ``place`` says where in the manifest it is: after an error, where that happened. ``dropped`` are the names and the
    values of parameters that were replaced, since they name a path.
    """

    def __init__(self, codecs, arrays, given, trusted=frozenset()):
        self.codecs, self.trusted = {codec.kind: codec for codec in codecs}, trusted
        self.arrays, self.given, self.seen = arrays, given, {}
        self.place, self.dropped = [], {}

    def read(self, node, *where):
        """The value of a piece of JSON, which stands at ``where`` in the one that is being read."""
        self.place += where
        value = self._read(node)
        del self.place[len(self.place) - len(where) :]  # only if all went well
        return value

    def _read(self, node):
        if isinstance(node, list):
            return [self.read(item, place) for place, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        if "$" not in node:
            return {key: self.read(item, key) for key, item in node.items()}
        kind = entry(node, "$", str)
        if kind == "again":
            return self._read_again(entry(node, "id", int))
        if kind not in self.codecs:
            raise Malformed(f"must be a value of a known kind, got the unknown kind {kind!r:.60}")
        value = self.codecs[kind].read(node, self)
        if "id" in node:
            self.seen[entry(node, "id", int)] = value
        return value

    def _read_again(self, number):
        if number not in self.seen:
            raise Malformed(f"must point to a value before it, got the number {number}")
        return self.seen[number]

    def array(self, record):
        """The array that a record points to."""
        key = entry(record, "key", str)
        if key not in self.arrays:
            raise Malformed(f"must point to an array of the file, got {key!r:.60}")
        return self.arrays[key]

    def where(self):
        """The place as a reader knows it, such as ``estimator.learned.classes_``."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place)
        return "estimator" + "".join(parts)
