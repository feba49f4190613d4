"""A stack of modules of one architecture, with stacked parameters and one call for all."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.func import functional_call, vmap

from ._stacked_layers import apply, has_hooks, has_rules

FEW = 4  # number of rows for the comparison of the stack with each module
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


class Stack:
    """Modules whose trained parameters are stacked.

    Parameters
    ----------
    modules : list of torch.nn.Module
        Modules of the same architecture, device and dtype.

    Attributes
    ----------
    parameters : list of Tensor
        Each trained parameter of all modules, of shape (modules, ...).
    leaves : list of Tensor
        Views of the parameters of the modules still in training, for autograd.
    """

    def __init__(self, modules):
        self.modules, self.module = modules, modules[0]
        states = [{**dict(module.named_parameters()), **dict(module.named_buffers())} for module in modules]
        self.names = [name for name, p in self.module.named_parameters() if p.requires_grad]
        stacked = {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}
        self.parameters = [stacked.pop(name) for name in self.names]
        self.constants, self.has_rules = stacked, has_rules(self.module)
        self.keep(len(modules))

    def keep(self, n):
        """Continue with the first ``n`` modules; the others keep their parameters."""
        self.constants = {name: value[:n] for name, value in self.constants.items()}
        self.leaves = [stacked[:n].detach().requires_grad_() for stacked in self.parameters]

    def __call__(self, x):
        """Return the outputs, (modules, rows, outputs), for ``x`` of shape (modules, rows, ...)."""
        state = {**dict(zip(self.names, self.leaves, strict=True)), **self.constants}
        outputs = apply(self.module, "", state, x) if self.has_rules else vmap(self._call_one)(state, x)
        return outputs.unsqueeze(2) if outputs.ndim == 2 else outputs

    def _call_one(self, state, x):
        return functional_call(self.module, state, (x,))

    def gradients(self, total):
        """Return the gradients of a sum over all modules, (modules, ...) per parameter, None for unused ones."""
        for leaf in self.leaves:
            leaf.grad = None
        total.backward(inputs=self.leaves)  # unlike autograd.grad, it gives gradients the layout of the parameters
        return [leaf.grad for leaf in self.leaves]

    def write_back(self):
        """Copy the parameters back to the modules."""
        for name, stacked in zip(self.names, self.parameters, strict=True):
            for module, value in zip(self.modules, stacked, strict=True):
                module.get_parameter(name).data.copy_(value)


def can_stack(module):
    """Return True if stacking may be correct and faster.

    Convolutions of many nets are slower together than one after the other, and dropout would draw other masks.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    return (
        bool(trained)
        and all(p.ndim <= 2 for p in trained)
        and not any(has_hooks(part) or drops(part) for part in module.modules())
    )


def drops(part):
    """Return True for dropout with a nonzero probability."""
    return isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0


def does_the_same(stack, x, n_outputs):
    """Return True if, for some rows, a stack of modules in training mode has the same outputs as each module alone.

    It does not if rows of a batch depend on each other, buffers change (BatchNorm), random numbers are drawn (dropout),
    or ``vmap`` does not support an operation.

    Parameters
    ----------
    stack : Stack
    x : Tensor of shape (modules, rows, ...)
    n_outputs : int
        Expected outputs per row; a net with another number is trained, or rejected, separately.
    """
    x = x[:, : 2 * FEW]
    half = (x.shape[1] + 1) // 2
    try:
        together = stack(x)
        if together.shape[2:] != (n_outputs,) or any(gradient is None for gradient in stack.gradients(together.sum())):
            return False
        alone = []
        for module, own in zip(stack.modules, x, strict=True):
            module = copy.deepcopy(module)
            before = [buffer.clone() for buffer in module.buffers()]
            with torch.no_grad():
                alone.append(module(own[:half]))
            if not all(torch.equal(a, b) for a, b in zip(before, module.buffers(), strict=True)):
                return False
        alone = torch.stack(alone)
        tolerance = TOLERANCE[together.dtype]
        return torch.allclose(together[:, :half].reshape(alone.shape), alone, rtol=tolerance, atol=tolerance)
    except Exception:  # if a net is at fault, it will raise the error again when trained alone
        return False
