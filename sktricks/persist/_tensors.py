"""Tensors, and the names that torch has for types, devices and its own classes."""

from __future__ import annotations

import re
import sys
from functools import cache

from ._codec import Codec, Malformed, entry
from ._values import read_array, write_array

DEVICE = re.compile(r"[a-z]{2,12}(:\d{1,3})?")


def is_torch(value, name):
    """Whether a value is an instance of ``torch.<name>``; where torch is not loaded there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, name))


def write_tensor(tensor, name, writer):
    """A tensor as an array; of a type that numpy lacks, such as bfloat16, integers of its size."""
    import torch

    tensor = tensor.detach().cpu()
    try:
        return write_array(tensor.numpy(), name, writer)
    except TypeError:
        integers = tensor.view(getattr(torch, f"int{8 * tensor.element_size()}"))
        return {**write_array(integers.numpy(), name, writer), "torch": str(tensor.dtype)}


def read_tensor(record, reader):
    """What :func:`write_tensor` wrote, on the CPU."""
    import torch

    array = read_array(record, reader)
    if array.dtype.kind not in "biufc" or not array.dtype.isnative:
        raise Malformed(f"must be a tensor, got an array of the type {array.dtype}")
    tensor = torch.from_numpy(array)
    if "torch" not in record:
        return tensor
    dtype = look_up(torch_dtypes(), entry(record, "torch", str), "a type of torch")
    if not dtype.is_floating_point or dtype.itemsize != tensor.element_size():
        raise Malformed(f"must be a tensor of a type that numpy lacks, got {dtype}")
    return tensor.view(dtype)


def look_up(known, name, what):
    """What goes by a name in a closed list."""
    if name not in known:
        raise Malformed(f"must be the name of {what}, got {name!r:.60}")
    return known[name]


@cache
def torch_dtypes():
    """The types that torch has, by name."""
    import torch

    return {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}


@cache
def torch_classes():
    """The modules, losses and optimizers of torch itself, by name."""
    import torch

    return {
        f"{room}.{name}": value
        for room, base in (("nn", torch.nn.Module), ("optim", torch.optim.Optimizer))
        for name, value in vars(getattr(torch, room)).items()
        if isinstance(value, type) and issubclass(value, base)
    }


def name_of_class(value):
    """The name of a class of torch's own; None if it is none."""
    return next((name for name, known in torch_classes().items() if known is value), None)


def read_device(record, reader):
    """A device, whether it is there or not."""
    import torch

    name = entry(record, "value", str)
    if not DEVICE.fullmatch(name):
        raise Malformed(f"must be the name of a device, got {name!r:.60}")
    return torch.device(name)


TENSORS = [
    Codec("tensor", lambda value: is_torch(value, "Tensor") and not value.is_sparse, write_tensor, read_tensor),
    Codec(
        "dtype",
        lambda value: is_torch(value, "dtype"),
        lambda value, name, writer: {"value": str(value)},
        lambda record, reader: look_up(torch_dtypes(), entry(record, "value", str), "a type of torch"),
    ),
    Codec(
        "device",
        lambda value: is_torch(value, "device"),
        lambda value, name, writer: {"value": str(value)},
        read_device,
    ),
    Codec(
        "torch",
        lambda value: isinstance(value, type) and "torch" in sys.modules and name_of_class(value) is not None,
        lambda value, name, writer: {"value": name_of_class(value)},
        lambda record, reader: look_up(torch_classes(), entry(record, "value", str), "a class of torch"),
    ),
]
