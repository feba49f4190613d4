"""He and Xavier initialization, which replace the initial weights of a module's constructor."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

INITIALIZERS = {"he": partial(nn.init.kaiming_normal_, nonlinearity="relu"), "xavier": nn.init.xavier_uniform_}


@torch.no_grad()
def draw_weights(module, init):
    """Draw new weights for all linear layers and convolutions of a module, and set their biases to 0.

    A weight tensor of zeros is kept, since a residual block may start as the identity.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    init : {"he", "xavier"}
        ``"he"`` is normal with variance 2 / inputs, for layers before a ReLU (He et al. 2015); ``"xavier"`` is uniform
        with variance 2 / (inputs + outputs) (Glorot & Bengio 2010).
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.modules.conv._ConvNd):
            if part.weight.any():
                INITIALIZERS[init](part.weight)
            if part.bias is not None:
                part.bias.zero_()
