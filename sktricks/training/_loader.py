"""Load arrays in memory batch by batch.

torch's ``DataLoader`` fetches single rows and stacks them, which for small nets takes more than half of the time.
:class:`BatchLoader` takes a batch with one index operation.
"""

from __future__ import annotations

import torch

from ..images._read_ahead import read_ahead
from ._inputs import LazyImages


class ArrayDataset(torch.utils.data.Dataset):
    """A dataset of tensors with one row per sample.

    Parameters
    ----------
    x : Tensor of shape (n, ...)
        Inputs of the module, before the preparation of each batch.
    y : Tensor of shape (n,) or (n, outputs)
    weight : Tensor of shape (n,) or None
        Weight of each row in the loss.
    """

    def __init__(self, x, y, weight=None):
        self.x, self.y, self.weight = x, y, weight

    def __len__(self):
        return len(self.x)

    def __getitem__(self, rows):
        inputs = {"x": take(self.x, rows)}
        if self.weight is not None:
            inputs["weight"] = take(self.weight, rows)
        return inputs, take(self.y, rows)

    def cast(self, dtype):
        """Cast tables, regression targets and weights; images and class codes keep their dtype."""
        self.weight = None if self.weight is None else self.weight.to(dtype)
        if self.x.ndim == 2:
            self.x = self.x.to(dtype)
        if self.y is not None and self.y.is_floating_point():
            self.y = self.y.to(dtype)


def take(tensor, rows):
    """Return ``tensor[rows]``; for a tensor of indices, ``index_select`` is several times as fast."""
    return tensor.index_select(0, rows) if isinstance(rows, torch.Tensor) else tensor[rows]


class BatchLoader:
    """Load an :class:`ArrayDataset` in batches, each by one index operation.

    A single row in the last batch is added to the previous batch, since BatchNorm cannot train on one row.

    Parameters
    ----------
    dataset : ArrayDataset
    batch_size : int
    shuffle : bool, default=False
        Use a new random order in each pass.
    seed : int, default=0
        Seed for shuffling; torch's global generator is not used.
    """

    def __init__(self, dataset, batch_size=128, shuffle=False, seed=0):
        self.dataset, self.shuffle = dataset, shuffle
        self.generator = torch.Generator().manual_seed(seed)
        self.bounds = batch_bounds(len(dataset), batch_size)

    def __len__(self):
        return len(self.bounds)

    def __iter__(self):
        order = self.draw_order() if self.shuffle else None
        parts = [slice(*bounds) if order is None else order[slice(*bounds)] for bounds in self.bounds]
        x = getattr(self.dataset, "x", None)  # skorch's own datasets have no attribute x
        if not isinstance(x, LazyImages) or not x.reads_files():
            yield from map(self.dataset.__getitem__, parts)
            return
        for batch in read_ahead(self.dataset.__getitem__, parts):
            x.files.warn_of_odd_shapes()
            yield batch

    def draw_order(self):
        """Draw the order of the rows for the next pass."""
        return torch.randperm(len(self.dataset), generator=self.generator)


def batch_bounds(n_rows, batch_size):
    """Return the start and stop indices of each batch."""
    edges = [*range(0, n_rows, batch_size), n_rows]
    if len(edges) > 2 and edges[-1] - edges[-2] == 1:
        del edges[-2]
    return list(zip(edges[:-1], edges[1:], strict=True))
