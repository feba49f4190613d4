"""The torch side of a fine-tuned net: a head on a backbone's features."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .. import __version__
from ..images._image_files import ImageFiles
from ..training._inputs import LazyImages, images_at_once, map_images, prepare_images
from ..training._modules import Standardize
from .cache._fingerprint import fingerprint_of
from .freezing._boundary import Boundary


class Head(nn.Module):
    """A linear layer, zero at the start, on standardised features."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.standardize = Standardize(n_features, floor=1.0)  # a feature that hardly varies is not made to count
        self.linear = nn.Linear(n_features, n_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features):
        return self.linear(self.prepare(features))

    def prepare(self, features):
        """Features as the linear layer takes them: in its dtype, standardised."""
        return self.standardize(features.to(self.linear.weight.dtype))


def signed_sqrt(x, softness=1e-3):
    """``sign(x) sqrt(|x|)``, which evens features out (Perronnin et al. 2010), with a finite slope at zero."""
    return x / x.abs().add_(softness).sqrt_()


class BackboneNet(nn.Module):
    """A backbone and its head.

    What comes in are preprocessed images (n, channels, height, width); or rows of what the frozen part has made of them
    once for all epochs: what crosses the ``boundary``, or without one features that are standardised already.
    """

    def __init__(self, backbone, head, stages, boundary=None):
        super().__init__()
        self.backbone, self.head, self.stages, self.boundary = backbone, head, stages, boundary

    def forward(self, x):
        if x.ndim == 4:
            return self.head(signed_sqrt(self.backbone.features(x, self.stages)))
        if self.boundary is None:
            return self.head.linear(x)
        return self.head(signed_sqrt(self.boundary.go_on(self.backbone, x, self.stages)))


def encode(backbone, images, value_range, what, device, cache=None, fill=True, fresh=False, at_once=None):
    """The features of canonical images, (n, features) in the backbone's dtype, on the CPU, in evaluation mode.

    ``what``: the stages that features come from, or a :class:`Boundary`, whose values then are the features.

    With a cache only those are computed that it does not know. It keeps all of them, without ``fill`` only few. A
    ``fresh`` backbone was loaded just now, and nobody can have changed it since. So many ``at_once`` as are quick.
    """
    prepare = prepare_images(value_range, finish=backbone.preprocess)

    def compute(part):
        x = prepare(part.to(device), None)[0]
        return what.reach(backbone, x) if isinstance(what, Boundary) else backbone.features(x, what)

    def encode_rows(images):
        images = LazyImages(images) if isinstance(images, ImageFiles) else images
        backbone.to(device).eval()
        size = at_once or images_at_once(backbone, prepare, images, device)
        with torch.no_grad():
            return map_images(compute, images, size)

    if cache is None:
        return encode_rows(images)
    fingerprint = fingerprint_of_features(backbone, value_range, what, device, unchanged=fresh)
    rows = images.files if isinstance(images, LazyImages) else images  # those that are known need not be read
    n_features = what.n_values if isinstance(what, Boundary) else backbone.count(what)
    return torch.from_numpy(cache.encode(rows, fingerprint, encode_rows, fill, n_features, numpy_dtype(backbone)))


def numpy_dtype(backbone):
    """Return the dtype of a backbone's features as arrays: float64 for a float64 backbone, otherwise float32."""
    return np.float64 if backbone.dtype == torch.float64 else np.float32


def fingerprint_of_features(backbone, value_range, what, device, unchanged=False):
    """What decides the features that :func:`encode` gives; devices and versions of torch differ in the last bits.

    Our own version stands for the code around the net: a folder outlives it.
    """
    low, high = value_range
    versions = f"{torch.__version__} {__version__}"
    return f"{fingerprint_of(backbone, unchanged)} {low!r} {high!r} {what} {device.type} {versions}"


def check_stages(backbone, stages):
    """The stages to take features from: the user's if the backbone has them, the backbone's default for ``"auto"``."""
    if isinstance(stages, str):
        return backbone.default_stages
    unknown = [stage for stage in stages if stage not in backbone.stages]
    if unknown or not stages:
        raise ValueError(f"stages must be 'auto' or some of {backbone.stages}, got {stages!r}")
    return list(stages)
