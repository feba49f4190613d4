"""A net as it was before a training that went on from it, brought back if that training fails."""

from contextlib import contextmanager
from copy import deepcopy

import torch

from ._divergence import parts_of

QUIET = {"train_loss", "valid_loss"}  # callbacks that change no module


@contextmanager
def kept_on_failure(net):
    """Restore a net that is trained further inside if an error ends it; None, a net yet to be made, has no state."""
    restore = None if net is None else snapshot(net)
    try:
        yield
    except BaseException:
        if restore is not None:
            restore()
        raise


def snapshot(net):
    """A function that makes a net what it is now: its tensors, optimizer, history, settings and callbacks.

    Copying the net would be simple, and take four times as long as an epoch on a small table.
    """
    optimizer, parts = net.optimizer_, [part for _, module in parts_of(net) for part in module.modules()]
    objects = net, optimizer, *parts, *(callback for _, callback in net.callbacks_)
    held = [
        value for one in objects for value in vars(one).values() if isinstance(value, dict | list)
    ]  # hooks, history
    contents = [(one, one.copy()) for one in (*map(vars, objects), *held)]
    tensors = [(tensor, tensor.detach().clone()) for tensor in changeable_tensors(net)]
    flags = [(p, p.requires_grad) for part in parts for p in part.parameters(recurse=False)]
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
    """Give a dict or list its content again; the object stays the same, since others may hold it."""
    container.clear()
    container.update(content) if isinstance(container, dict) else container.extend(content)


def changeable_tensors(net):
    """Parameters that a training may change, and all buffers; frozen ones only where a callback may thaw them."""
    thaws = any(name not in QUIET and not name.startswith("own_") for name, _ in net.callbacks_)
    for _, module in parts_of(net):
        yield from (p for p in module.parameters() if thaws or p.requires_grad)
        yield from module.buffers()


def copied(value):
    """A copy of what an optimizer keeps of a parameter."""
    return value.clone() if isinstance(value, torch.Tensor) else deepcopy(value)
