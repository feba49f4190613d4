"""Remove the least important channels of a net, and the weights that depend on them, with Torch-Pruning.

Torch-Pruning finds the layers whose channels depend on each other, such as those of a residual sum. It does not know
which channels of the stages of a backbone a head reads. Therefore a BatchNorm is attached to each stage whose running
means are the indices of the channels: it is pruned like any other layer, and shows which channels are left.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .._optional import import_optional
from .._text import name_some
from ..training._base_net import BaseNet
from ..training._narrow import CONV, can_narrow, own_tensors, parameters_replaced, set_tensor
from ..training._outputs import as_matrix
from ..training._precision import BFLOAT16
from ..transfer.backbones._stages import main_tensor
from ..transfer.freezing._layers import evaluating, forward_hooks

UNIT, NARROW = 8, 16  # layers with at least NARROW channels keep a multiple of UNIT, which is faster
NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


@dataclass
class Plan:
    """The layers of a net whose channels are removed stepwise.

    Attributes
    ----------
    widths : dict
        Original number of channels of each group of dependent layers, by the name of its first layer.
    kept : dict
        Names of the layers whose channels cannot be removed; a dict, since it keeps the order.
    """

    widths: dict[str, int] = field(default_factory=dict)
    kept: dict[str, None] = field(default_factory=dict)


def cut_channels(net: BaseNet, amount: float, plan: Plan) -> BaseNet:
    """Return a copy of a fitted net without a fraction of the channels of each layer.

    Parameters
    ----------
    net : BaseNet
        Channels may have been removed before.
    amount : float
        Fraction of the original number of channels.
    plan : Plan
        The plan of the same net; it is extended in place.

    Raises
    ------
    ValueError
        If no layer has channels that can be removed.
    """
    while True:
        other, names, runs = attempt(net, amount, plan)
        if runs:
            return other
        # The code of a net may depend on fixed numbers of channels.
        bad = [name for name in names if not attempt(net, amount, plan, only=name)[2]]
        plan.kept |= dict.fromkeys(bad or names)


def attempt(net, amount, plan, only=None):
    """Remove channels from a copy of a net.

    Parameters
    ----------
    only : str or None
        Name of the only group to prune; None prunes all.

    Returns
    -------
    The copy, the first layers of the groups that were pruned, and True if the copy runs.
    """
    other = deepcopy(net)
    with parameters_replaced(other._net), evaluating(other._net.module_):
        groups, numbered = find_groups(other, plan)
        names = [name for name in groups if only in (None, name)]
        surplus = {name: least_important(groups[name], plan.widths[name], amount) for name in names}
        surplus = {name: indices for name, indices in surplus.items() if indices}
        try:
            for name, indices in surplus.items():
                groups[name].prune(indices)
            follow_cut(other, numbered)
            other._net.infer({"x": example_of(other)})
        except Exception:  # the code of a net may raise any error
            return other, list(surplus), False
    return other, list(surplus), True


def find_groups(net, plan):
    """Return the groups of layers that can be pruned, by the name of the first layer, and the numbered outputs."""
    pruning = import_optional("torch_pruning", "prune")
    module, axes = traced_part(net)
    names, fixed = {part: name for name, part in module.named_modules()}, frozen_parts(module)
    with torch.enable_grad():
        x = example_of(net)
        numbered = Numbered(module, axes, x).eval().requires_grad_(True)  # tracing must see frozen layers as well
        if module is net._net.module_:
            fixed |= set(numbered.norms)  # these outputs are the predictions
        try:
            graph = pruning.DependencyGraph().build_dependency(numbered, (x,), verbose=False)
            groups = {names[group[0].dep.target.module]: group for group in graph.get_all_groups([], (CONV, nn.Linear))}
        except Exception as error:
            raise ValueError(
                "estimator must have a net that Torch-Pruning can trace, but it raised "
                f"{type(error).__name__}: {error}. Nets that shuffle or regroup channels in their code cannot be pruned"
            ) from error
    found = {}
    for name, group in groups.items():
        parts = [dep.target.module for dep, _ in group]
        if not fixed.isdisjoint(parts):
            continue
        if name not in plan.kept and all(map(can_be_cut, parts)):
            found[name] = group
            plan.widths.setdefault(name, len(group[0].idxs))
        else:
            plan.kept[name] = None
    if not found:
        refuse_net(plan)
    return found, numbered


def least_important(group, width, amount):
    """Return the indices of the channels to remove from a group that originally had ``width`` channels."""
    importance = import_optional("torch_pruning", "prune").importance.GroupMagnitudeImportance()
    n_surplus = len(group[0].idxs) - round_channels(width, amount)
    return importance(group).argsort(stable=True)[: max(n_surplus, 0)].tolist()


def round_channels(width, amount):
    """Return the number of channels to keep out of ``width``."""
    unit = UNIT if width >= NARROW else 1
    return max(unit, unit * int(width * (1 - amount) / unit + 0.5))


def can_be_cut(part):
    """Return True for layers whose channels can be removed, and for operations without parameters."""
    return isinstance(part, nn.Module) and (not own_tensors(part) or can_narrow(part))


def frozen_parts(module):
    """Return the frozen layers, whose channels are kept."""
    return {part for part in module.modules() if not all(p.requires_grad for p in part.parameters(recurse=False))}


def refuse_net(plan):
    """Raise an error for a net without layers that can be pruned."""
    named = f"; {name_some(plan.kept, 10)} cannot have fewer channels" if plan.kept else ""
    raise ValueError(
        f"estimator must have layers whose channels can be removed, but has none{named}. Convolutions, linear layers, "
        "BatchNorm and LayerNorm can be pruned, unless they are frozen or return the predictions"
    )


# -- what is traced ----------------------------------------------------------------------------------------------------


def has_backbone(net):
    """Return True for a net with a head on a backbone."""
    return getattr(net, "_prefix", None) is not None


def traced_part(net):
    """Return the module to trace, and the channel axes of the outputs that the head reads, by name."""
    if not has_backbone(net):
        return net._net.module_, {"": 1}
    prefix = net._prefix
    names = [*(prefix.stages or []), ""]  # "" is the whole model, since layers after the last stage depend on it
    return prefix.backbone.model, {name: prefix.backbone._channel_axes[name] for name in names}


def example_of(net):
    """Return two input rows for the module."""
    if has_backbone(net):
        backbone = net._prefix.backbone
        x = torch.rand(2, *backbone.input_shape, generator=torch.Generator().manual_seed(0)).to(backbone.dtype)
    else:
        x, prepare = net._blank_row().repeat_interleave(2, dim=0), net._net.prepare_valid_
        x = x if prepare is None else prepare(x, None, None)[0]
        x = x if net._net.input_dtype_ is None else x.to(net._net.input_dtype_)
    return x.to(net._device)


class Numbered(nn.Module):
    """A module that returns outputs of its submodules, with BatchNorms attached that number the channels.

    Parameters
    ----------
    module : torch.nn.Module
    axes : dict
        Channel axes of the outputs, by the names of the submodules; ``""`` is the module itself.
    x : Tensor
        An input of the module.
    """

    def __init__(self, module, axes, x):
        super().__init__()
        self.module, self.axes = module, axes
        with torch.no_grad():
            outputs = self.outputs(x)
        self.norms = nn.ModuleList(map(number_channels, outputs))
        self.n_channels = [output.shape[1] for output in outputs]

    def outputs(self, x):
        """Return the outputs, with the channels as the second axis."""
        found: dict[str, Any] = {}

        def note(name, output):
            # The next module may overwrite an output in place.
            found.setdefault(name, as_matrix(main_tensor(output)).clone().movedim(self.axes[name], 1))

        with forward_hooks(self.module, self.axes, note):
            self.module(x)
        return [found[name] for name in self.axes]

    def forward(self, x):
        return [norm(output) for norm, output in zip(self.norms, self.outputs(x), strict=True)]


def number_channels(output):
    """Return a BatchNorm for an output whose running means are the indices of its channels."""
    norm = NORMS[output.ndim](output.shape[1]).to(output.device, output.dtype)
    norm.running_mean = torch.arange(output.shape[1], device=output.device, dtype=output.dtype)
    return norm


# -- what follows ------------------------------------------------------------------------------------------------------


def follow_cut(net, numbered):
    """Adjust the head, and the net's records of its layers, to the channels that were removed."""
    if has_backbone(net):
        keep_columns(net._net.module_.head, kept_columns(net._prefix, numbered))
    net._follow_widths()
    if net._net.precision_ == BFLOAT16 and has_backbone(net):
        net._net.module_.to(memory_format=torch.channels_last)  # the format of the images


def kept_columns(prefix, numbered):
    """Return the indices of the features that are left, in the order of :func:`~..transfer.backbones._backbone.pool`.

    A stage has one feature per channel, its mean; with few channels, also the means over the four quarters, channel by
    channel.
    """
    columns, start = [], 0
    for width, n_channels, norm in zip(prefix.widths, numbered.n_channels, numbered.norms, strict=False):
        numbers = norm.running_mean.round().long()
        columns.append(start + numbers)
        if width > n_channels:
            quarters = torch.arange(4, device=numbers.device)
            columns.append(start + n_channels + (4 * numbers[:, None] + quarters).flatten())
        start += width
    return torch.cat(columns)


def keep_columns(head, columns):
    """Keep only the given input features of a head."""
    for name in ("mean", "scale"):
        set_tensor(head.standardize, name, getattr(head.standardize, name)[columns])
    set_tensor(head.linear, "weight", head.linear.weight.detach()[:, columns])
    head.linear.in_features = len(columns)
