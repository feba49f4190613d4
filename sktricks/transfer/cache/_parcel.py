"""Pickle modules with arrays instead of tensors.

joblib writes large arrays to memory shared by all processes of a search, and hashes their content to recognize a step
in ``Pipeline(memory=...)``. It does neither for torch tensors, whose pickles differ each time.
"""

from __future__ import annotations

import multiprocessing
from copy import deepcopy
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import torch
from torch import nn

from ._feature_cache import MEMORY_ONLY
from ._fingerprint import stamp_of

IN_NUMPY = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
IN_NUMPY |= {torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128}
PARTS: WeakKeyDictionary[nn.Module, tuple] = WeakKeyDictionary()  # stamp and content of the last pickle, by module
OPENED: dict[str, nn.Module] = {}  # in a worker process: the module that was unpickled last, by stamp
PARCELS: WeakValueDictionary[int, Parcel] = WeakValueDictionary()  # existing parcels, by the ids of their modules


class Parcel:
    """A wrapper that pickles a module with arrays instead of tensors, and copies it as usual.

    Parameters
    ----------
    module : torch.nn.Module
    """

    def __init__(self, module):
        self.packed_module = module

    def __deepcopy__(self, memo):
        return deepcopy(self.packed_module, memo)

    def __reduce__(self):
        if not all(is_copied_as_usual(type(part)) for part in self.packed_module.modules()):
            return Parcel, (self.packed_module,)
        return open_parcel, parts_of(self.packed_module)


def make_parcel(module):
    """Return the parcel of a module, shared by all estimators, so that a pickle contains the module only once."""
    return PARCELS.setdefault(id(module), Parcel(module))


def parts_of(module):
    """Return a module with arrays in place of tensors, and the module's stamp.

    The arrays are reused until the module changes: joblib recognizes an array by its identity, and would otherwise
    write all of them to shared memory again for each task.
    """
    stamp = stamp_of(module)
    last_stamp, parts = PARTS.get(module, (None, None))
    if last_stamp != stamp:
        tensors = [*module.parameters(), *module.buffers()]
        parts = deepcopy(module, {id(tensor): TensorAsArray(tensor) for tensor in tensors if is_plain(tensor)})
        PARTS[module] = stamp, parts
    return parts, stamp


def open_parcel(parts, stamp):
    """Return the module with tensors; in a worker process, all tasks of a search share it."""
    module = OPENED.get(stamp)
    if module is None or stamp_of(module) != stamp:
        module = deepcopy(parts)
        if multiprocessing.parent_process() is not None and not stamp.startswith(MEMORY_ONLY):
            OPENED.clear()
            OPENED[stamp] = module
    return module


class TensorAsArray:
    """An array that replaces a tensor in a module; deep-copying the module restores the tensor."""

    def __init__(self, tensor):
        self.array, self.requires_grad = tensor.detach().numpy(), tensor.requires_grad
        self.is_parameter = isinstance(tensor, nn.Parameter)

    def __deepcopy__(self, memo):
        tensor = torch.from_numpy(np.array(self.array))
        return nn.Parameter(tensor, self.requires_grad) if self.is_parameter else tensor


def is_copied_as_usual(kind):
    """Return True if modules of a class are copied attribute by attribute."""
    names = "__deepcopy__", "__getstate__", "__reduce__", "__reduce_ex__"
    own_state = kind.__setstate__.__module__.partition(".")[0] != "torch"
    return not own_state and all(getattr(kind, name, None) is getattr(nn.Module, name, None) for name in names)


def is_plain(tensor):
    """Return True if a tensor can be restored from an array and ``requires_grad``."""
    return (
        type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.dtype in IN_NUMPY
        and tensor.is_contiguous()
        and (isinstance(tensor, nn.Parameter) or not tensor.requires_grad)
        and not (vars(tensor) or tensor._backward_hooks)
    )
