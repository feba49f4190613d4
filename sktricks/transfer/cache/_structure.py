"""Describe a module as text: classes, code and settings, everything but the numbers in its tensors.

The description follows what a forward pass can meet: submodules, attributes, hooks, classes with their bases, functions
with their defaults and closures, and the globals that code names. Every value is described once, in the order in which
it is met. The version stands for the code of large packages, the name for that of the standard library. All other code
is described by its source, which is taken only from a file that compiles to the code that runs. What has no plain
description, such as a lambda or a module without a known version, is described by a token of this process.
"""

from __future__ import annotations

import dis
import inspect
import sys
from functools import lru_cache
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from uuid import uuid4
from weakref import ReferenceType, WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from ..freezing._fixed_outputs import attributes_of

VERSIONED = {"torch", "torchvision", "timm", "transformers", "einops", "numpy", "scipy"}
KNOWN = VERSIONED | sys.stdlib_module_names
IGNORED = {"logging", "threading", "_thread"}  # loggers and locks decide no feature, and change all the time
SIMPLE = {bool, int, float, str, bytes, type(None)}
# Attributes that freezing adds to modules, which decide no feature.
NOTES = ("_held_from_training", "_training_paused", "_came_blank", "_frozen_names", "_lr_factor")
NOT_SETTINGS = {*vars(nn.Module()), *NOTES}  # tensors, submodules and hooks are described apart
OF_FORWARD = "_forward_pre_hooks", "_forward_hooks"
OF_TRAINING = (*NOTES, "training", "_non_persistent_buffers_set")
ALL_HOOKS = [name for name in vars(nn.Module()) if name.endswith("_hooks")]
INSIDE = {  # by type: the parts of a value
    list: list,
    tuple: list,
    set: lambda values: sorted(values, key=repr),
    dict: lambda values: [part for item in values.items() for part in item],
    MethodType: lambda method: [method.__func__, method.__self__],
    ReferenceType: lambda reference: [reference()],
}
TOKENS: WeakKeyDictionary = WeakKeyDictionary()


class Structure:
    """The description of a module.

    Parameters
    ----------
    module : torch.nn.Module
        Or a class or function that makes modules.
    of_training : bool, default=False
        Describe how the module trains as well: modes, gradients, all hooks and what freezing has noted.

    Attributes
    ----------
    text : str
        With the dtypes and shapes of tensors, not their content. Equal modules have equal texts in every process if
        ``is_portable``.
    is_portable : bool
        False if the text has tokens of this process, which stand for code without source and for values that cannot be
        described.
    tensors : list of torch.Tensor or ndarray
        Parameters and buffers, and all other tensors that were met.
    """

    def __init__(self, module, of_training=False):
        self.tensors, self.is_portable, self.of_training = [], True, of_training
        self._numbers, self._values = {}, []
        self._parts = set(module.modules()) if isinstance(module, nn.Module) else set()
        self.refer(module)
        self.text = "\n".join(map(self.describe, self._values))  # which grows meanwhile

    def refer(self, *values):
        """Return the text of simple values, and the numbers under which all others are described."""
        return " ".join(map(self._refer, values))

    def _refer(self, value):
        if type(value) in SIMPLE or (type(value) is tuple and SIMPLE.issuperset(map(type, value))):
            return repr(value)
        number = self._numbers.setdefault(id(value), len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return f"#{number}"

    def token(self, value):
        """Return a text that stands for this one object, which cannot be described."""
        self.is_portable = False
        try:
            return TOKENS.setdefault(value, uuid4().hex)
        except TypeError:  # there is no weak reference to it: not even the same object is found again
            return uuid4().hex

    def describe(self, value):
        """Return the description of one value, in which others are numbers."""
        if isinstance(value, torch.Tensor) or (type(value) is np.ndarray and value.dtype != object):
            self.tensors.append(value)
            return f"{value.dtype} {tuple(value.shape)} {self.of_training and getattr(value, 'requires_grad', False)}"
        if isinstance(value, nn.Module):
            return self.describe_module(value)
        if isinstance(value, type):
            return self.describe_class(value)
        if isinstance(value, FunctionType):
            return self.describe_function(value)
        if isinstance(value, ModuleType):
            return value.__name__ if is_known(value) else self.token(value)
        return self.describe_object(value)

    def describe_module(self, module):
        # Settings are sorted, since a copy of an LSTM has them in another order.
        own = attributes_of(module)
        settings = {name: own[name] for name in sorted(own.keys() - NOT_SETTINGS)}
        inside = {**settings, **module._parameters, **module._buffers, **module._modules}
        kinds = ALL_HOOKS if self.of_training else OF_FORWARD
        # a list at once, since other threads may add hooks meanwhile
        hooks = [(kind, hook) for kind in kinds for hook in list(own.get(kind, {}).values())]
        notes = [(kind, hook) for kind, hook in hooks if package_of(hook) != "sktricks"]
        if self.of_training:
            self.is_portable &= len(notes) == len(hooks)
            notes += [len(hooks), *((name, own[name]) for name in OF_TRAINING if own.get(name))]
        mode = "" if module in self._parts else module.training  # the parts run in evaluation mode
        return f"{self.refer(type(module))} {mode} {list(inside)} {self.refer(*inside.values(), *notes)}"

    def describe_class(self, kind):
        bases = self.refer(*(base for base in kind.__mro__[1:] if not is_known(base)))
        if is_known(kind):  # torch makes subclasses of the user's own
            return f"{name_of(kind)} {bases}"
        inside = {name: without_wrapper(value) for name, value in sorted(vars(kind).items())}
        inside = {name: value for name, value in inside.items() if counts_in_class(kind, name, value)}
        source = source_of_class(kind) or self.token(kind)
        return f"{name_of(kind)} {source} {bases} {list(inside)} {self.refer(*inside.values())}"

    def describe_function(self, function):
        cells = [cell for cell in function.__closure__ or () if cell != CellType()]  # one may still be empty
        enclosed = [cell.cell_contents for cell in cells]
        text = self.refer(function.__defaults__, function.__kwdefaults__, *enclosed)
        if is_known(function):
            return f"{name_of(function)} {text}"
        source, names = source_of(function.__code__) or self.token(function), names_in(function.__code__)
        named = [function.__globals__[name] for name in names if name in function.__globals__]
        return f"{source} {text} {self.refer(vars(function), *named)}"

    def describe_object(self, value):
        """Describe a container by its parts, and any other object by what its pickle would hold."""
        kind = type(value)
        if kind in INSIDE:
            return f"{kind.__name__} {self.refer(*INSIDE[kind](value))}"
        if package_of(kind) in IGNORED:
            return kind.__qualname__
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # anybody may have written that method
            return f"{self.refer(kind)} {self.token(value)}"
        if isinstance(reduced, str):  # the name of a global
            reduced = [getattr(value, "__module__", None), reduced, getattr(value, "__dict__", None)]
        return self.refer(kind, *reduced[:3], *map(list, filter(None, reduced[3:5])))


def without_wrapper(value):
    """Return the function in a method or property of a class."""
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def counts_in_class(kind, name, value):
    """Return True for methods and constants; lists, dicts and sets of a class may be notes that its code writes."""
    if isinstance(value, FunctionType):
        is_generated = name.startswith("__") and inspect.unwrap(value).__code__.co_filename == "<string>"
        return not (is_generated and hasattr(kind, "__dataclass_fields__"))
    return not (name.startswith(("__", "_abc_")) or isinstance(value, list | dict | set))


@lru_cache(maxsize=4096)
def names_in(code, operations=("LOAD_GLOBAL", "LOAD_NAME")):
    """Return the names in a piece of code that some operations have, those of globals by default."""
    steps = [step for part in with_inner(code) for step in dis.get_instructions(part)]
    return sorted({step.argval for step in steps if step.opname in operations})


def with_inner(code):
    """Return a piece of code, and the functions, classes and comprehensions in it."""
    codes = [code]
    for outer in codes:  # which grows meanwhile
        codes.extend(inner for inner in outer.co_consts if isinstance(inner, CodeType))
    return codes


def source_of(code):
    """Return the source of a function, or None if it is a lambda, imports what is not known, or is in no file."""
    return source_in(code.co_filename, code)


@lru_cache(maxsize=4096)
def source_in(path, code):  # code of two files may be equal
    is_complete = KNOWN.issuperset(name.partition(".")[0] for name in names_in(code, ("IMPORT_NAME",)))
    is_named = code.co_name != "<lambda>"
    return find_source(path, lambda other: other == code) if is_complete and is_named else None


@lru_cache(maxsize=1024)
def source_of_class(kind):
    """Return the source of a class, from the file of its methods or of its module, or None."""
    functions = filter(inspect.isfunction, map(without_wrapper, vars(kind).values()))
    paths = [function.__code__.co_filename for function in functions]
    paths.append(getattr(sys.modules.get(kind.__module__), "__file__", None))
    found = (find_source(path, lambda code: code.co_qualname == kind.__qualname__) for path in dict.fromkeys(paths))
    return next(filter(None, found), None)


def find_source(path, is_wanted):
    """Return the source of all wanted code in a file, or None."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        starts = [code.co_firstlineno - 1 for code in codes_in(text) if is_wanted(code)]
        lines = [f"{line}\n" for line in text.split("\n")]
        return "".join(line for start in starts for line in inspect.getblock(lines[start:])) or None
    except (OSError, TypeError, SyntaxError, ValueError):
        return None


@lru_cache(maxsize=64)
def codes_in(text):
    """Return all code that the text of a file compiles to."""
    return with_inner(compile(text, "", "exec", dont_inherit=True))


def package_of(value):
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return str(name or "").partition(".")[0]


def is_known(value):
    """Return True if name and version stand for the code of a class, function or module."""
    return package_of(value) in KNOWN


def name_of(value):
    """Return the full name of a class or function, with the version of a large package."""
    package = package_of(value)
    version = getattr(sys.modules.get(package), "__version__", "") if package in VERSIONED else ""
    return f"{value.__module__}.{value.__qualname__} {version}"
