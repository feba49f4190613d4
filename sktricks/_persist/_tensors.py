"""Tensors, and the names that torch has for types, devices and its own classes."""

import sys
from functools import cache

from ._codec import Codec
from ._values import read_array, write_array


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

    tensor = torch.from_numpy(read_array(record, reader))
    return tensor.view(torch_dtypes()[record["torch"]]) if "torch" in record else tensor


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

    return torch.device(record["value"])


TENSORS = [
    Codec("tensor", lambda value: is_torch(value, "Tensor") and not value.is_sparse, write_tensor, read_tensor),
    Codec(
        "dtype",
        lambda value: is_torch(value, "dtype"),
        lambda value, name, writer: {"value": str(value)},
        lambda record, reader: torch_dtypes()[record["value"]],
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
        lambda record, reader: torch_classes()[record["value"]],
    ),
]
