"""Rename methods that public estimators inherit from private base classes.

Errors such as ``NetClassifier.fit() missing 1 required positional argument`` contain the qualified name of the method:
it should be that of the user's estimator, not of the private class that defines the method.
"""

from __future__ import annotations

from types import CellType, FunctionType


class NamesItsMethods:
    """Mixin that renames each inherited public method after the class of this package that inherits it."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)  # first, because scikit-learn wraps methods defined in the class itself
        if not is_ours(cls):  # users' subclasses are left alone
            return
        public = {name for name in dir(cls) if not name.startswith("_")} | {"__init__"}
        for name in public - vars(cls).keys():
            function = getattr(cls, name)
            if isinstance(function, FunctionType) and is_ours(function):
                setattr(cls, name, renamed(function, cls.__module__, f"{cls.__qualname__}.{name}"))


def is_ours(part):
    """Return True if a class or function is defined in this package."""
    return part.__module__.partition(".")[0] == __name__.partition(".")[0]


def renamed(function, module, name):
    """Return a copy of a function, and of the function that it wraps, with another module and qualified name."""
    closure, wrapped = function.__closure__, getattr(function, "__wrapped__", None)
    if wrapped is not None:
        inner = renamed(wrapped, module, name)
        closure = tuple(CellType(inner) if cell.cell_contents is wrapped else cell for cell in closure)
    copy = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, closure)
    copy.__dict__.update(vars(function))
    copy.__doc__, copy.__module__, copy.__qualname__ = function.__doc__, module, name
    copy.__annotations__, copy.__kwdefaults__ = function.__annotations__, function.__kwdefaults__
    if wrapped is not None:
        copy.__wrapped__ = inner
    return copy
