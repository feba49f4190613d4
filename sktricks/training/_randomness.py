"""Seed torch's global generators, which all threads share, for one training at a time, and restore them afterwards.

Initial weights and dropout masks are drawn from them, while the thread holds a lock. Trainings that draw nothing run in
parallel.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch import nn

from .._threads import ForkSafeLock
from ._make_net import FunctionLoss

GENERATORS = ForkSafeLock()

# Files of torch.nn.modules whose modules draw only their initial weights, and the exceptions in them.
STEADY = {
    "activation",
    "batchnorm",
    "container",
    "conv",
    "distance",
    "flatten",
    "instancenorm",
    "linear",
    "loss",
    "normalization",
    "padding",
    "pixelshuffle",
    "pooling",
    "sparse",
    "upsampling",
}
DRAWING = (nn.RReLU, nn.MultiheadAttention, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
OWN_CALLBACKS = {"train_loss", "valid_loss", "own_schedule", "own_clipping", "own_stopping"}  # of skorch's classes


@contextmanager
def kept_randomness(device=None):
    """Within the context, let only this thread use torch's global generators; restore them afterwards."""
    with GENERATORS(), torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        yield


@contextmanager
def own_randomness(seed, device):
    """Seed the generators within the context of :func:`kept_randomness`."""
    with kept_randomness(device):
        if device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # torch.manual_seed is slower, since it seeds all devices
        else:
            torch.manual_seed(seed)
        yield


def draws_nothing(net, module, augmenter):
    """Return True if the training of a net certainly draws nothing from torch's global generators.

    Parameters
    ----------
    net : InnerNet
    module : torch.nn.Module
        The part of the net that is trained.
    augmenter : augmenter or None
    """
    return (
        all(is_steady(part) for root in (module, net.criterion_) for part in root.modules())
        and all(name in OWN_CALLBACKS or is_ours(type(callback)) for name, callback in net.callbacks_)
        and package_of(type(net.optimizer_)) == "torch"
        and is_ours(net.iterator_train)
        and is_ours(net.iterator_valid)
        and all(is_ours(type(step)) for step in steps_of(augmenter))
    )


def steps_of(augmenter):
    """Return an augmenter, possibly None, and all augmenters in it."""
    from ..augment import BaseAugmenter

    if augmenter is None:
        return []
    return [augmenter, *(value for value in augmenter.get_params().values() if isinstance(value, BaseAugmenter))]


def is_steady(part):
    """Return True if a module, without its submodules, certainly draws nothing in training."""
    hooks = part._forward_pre_hooks, part._forward_hooks, part._backward_pre_hooks, part._backward_hooks
    if "forward" in vars(part) or not all(is_ours(hook) for some in hooks for hook in some.values()):
        return False
    kind = type(part)
    if kind in DROPOUTS:
        return part.p == 0
    package, _, file = kind.__module__.rpartition(".")
    known = package == "torch.nn.modules" and file in STEADY and kind not in DRAWING
    return known or (is_ours(kind) and kind is not FunctionLoss)


def is_ours(value):
    """Return True if a class or function is from this package."""
    return package_of(value) == "sktricks"


def package_of(value):
    """Return the package of a class or function, "" if unknown."""
    return (getattr(value, "__module__", None) or "").partition(".")[0]
