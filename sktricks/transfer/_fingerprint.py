"""What decides the features of a backbone, as a short text: its code, its settings, its weights and buffers.

Nets of equal weights may still compute different things: another activation, another ``forward`` in a class that was
written anew in a notebook. So the text tells of all that a forward pass can meet, and is the same in every process.
"""

import hashlib
import re
import sys
from functools import partial
from types import CodeType, FunctionType, MethodType

import numpy as np
import torch
from torch import nn

from ._freeze import keep_evaluating

VERSIONED = {"torch", "torchvision", "timm", "transformers"}  # whose version tells of their code
BUILT_IN = {"builtins", "abc", "typing"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
NOT_SETTINGS = {
    *vars(nn.Module()),
    "_held_from_training",
    "_frozen_names",
    "_lr_factor",
}  # parts and tensors have their own turn
SIMPLE = {bool, int, float, str, type(None)}


def fingerprint_of(backbone, unchanged=False):
    """A hash of all that decides the features of a backbone; hashed anew only after a change.

    Where nobody can have changed the backbone, ``unchanged``, the fingerprint that it came with is taken.
    """
    known = vars(backbone).get("_known_fingerprint")
    if unchanged and known is not None:
        return known[1]
    stamp = stamp_of(backbone.model)
    if known is None or known[0] != stamp:
        digest = hashlib.sha256(f"{backbone.preprocess!r} {stamp[0]}".encode())
        for name, tensor in named_tensors(backbone.model):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(bytes_of(tensor))
        known = backbone._known_fingerprint = stamp, digest.hexdigest()[:32]
    return known[1]


def inherit_fingerprint(backbone, original):
    """Tell a fresh copy the fingerprint of the original, without looking at either again."""
    (structure, places), fingerprint = original._known_fingerprint
    tensors = [tensor for _, tensor in named_tensors(backbone.model)]
    places = [(*place_of(tensor), bits) for tensor, (_, _, bits) in zip(tensors, places, strict=True)]
    backbone._known_fingerprint = (structure, places), fingerprint


def same_content(one, other):
    """Whether two modules have the same code, settings, weights and buffers."""
    tensors, others = dict(named_tensors(one)), dict(named_tensors(other))
    if Structure().of_module(one) != Structure().of_module(other) or tensors.keys() != others.keys():
        return False
    pairs = [(tensor, others[name]) for name, tensor in tensors.items()]
    return all((a.dtype, a.device) == (b.dtype, b.device) and torch.equal(a, b) for a, b in pairs)


def stamp_of(module):
    """What a module is and where its tensors lie, equal only if nothing has changed; far quicker than hashing them.

    torch counts the changes of a tensor, but not those through ``.data`` or numpy: hence the sum of its bits as well.
    """
    tensors = [tensor for _, tensor in named_tensors(module)]
    places = [(*place_of(tensor), sum_of_bits(tensor)) for tensor in tensors]
    return hashlib.sha256(Structure().of_module(module).encode()).hexdigest(), places


def named_tensors(module):
    """All parameters and buffers, those as well that a state dict leaves out."""
    return [*module.named_parameters(), *module.named_buffers()]


def place_of(tensor):
    """Where a tensor lies, and torch's count of its changes; tensors of inference mode have none."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def bytes_of(tensor):
    """The content of a tensor, as an array of bytes."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()


def sum_of_bits(tensor):
    """The sum of a tensor's bytes, eight at a time."""
    content = bytes_of(tensor)
    whole = len(content) // 8 * 8
    return int(content[:whole].view(np.uint64).sum()), content[whole:].tobytes()


# -- code and settings -------------------------------------------------------------------------------------------------


class Structure:
    """Writes down the classes, code and settings of a module; each class and function once."""

    def __init__(self):
        self.told = set()

    def of_module(self, module):
        """All parts, one a line."""
        return "\n".join(f"{name} {self.of_part(part)}" for name, part in module.named_modules())

    def of_part(self, part):
        """A module without those in it."""
        settings = {name: value for name, value in vars(part).items() if name not in NOT_SETTINGS}
        hooks = [hook for name in HOOKS for hook in getattr(part, name).values() if hook is not keep_evaluating]
        text = repr(settings) if all(map(is_simple, settings.values())) else self.of(settings)
        return f"{self.of_class(type(part))} {text} {self.of(hooks) if hooks else ''}"

    def of_class(self, kind):
        """Its name and its methods, inherited ones as well."""
        if package_of(kind) in VERSIONED | BUILT_IN or kind in self.told:
            return name_of(kind)
        self.told.add(kind)
        methods = [value for _, value in sorted(vars(kind).items()) if is_method(value)]
        return f"{name_of(kind)} {self.of(methods)} {[self.of_class(base) for base in kind.__bases__]}"

    def of_function(self, function):
        """Its code, what it has enclosed, and the functions that it names."""
        if package_of(function) in VERSIONED or function in self.told:
            return name_of(function)
        self.told.add(function)
        named = [function.__globals__.get(name) for name in function.__code__.co_names]
        named = [other for other in named if isinstance(other, FunctionType)]
        enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
        return self.of((function.__code__, function.__defaults__, enclosed, named))

    def of(self, value):
        """A setting or a piece of code."""
        if is_simple(value):
            return repr(value)
        if isinstance(value, FunctionType):
            return self.of_function(value)
        if isinstance(value, type):
            return self.of_class(value)
        if isinstance(value, CodeType):
            return f"{value.co_code.hex()} {self.of(value.co_consts)} {value.co_names}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self.of, value))}]"
        if isinstance(value, set | frozenset):
            return f"{{{', '.join(sorted(map(self.of, value)))}}}"
        if isinstance(value, dict):
            return self.of([*value.items()])
        if isinstance(value, torch.Tensor | np.ndarray):
            return describe_tensor(torch.as_tensor(value))
        inside = contents_of(value)
        return self.of(inside) if inside is not None else describe_other(value)


def is_simple(value):
    """Whether a value is a number, a text or a pair of such, whose repr says everything."""
    return type(value) in SIMPLE or (type(value) is tuple and all(type(item) in SIMPLE for item in value))


def contents_of(value):
    """What a callable is made of, if it is made of something."""
    if isinstance(value, partial):
        return value.func, value.args, value.keywords
    if isinstance(value, property):
        return (value.fget,)
    if isinstance(value, MethodType | staticmethod | classmethod):
        return (value.__func__,)
    return None


def describe_tensor(tensor):
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(bytes_of(tensor)).hexdigest()}"


def describe_other(value):
    """A built-in function or any object, without its address."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{type(value).__qualname__} {value!r}")


def is_method(value):
    return isinstance(value, FunctionType | staticmethod | classmethod | property)


def package_of(value):
    return (value.__module__ or "").partition(".")[0]


def name_of(value):
    """The full name of a class or function, with the version of its package where that tells of its code."""
    package = package_of(value)
    version = getattr(sys.modules.get(package), "__version__", "") if package in VERSIONED else ""
    return f"{value.__module__}.{value.__qualname__} {version}"
