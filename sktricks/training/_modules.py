"""The default module for tables, and what turns a module's parameters into a built one."""

import inspect
from copy import deepcopy

import torch
from torch import nn


class Standardize(nn.Module):
    """Subtract the mean and divide by the standard deviation of the training rows, told by :meth:`learn`.

    A column's standard deviation counts as at least ``floor`` times that of all columns (root mean square).
    """

    def __init__(self, n_features, floor=0.0):
        super().__init__()
        self.floor = floor
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    @torch.no_grad()
    def learn(self, x, weight=None):
        """Take mean and standard deviation from ``x``, of shape (n, n_features); a constant column keeps its scale."""
        mean, scale = weighted_moments(x, weight)
        scale = scale.clamp(min=self.floor * scale.square().mean().sqrt())
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 1e-7 * (1 + mean.abs()), scale, torch.ones_like(scale)))

    def forward(self, x):
        return (x - self.mean) / self.scale


def weighted_moments(x, weight=None):
    """Mean and standard deviation along the rows, in float64."""
    x = x.double()
    weight = torch.ones(len(x), dtype=x.dtype, device=x.device) if weight is None else weight.double()
    share = weight / weight.sum()
    mean = share @ x
    return mean, (share @ (x - mean).square()).sqrt()


class ResidualBlock(nn.Module):
    """``x + W2 relu(W1 norm(x))``; the second map is zero at first, so the block starts as the identity."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)
        nn.init.kaiming_normal_(self.expand.weight, nonlinearity="relu")
        nn.init.zeros_(self.expand.bias)
        nn.init.zeros_(self.contract.weight)
        nn.init.zeros_(self.contract.bias)

    def forward(self, x):
        return x + self.contract(torch.relu(self.expand(self.norm(x))))


class ResidualMLP(nn.Module):
    """A residual multilayer perceptron for tables (Gorishniy et al. 2021), with its inputs standardised.

    Parameters
    ----------
    n_features, n_outputs : int
    width : int, default=128
        Of the hidden layers.
    depth : int, default=2
        The number of residual blocks.

    Notes
    -----
    Images are flattened. There is no dropout, so that a weight of 2 is the same as a row given twice.
    """

    def __init__(self, n_features: int, n_outputs: int, width: int = 128, depth: int = 2):
        super().__init__()
        self.standardize = Standardize(n_features)
        self.embed = nn.Linear(n_features, width)
        self.blocks = nn.Sequential(*[ResidualBlock(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_outputs)
        nn.init.kaiming_normal_(self.embed.weight, nonlinearity="linear")
        nn.init.zeros_(self.embed.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        x = self.embed(self.standardize(x.flatten(1)))
        return self.head(torch.relu(self.norm(self.blocks(x))))


def make_module(module, x, weight, n_outputs, params):
    """A built module for rows ``x``.

    Parameters
    ----------
    module : "mlp", module class, factory or torch.nn.Module
    x : Tensor of shape (n, ...)
        The training rows, from which the default module learns its standardisation.
    weight : Tensor of shape (n,) or None
    n_outputs : int
    params : dict
        For the constructor.
    """
    if isinstance(module, str) and module != "mlp":
        raise ValueError(f"module must be 'mlp', a torch module class, a factory or an instance, got {module!r}")
    if isinstance(module, nn.Module):
        if params:
            names = ", ".join(f"module__{name}" for name in params)
            raise ValueError(f"net_params has {names}, but module is an instance: pass its class instead")
        return deepcopy(module)
    factory = ResidualMLP if isinstance(module, str) else module
    built = factory(**{**accepted(factory, n_features=x[0].numel(), n_outputs=n_outputs), **params})
    if isinstance(built, ResidualMLP):
        built.standardize.learn(x.flatten(1), weight)
    return built


def accepted(factory, **offered):
    """Those of the offered keyword arguments that ``factory``'s signature names."""
    parameters = inspect.signature(factory).parameters
    return {name: value for name, value in offered.items() if name in parameters}
