"""Values that cannot be stored in an archive, so that the caller must pass them to ``load``."""

from __future__ import annotations

from ._codec import NotStorable, describe, entry, require
from ._stored_params import as_plain_text, must_be_given


class Given:
    """The values that the caller passes to ``load``.

    Parameters
    ----------
    params : dict
        Values by the full names of parameters.
    roles : dict
        Values of ``module``, ``backbone`` and ``callbacks``, for all parameters with these names.
    """

    def __init__(self, params, roles):
        self.params, self.roles, self.used = params, roles, set()

    def find(self, name):
        """Return the key of the value for a parameter, its full name or the last part of it; None if there is none."""
        role = name.rpartition("__")[2]
        return name if name in self.params else role if role in self.roles else None

    def take(self, name):
        """Return the value for a parameter."""
        key = self.find(name)
        self.used.add(key)
        return self.params[key] if key in self.params else self.roles[key]

    def check_missing(self, node):
        """Raise an error that lists the missing values, unless all values required by the JSON are passed."""
        asked = [(entry(record, "name", str), entry(record, "was", str)) for record in records(node, "given")]
        missing = {name: was for name, was in asked if not self.find(name)}
        if not missing:
            return
        role = {name.rpartition("__")[2] for name in missing} & {"module", "backbone", "callbacks"}
        calls = [f"{key}=..." for key in sorted(role)]
        others = [f"{name!r}: ..." for name in missing if name.rpartition("__")[2] not in role]
        calls += [f"params={{{', '.join(others)}}}"] if others else []
        what = ", ".join(f"{name} ({was})" for name, was in missing.items())
        raise ValueError(f"an archive has no code, so pass the value of {what}: load(path, {', '.join(calls)})")

    def check_unused(self):
        """Raise an error if a value was passed that the archive does not require."""
        unused = (self.params.keys() | self.roles.keys()) - self.used
        if unused:
            raise ValueError(
                f"the archive does not require {sorted(unused)}: module, backbone and callbacks are for values that it "
                "cannot store, params is for any parameter by its name in get_params()"
            )


def records(node, kind):
    """Yield all records of a kind in JSON."""
    if isinstance(node, dict):
        if node.get("$") == kind:
            yield node
        node = list(node.values())
    for item in node if isinstance(node, list) else ():
        yield from records(item, kind)


def write_or_ask(value, name, key, writer, storable=True):
    """Convert a value to JSON, or to a record by which ``load`` requires it; ``key`` is the last part of its name."""
    before = len(writer.arrays), len(writer.seen)
    try:
        if storable and not must_be_given(name, value):
            return writer.write(as_plain_text(value), name)
    except NotStorable:
        writer.undo(before)
    # A class is the same object in an estimator and its clones, so it has to be passed only once.
    asked = writer.asked.setdefault((id(value), key), name)
    return {"$": "given", "name": asked, "was": describe(value)}


def given_name(node, name, key, reader):
    """Return the name by which the caller passes a parameter, its own or that of an equal one; None if it is stored.

    Parameters
    ----------
    node : object
        The JSON of the parameter.
    name, key : str
        The full name of the parameter, and its name within its estimator.
    reader : Reader
    """
    if name in reader.given.params:
        return name
    if type(node) is not dict or node.get("$") != "given":
        return None
    asked = entry(node, "name", str)
    fits = asked == key or asked.endswith(f"__{key}")
    require(fits, f"must refer to {key}, got {asked!r:.60}")
    return asked
