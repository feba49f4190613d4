"""The torch module of fine-tuned nets: a head on the features of a backbone."""

from __future__ import annotations

from torch import nn

from ..training._modules import Standardize


class Head(nn.Module):
    """A linear layer, initially zero, on features that are centered and scaled per stage.

    All features of a stage share one scale: the features that vary most are those that the backbone has learned to
    distinguish, and scaling each feature separately would lose this information. The scales of different stages differ
    arbitrarily.

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
        """Return standardized features in the dtype of the linear layer."""
        return self.standardize(features.to(self.linear.weight.dtype))


def signed_power(x, softness=1e-3):
    """Return ``sign(x) |x|**0.75``, which reduces large features (Perronnin et al. 2010), with a finite slope at 0."""
    return x / x.abs().add_(softness).sqrt_().sqrt()


class BackboneNet(nn.Module):
    """A backbone and its head.

    The input is preprocessed images (n, channels, height, width), or values that frozen layers have computed once for
    all epochs: the values at the ``boundary`` or, without one, standardized features.
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
