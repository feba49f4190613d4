"""The weights that a training begins with, where a module's own are not wanted."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

STARTS = {"he": partial(nn.init.kaiming_normal_, nonlinearity="relu"), "xavier": nn.init.xavier_uniform_}


@torch.no_grad()
def draw_weights(module, init):
    """Draw the weights of all linear maps and convolutions of a module anew, their biases being 0.

    A weight that is 0 throughout stays so: the module begins without what it weighs, as a residual block may.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    init : {"he", "xavier"}
        Normal with variance 2 / inputs, for what is followed by a ReLU (He et al. 2015); uniform with variance
        2 / (inputs + outputs) (Glorot & Bengio 2010).
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.modules.conv._ConvNd):
            if part.weight.any():
                STARTS[init](part.weight)
            if part.bias is not None:
                part.bias.zero_()
