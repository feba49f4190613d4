"""Store tensors, and torch's dtypes, devices and classes by their names."""

from __future__ import annotations

import re
import sys
from functools import cache

from ._codec import Codec, codec_by_name, entry, look_up, require
from ._values import read_array, write_array

DEVICE = re.compile(r"[a-z]{2,12}(:\d{1,3})?")


def is_torch(value, name):
    """Return True for an instance of ``torch.<name>``, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, name))


def write_tensor(tensor, name, writer):
    """Return the record of a tensor, stored as an array; dtypes that numpy lacks, such as bfloat16, become integers."""
    import torch

    tensor = tensor.detach().cpu()
    try:
        return write_array(tensor.numpy(), name, writer)
    except TypeError:
        integers = tensor.view(getattr(torch, f"int{8 * tensor.element_size()}"))
        return {**write_array(integers.numpy(), name, writer), "torch": str(tensor.dtype)}


def read_tensor(record, reader):
    """Read a tensor written by :func:`write_tensor`, to the CPU."""
    import torch

    array = read_array(record, reader)
    is_numeric = array.dtype.kind in "biufc" and array.dtype.isnative
    require(is_numeric, f"must be a tensor, got an array of dtype {array.dtype}")
    tensor = torch.from_numpy(array)
    if "torch" not in record:
        return tensor
    dtype = look_up(torch_dtypes(), entry(record, "torch", str), "a torch dtype")
    fits = dtype.is_floating_point and dtype.itemsize == tensor.element_size()
    require(fits, f"must be a tensor of a dtype that numpy lacks, got {dtype}")
    return tensor.view(dtype)


@cache
def torch_dtypes():
    """Return the dtypes of torch by name."""
    import torch

    return {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}


@cache
def torch_classes():
    """Return torch's own modules, losses and optimizers, by name."""
    import torch

    return {
        f"{room}.{name}": value
        for room, base in (("nn", torch.nn.Module), ("optim", torch.optim.Optimizer))
        for name, value in vars(getattr(torch, room)).items()
        if isinstance(value, type) and issubclass(value, base)
    }


def name_of_class(value):
    """Return the name of one of :func:`torch_classes`; None for anything else."""
    if not isinstance(value, type) or "torch" not in sys.modules:
        return None
    return next((name for name, known in torch_classes().items() if known is value), None)


def find_device(name):
    """Return a device by its name, whether or not it exists on this machine."""
    import torch

    require(DEVICE.fullmatch(name), f"must be the name of a device, got {name!r:.60}")
    return torch.device(name)


TENSORS = [
    Codec("tensor", lambda value: is_torch(value, "Tensor") and not value.is_sparse, write_tensor, read_tensor),
    codec_by_name(
        "dtype",
        lambda value: is_torch(value, "dtype"),
        str,
        lambda name: look_up(torch_dtypes(), name, "a torch dtype"),
    ),
    codec_by_name("device", lambda value: is_torch(value, "device"), str, find_device),
    codec_by_name(
        "torch",
        lambda value: name_of_class(value) is not None,
        name_of_class,
        lambda name: look_up(torch_classes(), name, "a torch class"),
    ),
]
