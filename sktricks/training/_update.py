"""A step of Adam by torch's own functions, without what its optimizers do around them.

``step`` looks each weight over and makes a note for the profiler, which takes several times as long as the update of a
small net.
"""

from __future__ import annotations

import torch
from torch.optim import optimizer as of_all
from torch.optim.adam import adam
from torch.optim.adamw import adamw

FUNCTIONS = {torch.optim.Adam: adam, torch.optim.AdamW: adamw}
UNUSUAL = ("amsgrad", "maximize", "capturable", "differentiable")  # settings that are left to ``step``
HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
GLOBAL_HOOKS = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")


def update(optimizer):
    """What ``optimizer.step()`` does, to the bit; quicker where it is a fused Adam that has stepped before."""
    parts = None if is_watched(optimizer) else all_tensors(optimizer)
    if parts is None:
        return optimizer.step()
    function = FUNCTIONS[type(optimizer)]
    with torch.no_grad():
        for group, tensors in zip(optimizer.param_groups, parts, strict=True):
            if tensors[0]:
                update_group(function, group, *tensors)


def is_watched(optimizer):
    """Whether anybody wants to be called at each step, or has put something around it.

    Schedules do, only to count; those of an older torch do not say that they wrap ``step`` itself.
    """
    hooks = [(optimizer, name) for name in HOOKS] + [(of_all, name) for name in GLOBAL_HOOKS]
    if any(getattr(holder, name, True) for holder, name in hooks):  # a torch that has other names is left alone
        return True
    step = vars(optimizer).get("step")
    return step is not None and getattr(step, "__wrapped__", None) is not type(optimizer).step


def all_tensors(optimizer):
    """What :func:`tensors_of` gives for each group; None if ``step`` is needed."""
    kind, groups = type(optimizer), optimizer.param_groups
    unusual = (*UNUSUAL, "decoupled_weight_decay") if kind is torch.optim.Adam else UNUSUAL
    if kind not in FUNCTIONS or any(not group.get("fused") or any(map(group.get, unusual)) for group in groups):
        return None
    parts = [tensors_of(group, optimizer.state) for group in groups]
    return None if None in parts else parts


def tensors_of(group, states):
    """The weights of a group that have gradients, these, and what is kept of them; None where nothing is kept yet."""
    weights = [p for p in group["params"] if p.grad is not None]
    kept = [states.get(p) for p in weights]
    if not all(kept):
        return None
    names = "exp_avg", "exp_avg_sq", "step"
    return weights, [p.grad for p in weights], *([state[name] for state in kept] for name in names)


def update_group(function, group, weights, gradients, means, squares, steps):
    """Of one group, by torch's function for its optimizer."""
    beta1, beta2 = group["betas"]
    function(
        weights,
        gradients,
        means,
        squares,
        [],
        steps,
        fused=True,
        has_complex=any(p.is_complex() for p in weights),
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )
