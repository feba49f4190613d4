"""A step of Adam by torch's own functions, without what its optimizers do around them.

``step`` looks each weight over and makes a note for the profiler, which takes several times as long as the update of a
small net.
"""

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
    if type(optimizer) not in FUNCTIONS or is_watched(optimizer):
        return optimizer.step()
    parts = [(group, tensors_of(group, optimizer.state)) for group in optimizer.param_groups]
    if any(tensors is None for _, tensors in parts):
        return optimizer.step()
    with torch.no_grad():
        for group, tensors in parts:
            if tensors[0]:
                update_group(FUNCTIONS[type(optimizer)], group, *tensors)


def is_watched(optimizer):
    """Whether anybody wants to be called at each step."""
    hooks = [(optimizer, name) for name in HOOKS] + [(of_all, name) for name in GLOBAL_HOOKS]
    return any(getattr(holder, name, True) for holder, name in hooks)  # a torch that has other names is left alone


def tensors_of(group, states):
    """The weights of a group that have gradients, these, and what is kept of them; None if ``step`` is needed."""
    if not group.get("fused") or any(group.get(name) for name in UNUSUAL):
        return None
    weights = [p for p in group["params"] if p.grad is not None]
    kept = [states.get(p) for p in weights]
    if not all(kept):
        return None
    names = "exp_avg", "exp_avg_sq", "step"
    return weights, [p.grad for p in weights], *([state[name] for state in kept] for name in names)


def update_group(function, group, weights, gradients, means, squares, steps):
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
