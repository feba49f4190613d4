"""Reduce the channels of layers, for pruning and for loading a pruned net."""

from __future__ import annotations

from contextlib import contextmanager

from torch import nn
from torch.nn.utils import parametrize

from ._modules import Standardize

CONV, BATCH_NORM = nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm
TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked", "mean", "scale"}


def own_tensors(layer):
    """Return the parameters and buffers of a layer, without those of its children, by name."""
    return {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}


def can_narrow(layer):
    """Return True if the shapes of a layer's tensors determine all of its numbers of channels."""
    if not own_tensors(layer).keys() <= TENSORS or parametrize.is_parametrized(layer):
        return False
    if isinstance(layer, CONV):
        return not layer.transposed and (layer.groups == 1 or is_depthwise(layer))
    if isinstance(layer, nn.LayerNorm):
        return layer.elementwise_affine and len(layer.normalized_shape) == 1
    return isinstance(layer, nn.Linear | BATCH_NORM | Standardize)


def is_depthwise(conv):
    """Return True for a depthwise convolution."""
    return 1 < conv.groups == conv.in_channels == conv.out_channels


def narrow(module, shapes):
    """Reduce the tensors of a module to smaller shapes, in place; their values do not matter.

    Parameters
    ----------
    module : torch.nn.Module
    shapes : dict
        New shapes of parameters and buffers, by name; others keep their shapes.

    Raises
    ------
    ValueError
        If a layer cannot have such a shape.
    """
    for name, layer in module.named_modules():
        own = {}
        for key, tensor in own_tensors(layer).items():
            shape = tuple(shapes.get(f"{name}.{key}" if name else key, tensor.shape))
            if shape == tensor.shape:
                continue
            smaller = len(shape) == tensor.ndim and all(0 < n <= m for n, m in zip(shape, tensor.shape, strict=True))
            if not (smaller and can_narrow(layer)):
                raise ValueError(f"{name}.{key} of shape {tuple(tensor.shape)} cannot be reduced to {shape}")
            own[key] = tensor, shape
        if own:
            depthwise = isinstance(layer, CONV) and is_depthwise(layer)
            for key, (tensor, shape) in own.items():
                set_tensor(layer, key, tensor.detach()[tuple(slice(n) for n in shape)].clone())
            state_sizes(layer, depthwise)


def set_tensor(layer, key, values):
    """Replace a parameter or buffer of a layer; a parameter keeps its ``requires_grad``."""
    old = getattr(layer, key)
    is_parameter = isinstance(old, nn.Parameter)
    setattr(layer, key, nn.Parameter(values, requires_grad=old.requires_grad) if is_parameter else values)


def state_sizes(layer, depthwise):
    """Set the size attributes of a layer according to the shapes of its tensors."""
    first = next(iter(own_tensors(layer).values())).shape
    if isinstance(layer, CONV):
        layer.groups = first[0] if depthwise else 1
        layer.out_channels, layer.in_channels = first[0], first[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = first
    elif isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = tuple(first)
    elif isinstance(layer, BATCH_NORM):
        layer.num_features = first[0]


@contextmanager
def parameters_replaced(net):
    """Update the optimizer of a skorch net after parameters are replaced within the context.

    The new parameters have the same names and flags; the state of the old ones is dropped.
    """
    before = dict(net.module_.named_parameters())
    names, flags = {p: name for name, p in before.items()}, {name: p.requires_grad for name, p in before.items()}
    yield
    after = dict(net.module_.named_parameters())
    for name, parameter in after.items():
        parameter.requires_grad_(flags[name])
    for group in net.optimizer_.param_groups:
        group["params"] = [after[names[p]] if p in names else p for p in group["params"]]
    net.optimizer_.state.clear()
