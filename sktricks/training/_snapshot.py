"""Restore a net to its state before a continued training if that training fails."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy

import torch

from ._divergence import parts_of

QUIET = {"train_loss", "valid_loss"}  # callbacks that change no module
CONTAINERS = ("_parameters", "_buffers", "_forward_pre_hooks", "_forward_hooks")  # changed by a training


@contextmanager
def kept_on_failure(net):
    """Restore a net if an error ends its training within the context; None, for a new net, has no state."""
    restore = None if net is None else snapshot(net)
    try:
        yield
    except BaseException:
        if restore is not None:
            restore()
        raise


@torch.no_grad()
def snapshot(net):
    """Return a function that restores the present state of a net: tensors, optimizer, history, settings, callbacks.

    Copying the net would be simpler, but takes four times as long as an epoch on a small table.
    """
    optimizer, parts = net.optimizer_, [part for _, module in parts_of(net) for part in module.modules()]
    others = [vars(one) for one in (net, optimizer, *(callback for _, callback in net.callbacks_))]
    held = [value for own in others for value in own.values() if isinstance(value, (dict, list))]  # e.g. the history
    held += [vars(part)[name] for part in parts for name in CONTAINERS]
    contents = [(one, one.copy() if one else ()) for one in (*others, *map(vars, parts), *held)]
    flags = [(p, p.requires_grad) for part in parts for p in part._parameters.values() if p is not None]
    changed = [p for p, trained in flags if trained or may_thaw(net)]
    changed += [buffer for part in parts for buffer in part._buffers.values() if buffer is not None]
    tensors = [(tensor, tensor.clone()) for tensor in changed]
    groups = [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
    state = {p: {name: copied(value) for name, value in kept.items()} for p, kept in optimizer.state.items()}

    @torch.no_grad()
    def restore():
        for one, before in contents:
            put_back(one, before)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        for tensor, values in tensors:
            tensor.copy_(values)
        put_back(optimizer.param_groups, groups)
        put_back(optimizer.state, state)

    return restore


def put_back(container, content):
    """Restore the content of a dict or list in place, since other objects may refer to it."""
    if container or content:
        container.clear()
        container.update(content) if isinstance(container, dict) else container.extend(content)


def may_thaw(net):
    """Return True if a callback may thaw parameters that are frozen now."""
    return any(name not in QUIET and not name.startswith("own_") for name, _ in net.callbacks_)


def copied(value):
    """Return a copy of the optimizer state of a parameter."""
    return value.clone() if isinstance(value, torch.Tensor) else deepcopy(value)
