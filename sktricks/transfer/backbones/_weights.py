"""Files of weights: read without running anything in them, and compared with the net that they are for."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
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
    if not path.is_file():
        raise ValueError(f"there is no file of weights {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is refused: it holds more than weights{asked_for(error)}, and loading it could run code. "
            f"Save the state_dict alone, best with safetensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged or holds no weights: {str(error).splitlines()[0]}") from error
    return find_tensors(content, path)


def asked_for(error):
    """What a refused pickle would have imported, as far as torch says it."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f" ({found[1]})" if found else ""


def find_tensors(content, path):
    """The weights in what a checkpoint holds, whatever wraps them."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = {n: t for n, t in content.items() if isinstance(t, torch.Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise ValueError(f"{path} holds no weights: it must be a state_dict, got {type(content).__name__}")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
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


def misfit(path, name, differing):
    """The error about weights of another architecture."""
    shown = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
    return ValueError(f"the weights in {path} do not fit {name}: {len(differing)} keys differ ({shown})")
