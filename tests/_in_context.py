"""A small net for tables with random weights, as a replacement of table1."""

import safetensors.torch
import torch

from sktricks.transfer._in_context_net import InContextNet


def draw_weights(seed=0, **sizes):
    """Draw the float16 weights of a small net for 6 columns and 4 classes; none is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = InContextNet(**{"n_columns": 6, "n_classes": 4, "width": 8, "depth": 2, "heads": 2, **sizes})
        for weight in net.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    return {name: weight.half() for name, weight in net.state_dict().items()}


def write(path, weights, **settings):
    safetensors.torch.save_file(weights, path, metadata=settings or None)
