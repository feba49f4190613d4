"""Read weights files without running code, and compare the weights with a net."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")  # keys of checkpoints
PREFIXES = ("module.", "_orig_mod.")  # DataParallel and torch.compile add these to the names of weights


def read_weights(path):
    """Return the tensors in a safetensors file or a checkpoint of torch, by name.

    Raises
    ------
    ValueError
        If the file does not exist, is damaged, has no weights, or could run code when loaded.
    """
    path = Path(path)
    if not os.path.isfile(path):  # returns False for invalid paths as well
        raise ValueError(f"there is no weights file {path}")
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path} must be a safetensors file or a state_dict written by torch.save, got an empty file")
    try:
        if path.suffix == ".safetensors":
            return check_tensors(load_file(path), path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise refused(path, error) from error
    except Exception as error:  # damaged files may raise any error
        raise ValueError(f"{path} is damaged or contains no weights: {first_line(error)}") from error
    return check_tensors(find_tensors(content, path), path)


def refused(path, error):
    """Return the error for a pickle that contains more than weights."""
    name = name_in_pickle(error)
    what = f"contains more than weights{name}" if name else "is damaged or contains more than weights"
    return ValueError(
        f"{path} is refused, since it {what}, and loading it could run code: save only the state_dict, preferably with "
        "safetensors"
    )


def first_line(error):
    """Return the first line of an error's message, or its class if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def name_in_pickle(error):
    """Return the name that a refused pickle would have imported, as text, if torch reports it."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f" ({found[1]})" if found else ""


def find_tensors(content, path):
    """Return the weights in a checkpoint, without wrapping dicts and prefixes."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    items = content.items() if isinstance(content, Mapping) else ()
    tensors = {name: value for name, value in items if isinstance(name, str) and isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"{path} must contain a state_dict, got {type(content).__name__}")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def check_tensors(tensors, path):
    """Return the tensors, or raise an error if one of them cannot be a weight."""
    for name, tensor in tensors.items():
        is_dense = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_nested)
        if not is_dense or tensor.is_complex() or tensor.device.type != "cpu":
            kind = f"{tensor.layout} {tensor.dtype} on {tensor.device}"
            raise ValueError(
                f"{path} contains no usable weights: {name} must be a dense tensor of real numbers, got {kind}"
            )
    return tensors


def compare(model, weights, without=()):
    """Return the names of weights that are missing, unknown or of another shape, except in the modules ``without``.

    ``num_batches_tracked`` of BatchNorms may be missing.
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
    """Return the error for weights of another architecture.

    Parameters
    ----------
    path : path
    name : str
        Name of the net.
    differing : list of str
        Names of the weights that differ.
    strangers : list of str, default=()
        Names of the weights in the file, if the net has none of them.
    why : str, default=""
        Error message of the library, if all names and shapes fit.
    """
    what = f"{len(differing)} keys differ ({name_first(differing)})" if differing else why
    if strangers:
        what = f"they share no key; the net has {name_first(differing)}, the file {name_first(strangers)}"
    return ValueError(f"the weights in {path} do not fit {name}: {what}")


def misfit_of(path, name, model, weights, without=(), why=""):
    """Return the error of :func:`misfit` for a net and the weights in a file."""
    differing, own = compare(model, weights, without), model.state_dict().keys()
    if not own.isdisjoint(weights):
        return misfit(path, name, differing, why=why)
    return misfit(path, name, sorted(own), sorted(weights), why)


def name_first(names, most=3):
    """Return the first names, followed by dots if there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
