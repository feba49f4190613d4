"""The net that reads a whole table: labeled rows as its context, and rows to predict."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

USUAL_ROWS = 100  # with a context of this size the attention is as sharp as in any transformer


class Attention(nn.Module):
    """Attention of rows to the rows of the context, in several heads (Vaswani et al. 2017).

    A head learns how much sharper it becomes with the logarithm of the number of context rows (Nakanishi 2025): among
    500 rows, the few that matter would otherwise count less than among 20.
    """

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.sharpness = nn.Parameter(torch.zeros(heads))
        nn.init.zeros_(self.out.weight)

    def split(self, x):
        """Return (tables, rows, width) as (tables, heads, rows, width of a head)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def read(self, context):
        """Return the keys and the values of the rows of the context."""
        keys, values = self.key_value(context).chunk(2, dim=-1)
        return self.split(keys), self.split(values)

    def forward(self, rows, memory):
        keys, values = memory
        sharpness = 1 + self.sharpness[:, None, None] * math.log(keys.shape[-2] / USUAL_ROWS)
        queries = self.split(self.query(rows))
        queries = queries * (sharpness / math.sqrt(keys.shape[-1])).to(queries.dtype)
        return self.out(attend(queries, keys, values).transpose(-2, -3).flatten(-2))


def attend(queries, keys, values):
    """Return the mean of the values for each query, weighted by the exponential of its products with the keys."""
    if queries.dtype == torch.bfloat16 and queries.device.type == "cpu":  # twice as fast there as torch's own
        return (queries @ keys.transpose(-1, -2)).softmax(-1) @ values
    return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)


class Layer(nn.Module):
    """Attention to the context, then a small MLP for each row; both start at zero and are added to the row."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = make_mlp(width)

    def read(self, context):
        """Return what other rows read of the context in this layer."""
        return self.attention.read(self.norm(context))

    def forward(self, rows, memory):
        rows = rows + self.attention(self.norm(rows), memory)
        return rows + self.mlp(rows)


def make_mlp(width):
    """Return an MLP whose output is zero before it is trained."""
    mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
    nn.init.zeros_(mlp[-1].weight)
    return mlp


class InContextNet(nn.Module):
    """Predict the labels of rows from the labeled rows of the same table, in one forward pass.

    As in TabPFN (Müller et al. 2022; Hollmann et al. 2023), each row is one token. A labeled row is the sum of its
    columns and of the vector of its label. All rows attend to the labeled rows alone, so the prediction for a row
    depends neither on other rows to predict nor on their number.

    Parameters
    ----------
    n_columns : int, default=50
        Number of columns; see :func:`sktricks.transfer._in_context_rows.place_columns`.
    n_classes : int, default=10
        The largest number of classes.
    width : int, default=192
        Length of the vector of a row.
    depth : int, default=6
        Number of layers.
    heads : int, default=4
        Number of attention heads of each layer.
    """

    def __init__(self, n_columns=50, n_classes=10, width=192, depth=6, heads=4):
        super().__init__()
        self.n_columns, self.n_classes = n_columns, n_classes
        self.embed = nn.Linear(2 * n_columns, width)
        self.mlp = make_mlp(width)
        self.label = nn.Embedding(n_classes, width)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(2 * n_columns))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def embed_rows(self, x):
        """Return the vectors of rows without labels."""
        x = self.embed(x)
        return x + self.mlp(x)

    def read_context(self, x, y):
        """Return what rows to predict read of the context: the keys and values of each layer.

        Parameters
        ----------
        x : Tensor of shape (tables, rows, 2 * n_columns)
        y : int Tensor of shape (tables, rows)
            Codes of the classes of each table, from 0.
        """
        rows, memory = self.embed_rows(x) + self.label(y), []
        for index, layer in enumerate(self.layers):
            memory.append(layer.read(rows))
            if index + 1 < len(self.layers):  # nothing reads what the last layer would make of the context
                rows = layer(rows, memory[-1])
        return memory

    def predict_rows(self, x, memory):
        """Return the logits of all ``n_classes`` codes for rows of the same tables, (tables, rows, n_classes)."""
        rows = self.embed_rows(x)
        for layer, read in zip(self.layers, memory, strict=True):
            rows = layer(rows, read)
        return self.head(self.norm(rows))

    def forward(self, x, y, x_new):
        return self.predict_rows(x_new, self.read_context(x, y))
