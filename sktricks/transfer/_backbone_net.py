"""The module of a fine-tuned net: a head on the features of a backbone."""

from __future__ import annotations

from torch import nn

from ..training._modules import Standardize


class Head(nn.Module):
    """A linear layer, zero at the start, on standardized features."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.standardize = Standardize(n_features, floor=1.0)  # a feature that hardly varies is not scaled up
        self.linear = nn.Linear(n_features, n_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features):
        return self.linear(self.prepare(features))

    def prepare(self, features):
        """Return features as the linear layer takes them: in its dtype, standardized."""
        return self.standardize(features.to(self.linear.weight.dtype))


def signed_sqrt(x, softness=1e-3):
    """Return ``sign(x) sqrt(|x|)``, which evens features out (Perronnin et al. 2010), with a finite slope at zero."""
    return x / x.abs().add_(softness).sqrt_()


class BackboneNet(nn.Module):
    """A backbone and its head.

    The input is preprocessed images (n, channels, height, width), or rows of what frozen layers have computed once for
    all epochs: values at the ``boundary``, or without one features that are standardized.
    """

    def __init__(self, backbone, head, stages, boundary=None):
        super().__init__()
        self.backbone, self.head, self.stages, self.boundary = backbone, head, stages, boundary

    def forward(self, x):
        if x.ndim == 4:
            return self.head(signed_sqrt(self.backbone.features(x, self.stages)))
        if self.boundary is None:
            return self.head.linear(x)
        return self.head(signed_sqrt(self.boundary.run_suffix(self.backbone, x, self.stages)))
