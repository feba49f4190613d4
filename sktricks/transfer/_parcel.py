"""A module on its way to another process: its tensors travel as arrays.

joblib writes a large array to memory that all processes see, once for a whole search, however often it is sent. Of a
tensor it knows nothing, and torch would write its content into each message.
"""

from copy import deepcopy
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from ._structure import named_tensors

ARRAYS = WeakKeyDictionary()  # from a module to the arrays of its tensors, by place: joblib knows an array by its id

IN_NUMPY = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
IN_NUMPY |= {torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128}


class Parcel:
    """A module, which a pickle has as its parts and arrays; a copy has it as it is.

    Parameters
    ----------
    module : torch.nn.Module
    """

    def __init__(self, module):
        self.module = module

    def __reduce__(self):
        return Parcel, (with_arrays(self.module),)

    def __deepcopy__(self, memo):
        return Parcel(deepcopy(self.module, memo))


def unpacked(value):
    """The module in a parcel; anything else as it is."""
    return value.module if isinstance(value, Parcel) else value


class AsArray:
    """What stands for a tensor in a module that is pickled, and is a tensor again afterwards."""

    def __init__(self, array, kind, requires_grad):
        self.array, self.kind, self.requires_grad = array, kind, requires_grad

    def __reduce__(self):
        return tensor_of, (self.array, self.kind, self.requires_grad)


def tensor_of(array, kind, requires_grad):
    """A tensor or parameter with memory of its own."""
    tensor = torch.from_numpy(np.array(array))
    return nn.Parameter(tensor, requires_grad) if kind is nn.Parameter else tensor.requires_grad_(requires_grad)


def with_arrays(module):
    """A copy of a module with arrays in the place of tensors, fit for nothing but a pickle.

    A module that cannot be copied so, by a method of its own, comes back as it is.
    """
    known, arrays, instead = ARRAYS.get(module, {}), {}, {}
    for tensor in plain_tensors(module):
        place = tensor.data_ptr(), tensor.dtype, tensor.shape
        arrays[place] = known[place] if place in known else tensor.detach().numpy()
        instead[id(tensor)] = AsArray(arrays[place], type(tensor), tensor.requires_grad)
    try:
        parts = deepcopy(module, instead)
    except Exception:  # whatever that method raises
        return module
    ARRAYS[module] = arrays
    return parts


def plain_tensors(module):
    """The parameters and buffers that an array and a flag say everything about; the others are pickled as ever."""
    return [
        tensor
        for _, tensor in named_tensors(module)
        if type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.dtype in IN_NUMPY
        and tensor.is_leaf
        and tensor.is_contiguous()
        and not (vars(tensor) or tensor._backward_hooks)
    ]
