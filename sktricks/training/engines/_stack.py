"""Many modules of one architecture as one: their parameters side by side, and one call for all."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.func import functional_call, vmap

from ._stacked_layers import apply, has_hooks, has_rules

FEW = 4  # rows that are enough to see whether the stack does what each module does
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


class Stack:
    """Modules whose trained parameters lie side by side in memory.

    Parameters
    ----------
    modules : list of torch.nn.Module
        Of one architecture, on one device and of one dtype.

    Attributes
    ----------
    parameters : list of Tensor
        Each trained parameter of all modules, (modules, ...).
    leaves : list of Tensor
        The same memory, of the modules that go on, for gradients to be taken of.
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
        """Go on with the first ``n`` modules; the others stay as they are."""
        self.constants = {name: value[:n] for name, value in self.constants.items()}
        self.leaves = [stacked[:n].detach().requires_grad_() for stacked in self.parameters]

    def __call__(self, x):
        """The outputs, (modules, rows, outputs), for ``x`` of shape (modules, rows, ...)."""
        state = {**dict(zip(self.names, self.leaves, strict=True)), **self.constants}
        outputs = apply(self.module, "", state, x) if self.has_rules else vmap(self._call_one)(state, x)
        return outputs.unsqueeze(2) if outputs.ndim == 2 else outputs

    def _call_one(self, state, x):
        return functional_call(self.module, state, (x,))

    def gradients(self, total):
        """The gradients of a sum over all modules, one a parameter, (modules, ...), None where it plays no part."""
        for leaf in self.leaves:
            leaf.grad = None
        total.backward(inputs=self.leaves)  # which lays a gradient out like its parameter
        return [leaf.grad for leaf in self.leaves]

    def write_back(self):
        """Give the modules what was learned."""
        for name, stacked in zip(self.names, self.parameters, strict=True):
            for module, value in zip(self.modules, stacked, strict=True):
                module.get_parameter(name).data.copy_(value)


def can_stack(module):
    """Whether a stack may be of use and right.

    Convolutions of many nets run slower together than one after the other, and dropout would draw otherwise.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    return (
        bool(trained)
        and all(p.ndim <= 2 for p in trained)
        and not any(has_hooks(part) or drops(part) for part in module.modules())
    )


def drops(part):
    """Whether a module is a dropout that leaves something out."""
    return isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0


def does_the_same(stack, x, n_outputs):
    """Whether a stack of modules in training mode does what each of them does by itself, found out on some rows.

    Not so where rows of a batch play together, buffers change (BatchNorm) or draws are random (dropout), nor where
    ``vmap`` has no way to do it.

    Parameters
    ----------
    stack : Stack
    x : Tensor of shape (modules, rows, ...)
    n_outputs : int
        Per row; a net that returns another number is trained, or refused, by itself.
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
    except Exception:  # whatever it is, each net by itself either meets it again or does not
        return False
