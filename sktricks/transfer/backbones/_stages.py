"""Which parts of a net are its stages, found by watching one forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from itertools import pairwise

import torch

from ..freezing._layers import own_tensors

MOST = 16  # stages; a net of more parts is thinned out
FEWEST = 4
NEARLY_ALL = 0.75  # of the layers: a part that holds so many is opened, being but a wrapper of the real parts


@contextmanager
def watching(model):
    """Inside, every module that is called notes the shape of its first output: a dict from names to shapes."""
    shapes = {}

    def note(name, output):
        tensor = main_tensor(output)
        if tensor is not None:
            shapes.setdefault(name, tuple(tensor.shape))

    hooks = [
        part.register_forward_hook(lambda module, inputs, output, name=name: note(name, output))
        for name, part in model.named_modules()
    ]
    try:
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()


def main_tensor(output):
    """The tensor that counts in what a module returns: a tensor, a tuple, a mapping or an object of transformers'."""
    for name in ("pooler_output", "last_hidden_state"):
        if isinstance(getattr(output, name, None), torch.Tensor):
            return getattr(output, name)
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return next((tensor for tensor in map(main_tensor, output) if tensor is not None), None)
    return output if isinstance(output, torch.Tensor) else None


def find_stages(model, order, shapes):
    """The names of the stages of a net, in execution order.

    The direct parts of the net that have layers and give something for each image. In the place of a part that only
    wraps the others, or that is never called itself, as a list of blocks is not, come its own parts. Where there are
    too many, as blocks of one resolution may be, only some count.

    Parameters
    ----------
    model : torch.nn.Module
    order : list of str
        The names of all modules, in execution order.
    shapes : dict
        The shapes of the outputs of those that are called.
    """
    places = {name: place for place, name in enumerate(order)}
    n_layers = {name: sum(bool(own_tensors(part)) for part in top.modules()) for name, top in model.named_modules()}

    def parts(name):
        prefix = name + "." if name else ""
        children = [prefix + child for child, _ in model.get_submodule(name).named_children()]
        return sorted((child for child in children if n_layers.get(child)), key=places.get)

    def opened(name):
        wraps = n_layers[name] > NEARLY_ALL * n_layers[""] and any(other.startswith(name + ".") for other in shapes)
        if name in shapes and not wraps:
            return [name]
        return [inner for part in parts(name) for inner in opened(part)]

    stages = [inner for part in parts("") for inner in opened(part)]
    stages = [name for name in stages if len(shapes.get(name, ())) > 1 and shapes[name][0] == shapes[""][0]]
    return thin_out(sorted(stages, key=places.get), shapes)


def thin_out(stages, shapes):
    """At most ``MOST`` stages: the last of each run of equal shapes, or every so many-th, counted from the last."""
    if len(stages) <= MOST:
        return stages
    ends = [one for one, after in pairwise([*stages, None]) if after is None or shapes[one] != shapes[after]]
    stages = ends if len(ends) >= FEWEST else stages
    step = -(-len(stages) // MOST)
    return stages[::-step][::-1]


# -- where the channels are --------------------------------------------------------------------------------------------


def find_channel_axes(layers, shapes):
    """The axis of the channels in the output of each module that is called, by its name; the net's own is ``""``."""
    axes = {}
    for name, shape in shapes.items():
        inside = [layer.module for layer in layers if not name or f"{layer.name}.".startswith(name + ".")]
        widths = [module.weight.shape[0] for module in inside if ends_in_channels(module)]
        axes[name] = channel_axis(shape, widths[-1] if widths else None)
    return axes


def ends_in_channels(module):
    """Whether a layer has as many outputs as its weight has rows; an embedding of positions has not."""
    return isinstance(getattr(module, "weight", None), torch.Tensor) and not isinstance(module, torch.nn.Embedding)


def channel_axis(shape, width):
    """The axis of the channels in an output of this shape, if the last layer before it has ``width`` channels.

    Tokens are (n, tokens, channels) and maps (n, channels, height, width) unless the width says otherwise: signals are
    (n, channels, length), and the maps of a Swin transformer (n, height, width, channels).
    """
    if len(shape) == 3:
        return 1 if width == shape[1] != shape[2] else 2
    if len(shape) > 3 and width != shape[1] and (width == shape[-1] or shape[1] == shape[2] != shape[-1]):
        return len(shape) - 1
    return 1
