"""Find the stages of a net by recording one forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from itertools import pairwise

import torch

from ..freezing._layers import forward_hooks, own_tensors

MAX_STAGES, MIN_STAGES = 16, 4
WRAPPER_FRACTION = 0.75  # a module with a larger fraction of all layers is a wrapper, replaced by its children


@contextmanager
def recording_shapes(model):
    """Record the shape of the first output of each module that is called, as a dict by name."""
    shapes = {}

    def note(name, output):
        tensor = main_tensor(output)
        if tensor is not None:
            shapes.setdefault(name, tuple(tensor.shape))

    with forward_hooks(model, [name for name, _ in model.named_modules()], note):
        yield shapes


def main_tensor(output):
    """Return the main tensor of an output, which may be a tensor, a tuple, a mapping or an output of transformers."""
    for name in ("pooler_output", "last_hidden_state"):
        if isinstance(getattr(output, name, None), torch.Tensor):
            return getattr(output, name)
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return next((tensor for tensor in map(main_tensor, output) if tensor is not None), None)
    return output if isinstance(output, torch.Tensor) else None


def find_stages(model, order, shapes):
    """Return the names of the stages of a net, in execution order.

    Stages are the children of the net that have layers and return one row per image. A child that only wraps others, or
    is never called itself (such as a list of blocks), is replaced by its own children. If there are too many, only
    some are kept.

    Parameters
    ----------
    model : torch.nn.Module
    order : list of str
        The names of all modules, in execution order.
    shapes : dict
        The output shapes of the called modules, by name.
    """
    indices = {name: index for index, name in enumerate(order)}
    n_layers = {name: sum(bool(own_tensors(part)) for part in top.modules()) for name, top in model.named_modules()}

    def parts(name):
        prefix = name + "." if name else ""
        children = [prefix + child for child, _ in model.get_submodule(name).named_children()]
        return sorted((child for child in children if n_layers.get(child)), key=indices.get)

    def opened(name):
        wraps = n_layers[name] > WRAPPER_FRACTION * n_layers[""] and any(
            other.startswith(name + ".") for other in shapes
        )
        if name in shapes and not wraps:
            return [name]
        return [inner for part in parts(name) for inner in opened(part)]

    stages = [inner for part in parts("") for inner in opened(part)]
    stages = [name for name in stages if len(shapes.get(name, ())) > 1 and shapes[name][0] == shapes[""][0]]
    return thin_out(sorted(stages, key=indices.get), shapes)


def thin_out(stages, shapes):
    """Return at most ``MAX_STAGES`` stages: the last of each run of equal shapes, or every k-th from the last."""
    if len(stages) <= MAX_STAGES:
        return stages
    ends = [one for one, after in pairwise([*stages, None]) if after is None or shapes[one] != shapes[after]]
    stages = ends if len(ends) >= MIN_STAGES else stages
    step = -(-len(stages) // MAX_STAGES)
    return stages[::-step][::-1]


# -- channel axes ------------------------------------------------------------------------------------------------------


def find_channel_axes(layers, shapes):
    """Return the channel axis of each output, by the name of the module; the net itself is ``""``."""
    axes = {}
    for name, shape in shapes.items():
        inside = [layer.module for layer in layers if not name or f"{layer.name}.".startswith(name + ".")]
        widths = [module.weight.shape[0] for module in inside if ends_in_channels(module)]
        axes[name] = channel_axis(shape, widths[-1] if widths else None)
    return axes


def ends_in_channels(module):
    """Return True if a layer has one output channel per row of its weight; position embeddings do not."""
    return isinstance(getattr(module, "weight", None), torch.Tensor) and not isinstance(module, torch.nn.Embedding)


def channel_axis(shape, width):
    """Return the channel axis of an output of this shape, after a last layer of ``width`` channels.

    Tokens are (n, tokens, channels) and feature maps (n, channels, height, width), unless ``width`` indicates signals,
    (n, channels, length), or the feature maps of a Swin transformer, (n, height, width, channels).
    """
    if len(shape) == 3:
        return 1 if width == shape[1] != shape[2] else 2
    if len(shape) > 3 and width != shape[1] and (width == shape[-1] or shape[1] == shape[2] != shape[-1]):
        return len(shape) - 1
    return 1
