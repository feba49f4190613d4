"""Describe a module as text: its classes, code and settings, everything except the numbers in its tensors.

The description covers everything that a forward pass can use: submodules, attributes, hooks, classes with their bases,
functions with their defaults and closures, and the globals that code uses. Every value is described once, in the order
in which it is encountered. The code of large packages is represented by their version, that of the standard library by
its name. All other code is represented by its source, which is read only from a file that compiles to the running code.
Values without such a description, such as a lambda or a module of unknown version, get a token of this process.
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
IGNORED = {"logging", "threading", "_thread"}  # loggers and locks change often, but do not affect features
SIMPLE = {bool, int, float, str, bytes, type(None)}
# Attributes that freezing adds to modules; they do not affect features.
NOTES = ("_held_from_training", "_training_paused", "_came_blank", "_frozen_names", "_lr_factor")
NOT_SETTINGS = {*vars(nn.Module()), *NOTES}  # tensors, submodules and hooks are described separately
OF_FORWARD = "_forward_pre_hooks", "_forward_hooks"
OF_TRAINING = (*NOTES, "training", "_non_persistent_buffers_set")
ALL_HOOKS = [name for name in vars(nn.Module()) if name.endswith("_hooks")]
INSIDE = {  # by type: a function that returns the parts of a value
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
        A module, or a class or function that returns modules.
    of_training : bool, default=False
        Also describe the training of the module: modes, gradients, all hooks and attributes set by freezing.

    Attributes
    ----------
    text : str
        The description. It contains the dtypes and shapes of tensors, but not their content. If ``is_portable``, equal
        modules have equal texts in every process.
    is_portable : bool
        False if the text contains tokens of this process, for code without source and values that cannot be described.
    tensors : list of torch.Tensor or ndarray
        Parameters and buffers, and all other tensors that were encountered.
    """

    def __init__(self, module, of_training=False):
        self.tensors, self.is_portable, self.of_training = [], True, of_training
        self._numbers, self._values = {}, []
        self._parts = set(module.modules()) if isinstance(module, nn.Module) else set()
        self.refer(module)
        self.text = "\n".join(map(self.describe, self._values))  # the list grows while it is iterated over

    def refer(self, *values):
        """Return the text of simple values, and references (numbers) to the descriptions of all others."""
        return " ".join(map(self._refer, values))

    def _refer(self, value):
        if type(value) in SIMPLE or (type(value) is tuple and SIMPLE.issuperset(map(type, value))):
            return repr(value)
        number = self._numbers.setdefault(id(value), len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return f"#{number}"

    def token(self, value):
        """Return a text that identifies an object that cannot be described."""
        self.is_portable = False
        try:
            return TOKENS.setdefault(value, uuid4().hex)
        except TypeError:  # the object does not support weak references, so it gets a new token each time
            return uuid4().hex

    def describe(self, value):
        """Return the description of one value, with references to others."""
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
        # Settings are sorted, since their order differs in a copy of an LSTM.
        own = attributes_of(module)
        settings = {name: own[name] for name in sorted(own.keys() - NOT_SETTINGS)}
        inside = {**settings, **module._parameters, **module._buffers, **module._modules}
        kinds = ALL_HOOKS if self.of_training else OF_FORWARD
        # Copy the hooks to a list first, since other threads may add some.
        hooks = [(kind, hook) for kind in kinds for hook in list(own.get(kind, {}).values())]
        notes = [(kind, hook) for kind, hook in hooks if package_of(hook) != "sktricks"]
        if self.of_training:
            self.is_portable &= len(notes) == len(hooks)
            notes += [len(hooks), *((name, own[name]) for name in OF_TRAINING if own.get(name))]
        mode = "" if module in self._parts else module.training  # submodules run in evaluation mode in any case
        return f"{self.refer(type(module))} {mode} {list(inside)} {self.refer(*inside.values(), *notes)}"

    def describe_class(self, kind):
        bases = self.refer(*(base for base in kind.__mro__[1:] if not is_known(base)))
        if is_known(kind):  # torch creates subclasses of the user's classes
            return f"{name_of(kind)} {bases}"
        inside = {name: without_wrapper(value) for name, value in sorted(vars(kind).items())}
        inside = {name: value for name, value in inside.items() if counts_in_class(kind, name, value)}
        source = source_of_class(kind) or self.token(kind)
        return f"{name_of(kind)} {source} {bases} {list(inside)} {self.refer(*inside.values())}"

    def describe_function(self, function):
        cells = [cell for cell in function.__closure__ or () if cell != CellType()]  # skip empty cells
        enclosed = [cell.cell_contents for cell in cells]
        text = self.refer(function.__defaults__, function.__kwdefaults__, *enclosed)
        if is_known(function):
            return f"{name_of(function)} {text}"
        source, names = source_of(function.__code__) or self.token(function), names_in(function.__code__)
        named = [function.__globals__[name] for name in names if name in function.__globals__]
        return f"{source} {text} {self.refer(vars(function), *named)}"

    def describe_object(self, value):
        """Describe a container by its items, and any other object by the content of its pickle."""
        kind = type(value)
        if kind in INSIDE:
            return f"{kind.__name__} {self.refer(*INSIDE[kind](value))}"
        if package_of(kind) in IGNORED:
            return kind.__qualname__
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # a user's ``__reduce_ex__`` may raise any error
            return f"{self.refer(kind)} {self.token(value)}"
        if isinstance(reduced, str):  # a string is the name of a global
            reduced = [getattr(value, "__module__", None), reduced, getattr(value, "__dict__", None)]
        return self.refer(kind, *reduced[:3], *map(list, filter(None, reduced[3:5])))


def without_wrapper(value):
    """Return the function wrapped by a method or property of a class."""
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def counts_in_class(kind, name, value):
    """Return True for methods and constants; lists, dicts and sets of a class may be caches that its code updates."""
    if isinstance(value, FunctionType):
        is_generated = name.startswith("__") and inspect.unwrap(value).__code__.co_filename == "<string>"
        return not (is_generated and hasattr(kind, "__dataclass_fields__"))
    return not (name.startswith(("__", "_abc_")) or isinstance(value, list | dict | set))


@lru_cache(maxsize=4096)
def names_in(code, operations=("LOAD_GLOBAL", "LOAD_NAME")):
    """Return the names used by some operations in a code object, by default the names of globals."""
    steps = [step for part in with_inner(code) for step in dis.get_instructions(part)]
    return sorted({step.argval for step in steps if step.opname in operations})


def with_inner(code):
    """Return a code object, and those of the functions, classes and comprehensions in it."""
    codes = [code]
    for outer in codes:  # the list grows while it is iterated over
        codes.extend(inner for inner in outer.co_consts if isinstance(inner, CodeType))
    return codes


def source_of(code):
    """Return the source of a function, or None for a lambda, an unknown import, or code that is not in a file."""
    return source_in(code.co_filename, code)


@lru_cache(maxsize=4096)
def source_in(path, code):  # ``path`` is part of the cache key, since code of two files may be equal
    is_complete = KNOWN.issuperset(name.partition(".")[0] for name in names_in(code, ("IMPORT_NAME",)))
    is_named = code.co_name != "<lambda>"
    return find_source(path, lambda other: other == code) if is_complete and is_named else None


@lru_cache(maxsize=1024)
def source_of_class(kind):
    """Return the source of a class from the file of its methods or of its module, or None."""
    functions = filter(inspect.isfunction, map(without_wrapper, vars(kind).values()))
    paths = [function.__code__.co_filename for function in functions]
    paths.append(getattr(sys.modules.get(kind.__module__), "__file__", None))
    found = (find_source(path, lambda code: code.co_qualname == kind.__qualname__) for path in dict.fromkeys(paths))
    return next(filter(None, found), None)


def find_source(path, is_wanted):
    """Return the source of all code in a file for which ``is_wanted`` returns True, or None."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        starts = [code.co_firstlineno - 1 for code in codes_in(text) if is_wanted(code)]
        lines = [f"{line}\n" for line in text.split("\n")]
        return "".join(line for start in starts for line in inspect.getblock(lines[start:])) or None
    except (OSError, TypeError, SyntaxError, ValueError):
        return None


@lru_cache(maxsize=64)
def codes_in(text):
    """Return all code objects of a compiled file."""
    return with_inner(compile(text, "", "exec", dont_inherit=True))


def package_of(value):
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return str(name or "").partition(".")[0]


def is_known(value):
    """Return True if the code of a class, function or module is determined by its name and version."""
    return package_of(value) in KNOWN


def name_of(value):
    """Return the full name of a class or function, with the version of a large package."""
    package = package_of(value)
    version = getattr(sys.modules.get(package), "__version__", "") if package in VERSIONED else ""
    return f"{value.__module__}.{value.__qualname__} {version}"
