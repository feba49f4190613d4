"""What a module is besides the numbers in its tensors: classes, code and settings, as text.

Followed are, from the module on: its parts, their attributes and hooks, classes with their bases, methods and
constants, functions with their defaults and what they enclose, the globals that code names, plain objects by their
attributes, and modules and tensors wherever these lie. The code of large packages is told by their version, that of the
standard library by its name.

Not followed are: what imported modules hold (``settings.SCALE``), lists, dicts and sets that a class holds, which serve
as notes, compiled code, the code of a scripted module, and names that are only looked up while the code runs.
"""

from __future__ import annotations

import dis
import re
import sys
from enum import Enum
from functools import lru_cache, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from weakref import ReferenceType

import numpy as np
import torch
from torch import nn

VERSIONED = {"torch", "torchvision", "timm", "transformers", "einops", "numpy", "scipy"}  # the version tells their code
ASIDE = {"logging", "threading", "_thread"}  # objects of these decide no feature, and change all the time
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
# Our own notes, which decide no feature.
NOTES = ("_held_from_training", "_training_paused", "_came_blank", "_frozen_names", "_lr_factor")
SENT = "_sktricks_sent"  # another note, of which no copy knows
NOT_SETTINGS = {*vars(nn.Module()), *NOTES, SENT}  # parts and tensors have their own turn
SIMPLE = {bool, int, float, str, type(None)}
TOLD_BY_REPR = (bytes, complex, range, slice, Enum, BuiltinFunctionType, np.generic, np.dtype, np.ufunc)
TOLD_BY_REPR += (torch.dtype, torch.device, torch.layout, torch.memory_format, ReferenceType)
DEEPEST = 100  # of nested values; what lies deeper is not told


class Structure:
    """The text that describes a module, and the tensors that the text speaks of.

    Parameters
    ----------
    module : torch.nn.Module

    Attributes
    ----------
    text : str
        With the dtypes and shapes of the tensors, not their content. Equal modules have equal texts in every process.
    tells_all : bool
        Whether nothing was met that the text may leave out: what lies too deep, scripted code, and values of which only
        the ``repr`` is known.
    tensors : list of torch.Tensor or ndarray
        Parameters and buffers, those as well that a state dict leaves out, and all others that were met on the way.
    """

    def __init__(self, module):
        self.tensors, self.told, self.waiting, self.tells_all = [], {}, [], True
        self.around = []  # what the value that is told of lies in
        texts = [self.of_module(module)]
        texts.extend(self.describe(value) for value in self.waiting)  # which grows meanwhile
        self.text = "\n".join(texts)

    def refer_to(self, value):
        """A number for a class, function or module, each of which is described once, after all else."""
        if value not in self.told:
            self.told[value] = len(self.told)
            self.waiting.append(value)
        return f"#{self.told[value]}"

    def describe(self, value):
        if isinstance(value, nn.Module):  # no part of the other, whose mode it does not follow
            return f"{[part.training for part in value.modules()]} {self.of_module(value)}"
        return self.describe_class(value) if isinstance(value, type) else self.describe_function(value)

    def of_module(self, module):
        """All parts that are not told of yet, one a line, and all tensors in them."""
        parts = [(name, part) for name, part in module.named_modules() if part is module or part not in self.told]
        for _, part in parts:
            self.told.setdefault(part, len(self.told))
        lines = [f"{name} {self.of_part(part)}" for name, part in parts]
        return "\n".join(lines + [f"{name} {self.of_tensor(tensor)}" for name, tensor in named_tensors(module)])

    def of_part(self, part):
        """A module without those in it; our own hooks only watch it, or hold it in evaluation."""
        self.tells_all &= not isinstance(part, torch.jit.ScriptModule)
        # in the order of their names, since a copy of an LSTM has them in another
        settings = dict(sorted(item for item in vars(part).items() if item[0] not in NOT_SETTINGS))
        hooks = [
            hook for name in HOOKS for hook in list(getattr(part, name).values()) if package_of(hook) != "sktricks"
        ]
        text = repr(settings) if all(map(is_simple, settings.values())) else self.of(settings)
        return f"{self.of_code(type(part))} {text} {self.of(hooks) if hooks else ''}"

    def of_code(self, value):
        """The name of a class or function, whose code is described elsewhere or told by that name."""
        if not is_known(value):
            return f"{name_of(value)} {self.refer_to(value)}"
        bases = value.__mro__[1:-1] if isinstance(value, type) else ()  # torch makes subclasses of the user's own
        return " ".join([name_of(value), *(self.refer_to(base) for base in bases if not is_known(base))])

    def describe_class(self, kind):
        """Its methods and constants, and its bases."""
        inside = [(name, value) for name, value in sorted(vars(kind).items()) if counts_in_class(name, value)]
        return f"{self.of(inside)} {[self.of_code(base) for base in kind.__bases__]}"

    def describe_function(self, function):
        """Its code, its defaults and attributes, what it has enclosed, and the globals that it names."""
        known = function.__globals__
        named = [(name, known[name]) for name in global_names(function.__code__) if name in known]
        defaults = function.__defaults__, function.__kwdefaults__
        return self.of((function.__code__, *defaults, vars(function), enclosed_in(function), named))

    def of_tensor(self, tensor):
        self.tensors.append(tensor)
        return f"{tensor.dtype} {tuple(tensor.shape)}"

    def of(self, value):
        """A setting or a piece of code."""
        if is_simple(value):
            return repr(value)
        if isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype != object):
            return self.of_tensor(value)
        if isinstance(value, FunctionType | type):
            return self.of_code(value)
        if isinstance(value, nn.Module):
            return self.refer_to(value)
        if isinstance(value, ModuleType):
            return value.__name__
        if any(value is other for other in self.around) or len(self.around) == DEEPEST:
            self.tells_all &= len(self.around) < DEEPEST
            return f"again {type(value).__qualname__}"
        self.around.append(value)
        try:
            return self.of_whole(value)
        finally:
            self.around.pop()

    def of_whole(self, value):
        """What is made of other values."""
        if isinstance(value, CodeType):
            return f"{value.co_code.hex()} {self.of(value.co_consts)} {value.co_names}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self.of, list(value)))}]"
        if isinstance(value, set | frozenset):
            return f"{{{', '.join(sorted(map(self.of, list(value))))}}}"
        if isinstance(value, dict):
            return self.of([*value.items()])
        if isinstance(value, np.ndarray):
            return self.of(value.tolist())
        inside = contents_of(value)
        if inside is not None:
            return self.of(inside)
        state = state_of(value)
        if state is None:
            self.tells_all &= is_told_by_repr(value)
            return describe_other(value)
        return f"{self.of_code(type(value))} {self.of(state)}"


def named_tensors(module):
    """All parameters, then all buffers, those as well that a state dict leaves out, each once; in one walk for both."""
    found = {}, {}
    for prefix, part in module.named_modules():
        for known, own in zip(found, (part._parameters, part._buffers), strict=True):
            for name, tensor in own.items():
                if tensor is not None:
                    known.setdefault(id(tensor), (f"{prefix}.{name}" if prefix else name, tensor))
    return [*found[0].values(), *found[1].values()]


def is_simple(value):
    """Whether a value is a number, a text or a pair of such, whose repr says everything."""
    return type(value) in SIMPLE or (type(value) is tuple and all(type(item) in SIMPLE for item in value))


def counts_in_class(name, value):
    """Methods, and constants; not what Python or a method notes in a class."""
    return is_method(value) or not (name.startswith("__") or isinstance(value, list | dict | set))


def is_method(value):
    return isinstance(value, FunctionType | staticmethod | classmethod | property)


@lru_cache(maxsize=4096)
def global_names(code):
    """The globals that a piece of code names, lambdas and comprehensions in it as well."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = [global_names(part) for part in code.co_consts if isinstance(part, CodeType)]
    return sorted(names.union(*inner))


def enclosed_in(function):
    """The values of its closure; a cell may be empty still."""
    return [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]


def contents_of(value):
    """What a callable is made of, if it is made of something."""
    if isinstance(value, partial):
        return value.func, value.args, value.keywords
    if isinstance(value, property):
        return (value.fget,)
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    if isinstance(value, staticmethod | classmethod):
        return (value.__func__,)
    return None


def state_of(value):
    """The attributes of a plain object; None of one whose repr has to tell, as that of a large package's."""
    kind = type(value)
    if package_of(kind) in VERSIONED | ASIDE:
        return None
    slots = [] if is_known(kind) else [slots_of(base) for base in kind.__mro__]
    state = {name: getattr(value, name) for names in slots for name in names if hasattr(value, name)}
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        return state | attributes
    return state or None


def slots_of(kind):
    """The attributes that a class keeps without a ``__dict__``."""
    slots = vars(kind).get("__slots__", ())
    return [name for name in ([slots] if isinstance(slots, str) else slots) if not name.startswith("__")]


def describe_other(value):
    """A built-in function or any object, without its address."""
    if package_of(type(value)) in ASIDE:
        return type(value).__qualname__
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{type(value).__qualname__} {value!r}")


def is_told_by_repr(value):
    """Whether a repr leaves nothing out; that of a configuration of transformers is its JSON."""
    return isinstance(value, TOLD_BY_REPR) or package_of(type(value)) == "transformers"


def package_of(value):
    return str(getattr(value, "__module__", None) or "").partition(".")[0]


def is_known(value):
    """Whether name and version tell the code of a class or function."""
    return package_of(value) in VERSIONED or package_of(value) in sys.stdlib_module_names


def name_of(value):
    """The full name of a class or function, with the version of its package where that tells of its code."""
    package = package_of(value)
    version = getattr(sys.modules.get(package), "__version__", "") if package in VERSIONED else ""
    return f"{value.__module__}.{value.__qualname__} {version}"
