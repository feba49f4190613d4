"""The layers of a module in execution order, and boundaries between them.

Modules are registered in the order of the constructor, but "the first ten layers" of a net are those that process an
image first. Therefore a forward pass is recorded.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from numbers import Integral, Real
from typing import NamedTuple

import torch
from torch import nn

from ..._text import name_some


class Layer(NamedTuple):
    """A module with parameters or buffers of its own."""

    name: str
    module: nn.Module


def own_tensors(module):
    """Return the parameters and buffers of a module, without those of its children."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


@contextmanager
def evaluating(module):
    """Switch to evaluation mode without gradients within the context, and restore the mode of every module."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


class Listener:
    """A forward hook that is active only for one module and in the thread that created it.

    Copies and pickles are inactive: several threads may predict with one module, each with its own hooks, while another
    one copies the module.

    Parameters
    ----------
    part : torch.nn.Module
    name : str
    note : callable
        Called with the name and the output of each forward pass.
    """

    def __init__(self, part=None, name="", note=None):
        self.part, self.name, self.note, self.thread = part, name, note, threading.get_ident()

    def __call__(self, part, inputs, output):
        if part is self.part and threading.get_ident() == self.thread:
            self.note(self.name, output)

    def __reduce__(self):
        return Listener, ()


@contextmanager
def forward_hooks(module, names, note):
    """Call ``note(name, output)`` after each forward pass of these modules in this thread, within the context."""
    parts = {name: module.get_submodule(name) for name in names}
    hooks = [part.register_forward_hook(Listener(part, name, note)) for name, part in parts.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def call_order(module, run):
    """Return the names of all modules in the order of their first calls in ``run()``, a forward pass.

    A module that is never called follows the one registered before it: its parameters are used by a neighbor, as in the
    output projection of attention.
    """
    names = {part: name for name, part in module.named_modules()}
    called = []

    def note(part, inputs):
        if names[part] not in called:
            called.append(names[part])

    hooks = [part.register_forward_pre_hook(note) for part in names]
    try:
        with evaluating(module):
            run()
    finally:
        for hook in hooks:
            hook.remove()
    registered = list(names.values())
    for index, name in enumerate(registered):
        if name not in called:
            called.insert(called.index(registered[index - 1]) + 1 if index else 0, name)
    return called


def layers_of(module, order):
    """Return the layers of a module, in the given order of names."""
    parts = dict(module.named_modules())
    return [Layer(name, parts[name]) for name in order if own_tensors(parts[name])]


# -- boundaries --------------------------------------------------------------------------------------------------------


def find_boundary(layers, freeze_until):
    """Return the number of layers that ``freeze_until`` freezes.

    Parameters
    ----------
    layers : list of Layer
        In execution order.
    freeze_until : int, float, str or None
    """
    n = len(layers)
    if freeze_until is None:
        return 0
    if isinstance(freeze_until, str):
        return find_name(layers, freeze_until)
    if isinstance(freeze_until, bool) or not isinstance(freeze_until, Real):
        raise TypeError(f"freeze_until must be an int, a float, a name or None, got {freeze_until!r}")
    if isinstance(freeze_until, Integral):
        return check_count(layers, int(freeze_until))
    if not 0 <= freeze_until <= 1:
        raise ValueError(f"freeze_until must lie in [0, 1] as a fraction of the layers, got {freeze_until}")
    return round(freeze_until * n)


def check_count(layers, n_frozen):
    """Return the number of layers to freeze, or raise an error if it is out of range."""
    n = len(layers)
    if n_frozen < 0:
        raise ValueError(
            f"freeze_until must be at least 0, got {n_frozen}: it counts layers from the first one. To leave the last "
            f"{min(-n_frozen, n)} of the {n} layers trainable, pass freeze_until={max(n + n_frozen, 0)}"
        )
    if n_frozen > n:
        raise ValueError(
            f"freeze_until must be at most {n}, the number of layers, got {n_frozen}; " + describe_parts(layers)
        )
    return n_frozen


def find_name(layers, name):
    """Return the index of the first layer in the module of this name."""
    for index, layer in enumerate(layers):
        if layer.name == name or layer.name.startswith(name + "."):
            return index
    if name != "head":
        is_number = re.fullmatch(r"\d*\.?\d+", name)
        cure = f"did you mean the number {name}?" if is_number else describe_parts(layers)
        raise ValueError(f"freeze_until={name!r} matches no layer: {cure}")
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return max((index for index, layer in enumerate(layers) if isinstance(layer.module, kinds)), default=len(layers))


def check_trainable(layers, freeze_until):
    """Return the result of :func:`find_boundary`, or raise an error if no layer is left to train."""
    n_frozen = find_boundary(layers, freeze_until)
    if n_frozen == len(layers):
        raise ValueError(
            f"freeze_until={freeze_until!r} freezes all {len(layers)} layers, so that none is left to train: "
            + describe_parts(layers)
        )
    return n_frozen


def describe_parts(layers):
    """Return the hint at the end of an error: the names of the outermost modules, and how to list all layers."""
    names = list(dict.fromkeys(layer.name.partition(".")[0] for layer in layers))
    return f"the modules are {name_some(names, 10)}; layer_table(net) lists all layers of a fitted net"


# -- the table of layers -----------------------------------------------------------------------------------------------


class LayerTable(list):
    """The layers of a net; ``print`` shows them as a table."""

    def __str__(self):
        return format_layers(self)

    def __repr__(self):
        n_trainable = sum(is_trainable(layer) for layer in self)
        return f"<LayerTable: {len(self)} layers, {n_trainable} trainable>"


def layer_table(estimator) -> LayerTable:
    """Print the layers of a fitted net: index, name, shape, number of parameters, and whether they are trainable.

    Parameters
    ----------
    estimator : estimator with a skorch net in ``net_``, skorch.NeuralNet or torch.nn.Module
        For estimators of this package, layers are listed in execution order, otherwise in the order of registration.

    Returns
    -------
    table : LayerTable
        The list of layers, each with ``name`` and ``module``.

    Examples
    --------
    >>> from torch import nn
    >>> from sktricks import freeze_layers, layer_table
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    >>> frozen = freeze_layers(net, "head")
    >>> table = layer_table(net)
    index  name  layer        shape   parameters  trainable
        0  0     Linear       8 x 4           40  no
        1  1     BatchNorm1d  8               16  no
        2  3     Linear       2 x 8           18  yes
    """
    net = getattr(estimator, "net_", estimator)
    module = getattr(net, "module_", net)
    if not isinstance(module, nn.Module):
        raise TypeError(f"estimator must be a fitted net or a torch module, got {type(estimator).__name__}")
    own = getattr(estimator, "_layers", None)
    table = LayerTable(own() if own else layers_of(module, [name for name, _ in module.named_modules()]))
    print(table)
    return table


def is_trainable(layer):
    """Return True if a parameter of a layer is trainable."""
    return any(parameter.requires_grad for parameter in layer.module.parameters(recurse=False))


def format_layers(layers):
    """Return the table as text."""
    rows = [("index", "name", "layer", "shape", "parameters", "trainable")]
    rows += [describe(index, Layer(*layer)) for index, layer in enumerate(layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    right = (True, False, False, False, True, False)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if flag else cell.ljust(width)
            for cell, width, flag in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def describe(index, layer):
    """Return a layer as a row of the table."""
    parameters = list(layer.module.parameters(recurse=False))
    shape = " x ".join(map(str, parameters[0].shape)) if parameters else ""
    n_parameters = f"{sum(parameter.numel() for parameter in parameters):,}"
    return (
        str(index),
        layer.name,
        type(layer.module).__name__,
        shape,
        n_parameters,
        "yes" if is_trainable(layer) else "no",
    )
