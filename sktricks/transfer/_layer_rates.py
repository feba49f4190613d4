"""Learning rates per layer of a backbone: lower than that of the head, and decreasing toward the input."""

from __future__ import annotations

from ..training._decay import has_no_decay
from .freezing._layers import own_tensors


def stage_depths(layers, stages):
    """Return the distance of each layer from the head: 1 in the last stage, 2 in the one before, and so on.

    Layers outside all stages belong to the last stage that ran before them, the first layers to the first stage.
    """
    depths, depth = [], len(stages)
    for layer in layers:
        for index, stage in enumerate(stages):
            if layer.name == stage or layer.name.startswith(stage + "."):
                depth = len(stages) - index
        depths.append(depth)
    return depths


def set_factors(layers, depths, scale, decay):
    """Store the factor of the learning rate, ``scale * decay ** depth``, in each layer's module.

    This is the usual layer-wise decay (Clark et al. 2020), with the full rate for the head. The factor is stored in the
    module, so that a thawed layer returns to its parameter group.
    """
    for layer, depth in zip(layers, depths, strict=True):
        layer.module._lr_factor = scale * decay**depth


def group_parameters(optimizer, module):
    """Split the parameter groups of a new optimizer by the factors of the layers of ``module``."""
    factors = {
        id(parameter): factor_of(part)
        for part in module.modules()
        if own_tensors(part)
        for parameter in part.parameters(recurse=False)
    }
    for group in list(optimizer.param_groups):
        options = {name: value for name, value in group.items() if name != "params"}
        parts = {}
        for parameter in group["params"]:
            parts.setdefault(factors.get(id(parameter), 1.0), []).append(parameter)  # 1.0 for parameters of a loss
        group["params"], group["lr_factor"] = parts.pop(1.0, []), 1.0
        for factor, parameters in parts.items():
            options_here = {**options, "lr": options["lr"] * factor, "lr_factor": factor}
            optimizer.add_param_group({"params": parameters, **options_here})


def factor_of(module):
    """Return the factor of a module's learning rate, 1.0 unless :func:`set_factors` has set it."""
    return getattr(module, "_lr_factor", 1.0)


def home_group(optimizer, module, parameter):
    """Return the group of an optimizer with the learning rate and weight decay for a parameter of a module."""
    factor = factor_of(module)
    groups = [g for g in optimizer.param_groups if g.get("lr_factor", 1.0) == factor] or optimizer.param_groups
    return next((g for g in groups if g.get("no_decay", False) == has_no_decay(parameter)), groups[0])
