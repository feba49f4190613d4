"""Many modules of one architecture as one: their parameters side by side, and one call for all."""

import copy

import torch
from torch.func import functional_call, vmap

from ._stacked_layers import apply, has_hooks, has_rules

FEW = 4  # rows that are enough to see whether the stack does what each module does
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


class Stack:
    """Modules whose trained parameters lie in the rows of one matrix.

    Parameters
    ----------
    modules : list of torch.nn.Module
        Of one architecture, on one device and of one dtype.

    Attributes
    ----------
    flat : Tensor of shape (modules, numbers)
        All trained parameters, a row a module.
    rows : list of Tensor
        The same memory as one tensor a parameter, (modules, ...), which gradients are taken of.
    """

    def __init__(self, modules):
        self.modules, self.module = modules, modules[0]
        states = [{**dict(module.named_parameters()), **dict(module.named_buffers())} for module in modules]
        self.names = [name for name, p in self.module.named_parameters() if p.requires_grad]
        self.constants = {
            name: torch.stack([state[name].detach() for state in states])
            for name in states[0]
            if name not in self.names
        }
        self.shapes = [states[0][name].shape for name in self.names]
        self.flat = torch.stack([flatten([state[name] for name in self.names]) for state in states])
        self.has_rules = has_rules(self.module)
        self.keep(len(modules))

    def keep(self, n):
        """Go on with the first ``n`` modules; the others stay as they are."""
        self.constants = {name: value[:n] for name, value in self.constants.items()}
        self.rows = [part.detach().requires_grad_() for part in unflatten(self.flat[:n], self.shapes)]

    def __call__(self, x):
        """The outputs, (modules, rows, outputs), for ``x`` of shape (modules, rows, ...)."""
        state = {**dict(zip(self.names, self.rows, strict=True)), **self.constants}
        outputs = apply(self.module, "", state, x) if self.has_rules else vmap(self._call_one)(state, x)
        return outputs.unsqueeze(2) if outputs.ndim == 2 else outputs

    def _call_one(self, state, x):
        return functional_call(self.module, state, (x,))

    def write_gradients(self, total, gradients):
        """Write the gradients of a sum over all modules to a matrix, (modules, numbers)."""
        parts = torch.autograd.grad(total, self.rows)
        torch.cat([part.reshape(len(part), -1) for part in parts], dim=1, out=gradients)

    def write_back(self):
        """Give the modules what their rows hold."""
        for module, row in zip(self.modules, self.flat, strict=True):
            own = dict(module.named_parameters())
            for name, value in zip(self.names, unflatten(row[None], self.shapes), strict=True):
                own[name].data.copy_(value[0])


def flatten(tensors):
    """Tensors one after the other, as one row."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def unflatten(flat, shapes):
    """The parts of rows (n, numbers) as tensors (n, ...), which share their memory."""
    parts = flat.split([shape.numel() for shape in shapes], dim=1)
    return [part.unflatten(1, shape) if len(shape) else part[:, 0] for part, shape in zip(parts, shapes, strict=True)]


def can_stack(module):
    """Whether a stack may be of use: convolutions of many nets run slower together than one after the other."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return bool(trained) and all(p.ndim <= 2 for p in trained) and not any(has_hooks(part) for part in module.modules())


def does_the_same(stack, x):
    """Whether a stack of modules in training mode does what each of them does by itself, found out on some rows.

    Not so where rows of a batch play together, buffers change (BatchNorm) or draws are random (dropout), nor where
    ``vmap`` has no way to do it.

    Parameters
    ----------
    stack : Stack
    x : Tensor of shape (modules, rows, ...)
    """
    x = x[:, : 2 * FEW]
    half = (x.shape[1] + 1) // 2
    try:
        together = stack(x)
        stack.write_gradients(together.sum(), torch.empty_like(stack.flat))  # an error where a parameter plays no part
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
