"""Learning rates of the layers of a backbone: lower than that of the head, and lower the closer to the image."""

from __future__ import annotations

from ..training._decay import has_no_decay
from .freezing._layers import own_tensors


def stage_depths(layers, stages):
    """Return the distance of each layer from the head: 1 in the last stage, 2 in the one before, and so on.

    Layers outside all stages go with the stage that ran last before them, the first ones with the first stage.
    """
    depths, depth = [], len(stages)
    for layer in layers:
        for index, stage in enumerate(stages):
            if layer.name == stage or layer.name.startswith(stage + "."):
                depth = len(stages) - index
        depths.append(depth)
    return depths


def set_factors(layers, depths, scale, decay):
    """Store the factor ``scale * decay ** depth`` of its learning rate in each layer's module.

    The usual layer-wise decay (Clark et al. 2020): the head learns at the full rate. The factor is kept at the module,
    so that a layer that thaws finds its group again.
    """
    for layer, depth in zip(layers, depths, strict=True):
        layer.module._lr_factor = scale * decay**depth


def group_parameters(optimizer, module):
    """Give an optimizer that has not stepped yet a group for each factor that the layers of ``module`` have."""
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
            parts.setdefault(factors.get(id(parameter), 1.0), []).append(parameter)  # a loss may have some too
        group["params"], group["lr_factor"] = parts.pop(1.0, []), 1.0
        for factor, parameters in parts.items():
            options_here = {**options, "lr": options["lr"] * factor, "lr_factor": factor}
            optimizer.add_param_group({"params": parameters, **options_here})


def factor_of(module):
    """Return the factor of a module's learning rate, 1.0 unless :func:`set_factors` has set another."""
    return getattr(module, "_lr_factor", 1.0)


def home_group(optimizer, module, parameter):
    """Return the group of an optimizer for a parameter of a module: that of its rate and of its weight decay."""
    factor = factor_of(module)
    groups = [g for g in optimizer.param_groups if g.get("lr_factor", 1.0) == factor] or optimizer.param_groups
    return next((g for g in groups if g.get("no_decay", False) == has_no_decay(parameter)), groups[0])
