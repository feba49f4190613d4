"""Give methods that estimators inherit from private classes the name of the estimator.

Python names the function in ``fit() missing 1 required positional argument``: a user should read ``NetClassifier.fit``
there, not the private class that defines it.
"""

from __future__ import annotations

from types import CellType, FunctionType


class NamesItsMethods:
    """Give each public method that a class of this package inherits from another one the name of the class."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)  # first, since scikit-learn wraps the methods that a class has of its own
        if not is_ours(cls):  # a user's class inherits as usual
            return
        public = {name for name in dir(cls) if not name.startswith("_")} | {"__init__"}
        for name in public - vars(cls).keys():
            function = getattr(cls, name)
            if isinstance(function, FunctionType) and is_ours(function):
                setattr(cls, name, renamed(function, cls.__module__, f"{cls.__qualname__}.{name}"))


def is_ours(part):
    """Return True for a class or function of this package."""
    return part.__module__.partition(".")[0] == __name__.partition(".")[0]


def renamed(function, module, name):
    """Return a copy of a function, and of the one that it wraps, under another module and qualified name."""
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
