"""The default module for tables, and a function that builds a module from the parameters of a net."""

from __future__ import annotations

import inspect
import math
from copy import deepcopy
from itertools import chain

import torch
from torch import nn
from torch.nn import functional as F

from ._initial_weights import draw_weights


class Standardize(nn.Module):
    """Subtract the mean of the training rows and divide by their standard deviation.

    Parameters
    ----------
    n_features : int
        Number of columns.
    blocks : list of int, default=None
        Number of columns of each block. All columns of a block are divided by the root mean square of their standard
        deviations. None divides each column by its own standard deviation.
    """

    def __init__(self, n_features, blocks=None):
        super().__init__()
        self.blocks = blocks
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def learn(self, x, weight=None, dtype=None):
        """Learn mean and standard deviation from ``x``, of shape (n, n_features), and store them in ``dtype``."""
        dtype = self.mean.dtype if dtype is None else dtype
        self.mean, self.scale = (part.to(self.mean.device, dtype) for part in mean_and_scale(x, weight, self.blocks))

    def forward(self, x):
        return (x - self.mean).div_(self.scale)


@torch.no_grad()
def mean_and_scale(x, weight=None, blocks=None):
    """Return the mean and the divisor of each column, in float64; the divisor of a constant column is 1.

    All columns of a block have the same divisor; see :class:`Standardize`.
    """
    mean, scale = weighted_moments(x, weight)
    scale = torch.where(is_constant(mean, scale, len(x), x.dtype), 0.0, scale)
    if blocks is not None:
        scale = torch.cat([part.square().mean().sqrt().expand_as(part) for part in scale.split(blocks)])
    return mean, torch.where(scale > 0, scale, 1.0)


def weighted_moments(x, weight=None):
    """Return mean and standard deviation over the rows, in float64.

    For float64 columns, both are computed from the differences to the first row, divided by the largest difference.
    Otherwise, the squares of tiny or huge numbers would be out of range, and large numbers with small differences would
    lose their digits. For smaller dtypes, float64 has enough digits and range.
    """
    weight = torch.ones(len(x), dtype=torch.float64, device=x.device) if weight is None else weight.double()
    fraction, origin, unit = weight / weight.sum(), 0.0, 1.0
    wide, x = x.dtype == torch.float64, x.to(torch.float64, copy=True)
    if wide:
        origin = x[0].clone()
        low, high = torch.aminmax(x.sub_(origin), dim=0)
        unit = torch.maximum(-low, high)
        unit = torch.where(unit > 0, unit, 1.0)
        x.div_(unit)
    mean = fraction @ x
    spread = (fraction @ x.sub_(mean).square_()).sqrt()
    return origin + unit * mean, unit * spread


def is_constant(mean, spread, n_rows, dtype):
    """Return True for each column whose standard deviation may be only a rounding error.

    The first bound, on rounding in the sums over rows, is that of scikit-learn's ``StandardScaler``. The second bounds
    the rounding of the values themselves in ``dtype``.
    """
    rounding = max(n_rows * torch.finfo(torch.float64).eps, torch.finfo(dtype).eps)
    return spread <= rounding * mean.abs()


class CategoryEmbedding(nn.Module):
    """The sum of the embedding vectors of a row's categories.

    The vectors of a column are centered over the training rows, by the frequencies from :meth:`learn`. An unknown
    category has the vector zero, which represents the mean of the known ones.

    Parameters
    ----------
    n_categories : tuple of int
        Number of categories of each column.
    width : int
        Length of the vectors.
    std : float
        Standard deviation of the initial vectors.
    """

    def __init__(self, n_categories, width, std=1.0):
        super().__init__()
        sizes = torch.tensor(n_categories)
        self.vectors = nn.Parameter(torch.randn(int(sizes.sum()), width) * std)
        self.register_buffer("starts", sizes.cumsum(0) - sizes)
        self.register_buffer("column", F.one_hot(torch.arange(len(sizes)).repeat_interleave(sizes)).float())
        self.register_buffer("frequency", torch.zeros(len(sizes), len(self.vectors)))

    @torch.no_grad()
    def learn(self, indices, weight=None):
        """Learn the frequency of each category from the training rows, indices of shape (n, columns)."""
        weight = torch.ones(len(indices)) if weight is None else weight
        rows = rows_of(indices, self.starts)
        frequency = torch.zeros(len(self.vectors) + 1, dtype=torch.float64)
        for own in rows.T:
            frequency.index_add_(0, own, weight.double() / weight.double().sum())
        self.frequency.copy_(frequency[1:] * self.column.T)

    def forward(self, indices):
        vectors = center_vectors(self.vectors, self.column, self.frequency)
        return F.embedding(rows_of(indices, self.starts), vectors).sum(-2)


def rows_of(indices, starts):
    """Return the index of each category's vector; 0 means an unknown category."""
    indices = indices.long()
    return torch.where(indices > 0, indices + starts, 0)


def center_vectors(vectors, column, frequency):
    """Return the vectors minus the mean of their column, preceded by a vector of zeros."""
    return F.pad(vectors - column @ (frequency @ vectors), (0, 0, 1, 0))


class ResidualBlock(nn.Module):
    """``x + W2 relu(W1 norm(x))``; the second layer starts at zero, so the block starts as the identity."""

    def __init__(self, width, dropout=0.0):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.contract = nn.Linear(2 * width, width)
        nn.init.kaiming_normal_(self.expand.weight, nonlinearity="relu")
        nn.init.zeros_(self.expand.bias)
        nn.init.zeros_(self.contract.weight)
        nn.init.zeros_(self.contract.bias)

    def forward(self, x):
        return x + self.contract(self.dropout(torch.relu(self.expand(self.norm(x)))))


class ResidualMLP(nn.Module):
    """A residual multilayer perceptron for tables (Gorishniy et al. 2021), with standardized inputs.

    Parameters
    ----------
    n_features, n_outputs : int
    width : int, default=128
        Width of the hidden layers.
    depth : int, default=2
        Number of residual blocks.
    n_categories : tuple of int, default=()
        Number of categories of each categorical column. These columns follow the ``n_features`` numeric columns and
        contain indices that start at 1; each category has an embedding vector.
    dropout : float, default=0.0
        Dropout probability of the inner activations of each block.

    Notes
    -----
    Images are flattened. Without dropout, a row of weight 2 is equivalent to the row given twice.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        width: int = 128,
        depth: int = 2,
        n_categories: tuple = (),
        dropout: float = 0.0,
    ):
        super().__init__()
        std = 1 / math.sqrt(n_features + len(n_categories))
        self.n_features = n_features
        self.standardize = Standardize(n_features)
        self.embed = nn.Linear(max(1, n_features), width)
        if n_features == 0:  # torch would warn that it cannot initialize an empty weight
            self.embed.in_features, self.embed.weight = 0, nn.Parameter(torch.empty(width, 0))
        self.categories = CategoryEmbedding(n_categories, width, std) if n_categories else None
        self.blocks = nn.Sequential(*[ResidualBlock(width, dropout) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_outputs)
        if n_features:
            nn.init.normal_(self.embed.weight, std=std)
        nn.init.zeros_(self.embed.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def learn(self, x, weight=None):
        """Learn the means and scales of numbers and the frequencies of categories from the training rows."""
        numbers, indices = self.split(x.flatten(1))
        units = None if x.ndim > 2 else torch.float64  # tables may have any unit and offset; images lie in 0..1
        self.standardize.learn(numbers, weight, units)
        if self.categories is not None:
            self.categories.learn(indices, weight)

    def split(self, x):
        """Return the numeric columns and the categorical ones."""
        n_columns = self.n_features + (0 if self.categories is None else len(self.categories.starts))
        if x.shape[-1] != n_columns:
            raise ValueError(f"X must have {n_columns} columns for module='mlp', got {x.shape[-1]}")
        return x[..., : self.n_features], x[..., self.n_features :]

    def forward(self, x):
        numbers, indices = self.split(x.flatten(1))
        x = self.embed(self.standardize(numbers).to(self.embed.weight.dtype))
        if self.categories is not None:
            x = x + self.categories(indices)
        return self.head(torch.relu(self.norm(self.blocks(x))))


def make_module(module, x, weight, n_outputs, params, n_categories=(), init="default", dtype=torch.float32):
    """Return a new module for rows ``x``.

    Parameters
    ----------
    module : "mlp", module class, factory or torch.nn.Module
    x : Tensor of shape (n, ...)
        The training rows, from which the default module learns mean and standard deviation.
    weight : Tensor of shape (n,) or None
    n_outputs : int
    params : dict
        Keyword arguments of the constructor.
    n_categories : tuple of int
        Number of categories of each of the last columns of ``x``; empty unless the module is the default one.
    init : {"default", "he", "xavier"}
        Initial weights; ``"default"`` keeps those of the constructor.
    dtype : torch dtype
        Dtype of the default module; any other module keeps its own.
    """
    if isinstance(module, str) and module != "mlp":
        raise ValueError(f"module must be 'mlp', a torch module class, a factory or an instance, got {module!r}")
    if isinstance(module, nn.Module):
        if params:
            names = ", ".join(f"module__{name}" for name in params)
            raise ValueError(f"net_params has {names}, which requires a module class, got an instance: pass its class")
        if init != "default":
            raise ValueError(
                f"init={init!r} requires a module class, got an instance, which has its own weights: pass its class, "
                "or init='default'"
            )
        return deepcopy(module)
    factory = ResidualMLP if isinstance(module, str) else module
    offered = accepted(factory, n_features=x[0].numel() - len(n_categories), n_outputs=n_outputs)
    built = factory(**{**offered, **({"n_categories": n_categories} if n_categories else {}), **params})
    if not isinstance(built, nn.Module):
        raise TypeError(f"module must return a torch.nn.Module, but {module!r} returned an object of {type(built)}")
    if init != "default":
        draw_weights(built, init)
    if isinstance(module, str):
        built = built.to(dtype)
    if isinstance(built, ResidualMLP):
        built.learn(x, weight)
    return built


def dtype_of(module):
    """Return the dtype in which a module computes: that of its first floating-point parameter or buffer."""
    tensors = chain(module.parameters(), module.buffers())
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.get_default_dtype())


def accepted(factory, **offered):
    """Return those of the offered keyword arguments that the signature of ``factory`` accepts."""
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError:  # a built-in function may have no signature
        return {}
    return {name: value for name, value in offered.items() if name in parameters}
