"""The module of a fine-tuned net: a head on the features of a backbone."""

from __future__ import annotations

from torch import nn

from ..training._modules import Standardize


class Head(nn.Module):
    """A linear layer, zero at the start, on features that are centered and scaled stage by stage.

    The features of a stage share one scale: what varies most among images is what the backbone has learned to tell, and
    to scale each feature by itself would give that up. The scales of stages differ by accident.

    Parameters
    ----------
    widths : list of int
        Number of features of each stage.
    n_outputs : int
    """

    def __init__(self, widths, n_outputs):
        super().__init__()
        self.standardize = Standardize(sum(widths), widths)
        self.linear = nn.Linear(sum(widths), n_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features):
        return self.linear(self.prepare(features))

    def prepare(self, features):
        """Return features as the linear layer takes them: in its dtype, standardized."""
        return self.standardize(features.to(self.linear.weight.dtype))


def signed_power(x, softness=1e-3):
    """Return ``sign(x) |x|**0.75``, which evens features out (Perronnin et al. 2010), with a finite slope at zero."""
    return x / x.abs().add_(softness).sqrt_().sqrt()


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
            return self.head(signed_power(self.backbone.features(x, self.stages)))
        if self.boundary is None:
            return self.head.linear(x)
        return self.head(signed_power(self.boundary.run_suffix(self.backbone, x, self.stages)))
