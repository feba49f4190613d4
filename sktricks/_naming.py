"""Rename methods that public estimators inherit from private base classes.

Errors such as ``NetClassifier.fit() missing 1 required positional argument`` contain the qualified name of the method:
it should be that of the user's estimator, not of the private class that defines the method. An overriding method
without a docstring inherits the docstring of the overridden one.
"""

from __future__ import annotations

from types import CellType, FunctionType


class RenamedMethodsMixin:
    """Mixin that renames inherited public methods after the class of this package, and inherits docstrings."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)  # first, because scikit-learn wraps methods defined in the class itself
        if not is_ours(cls):  # users' subclasses are left alone
            return
        public = {name for name in dir(cls) if not name.startswith("_")} | {"__init__"}
        for name in public - vars(cls).keys():
            function = getattr(cls, name)
            if isinstance(function, FunctionType) and is_ours(function):
                setattr(cls, name, renamed(function, cls.__module__, f"{cls.__qualname__}.{name}"))
        for name in public & vars(cls).keys():
            function = vars(cls)[name]
            if isinstance(function, FunctionType) and function.__doc__ is None:
                function.__doc__ = inherited_doc(cls, name)


def inherited_doc(cls, name):
    """Return the docstring of a method from the nearest base class that has one, or None."""
    docs = (getattr(vars(base).get(name), "__doc__", None) for base in cls.__mro__[1:])
    return next(filter(None, docs), None)


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
