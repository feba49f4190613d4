"""Warn about nets that look pretrained but do not define how images are normalized."""

from __future__ import annotations

import torch
from torch import nn

from ..._warnings import BackboneConfigWarning, warn
from ._backbone import Preprocess

LIBRARIES = {"timm", "torchvision", "transformers"}


def gets_raw_pixels(backbone):
    """Return True if a backbone looks pretrained and its pixels are only scaled to 0..1."""
    preprocess = backbone.preprocess
    return isinstance(preprocess, Preprocess) and preprocess.mean is None and looks_pretrained(backbone.model)


def looks_pretrained(model):
    """Return True if a net looks pretrained.

    It does if the running statistics of a BatchNorm differ from the initial ones. A net of timm, torchvision or
    transformers without running statistics does if a bias of its normalization layers is not zero, or if it has none.
    """
    modules = list(model.modules())
    norms = [module for module in modules if isinstance(getattr(module, "running_mean", None), torch.Tensor)]
    if norms:
        return any(has_seen_images(norm) for norm in norms)
    if not any(type(module).__module__.partition(".")[0] in LIBRARIES for module in modules):
        return False
    biases = [module.bias for module in modules if isinstance(module, nn.LayerNorm | nn.GroupNorm)]
    return not biases or any(bias is not None and bool(bias.detach().ne(0).any()) for bias in biases)


def has_seen_images(norm):
    """Return True if the running statistics of a layer differ from mean 0 and variance 1."""
    return bool(norm.running_mean.ne(0).any()) or bool(norm.running_var.ne(1).any())


def warn_of_raw_pixels(backbone):
    """Warn that pixels are not normalized, and tell how to do so."""
    warn(
        f"backbone {backbone.name} looks pretrained but has no pretrained_cfg, so its images are only scaled to 0..1. "
        "If it was trained on normalized images, pass backbone=load_backbone(module, image_shape=..., mean=..., "
        "std=...); otherwise, mean=0 and std=1 silence this warning",
        BackboneConfigWarning,
    )
