"""Files of weights: read without running anything in them, and compared with the net that they are for."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")  # of the weights in a checkpoint
PREFIXES = ("module.", "_orig_mod.")  # of the names of weights, from DataParallel and torch.compile


def read_weights(path):
    """The tensors in a safetensors file or in a checkpoint of torch, by their names.

    Raises
    ------
    ValueError
        If there is no such file, if it is damaged, if it holds no weights, or if loading it would run code.
    """
    path = Path(path)
    if not os.path.isfile(path):  # which is False, not an error, for a path that no file can have
        raise ValueError(f"there is no file of weights {path}")
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path} is empty: it must be a safetensors file or a state_dict that torch.save wrote")
    try:
        if path.suffix == ".safetensors":
            return check_tensors(load_file(path), path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise refused(path, error) from error
    except Exception as error:  # damaged files make the readers raise errors of all sorts
        raise ValueError(f"{path} is damaged or holds no weights: {first_line(error)}") from error
    return check_tensors(find_tensors(content, path), path)


def refused(path, error):
    """The error about a pickle that torch does not load as weights alone."""
    name = asked_for(error)
    what = f"holds more than weights{name}" if name else "is damaged or holds more than weights"
    return ValueError(
        f"{path} is refused: it {what}, and loading it could run code. Save the state_dict alone, best with safetensors"
    )


def first_line(error):
    """The beginning of an error's message, or its class if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def asked_for(error):
    """What a refused pickle would have imported, as far as torch says it."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f" ({found[1]})" if found else ""


def find_tensors(content, path):
    """The weights in what a checkpoint holds, whatever wraps them."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    items = content.items() if isinstance(content, Mapping) else ()
    tensors = {name: value for name, value in items if isinstance(name, str) and isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no weights: it must be a state_dict, got {type(content).__name__}")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def check_tensors(tensors, path):
    """The tensors, or an error if a net cannot take one of them as a weight."""
    for name, tensor in tensors.items():
        is_dense = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_nested)
        if not is_dense or tensor.is_complex() or tensor.device.type != "cpu":
            kind = f"{tensor.layout} {tensor.dtype} on {tensor.device}"
            raise ValueError(
                f"{path} holds no usable weights: {name} must be a dense tensor of real numbers, got {kind}"
            )
    return tensors


def compare(model, weights, without=()):
    """The names of the weights that are missing, of another shape or too many, but for those in the parts ``without``.

    What is derived, as the number of batches that a BatchNorm has seen, may be missing.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return sorted(
        name
        for name in expected.keys() | found.keys()
        if expected.get(name) != found.get(name)
        and not name.endswith("num_batches_tracked")
        and not any(name.startswith(part + ".") for part in without)
    )


def misfit(path, name, differing, strangers=(), why=""):
    """The error about weights of another architecture.

    Parameters
    ----------
    path : path
    name : str
        What the net is called.
    differing : list of str
        The names of the weights that differ.
    strangers : list of str, default=()
        The names in the file, if the net has none of them.
    why : str, default=""
        What the library says, for weights whose names and shapes fit.
    """
    what = f"{len(differing)} keys differ ({name_first(differing)})" if differing else why
    if strangers:
        what = f"no key is shared, the net has {name_first(differing)}, the file {name_first(strangers)}"
    return ValueError(f"the weights in {path} do not fit {name}: {what}")


def misfit_of(path, name, model, weights, without=(), why=""):
    """The same error about the weights in a file and the net that they should fit."""
    differing, own = compare(model, weights, without), model.state_dict().keys()
    if not own.isdisjoint(weights):
        return misfit(path, name, differing, why=why)
    return misfit(path, name, sorted(own), sorted(weights), why)


def name_first(names, most=3):
    """The first of some names, and dots if there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
