"""Backbones from torchvision: its image classifiers."""

from __future__ import annotations

from fnmatch import filter as matching

from ..._optional import import_optional
from ._assemble import Net
from ._backbone import Preprocess
from ._hubs import fetch_url, unknown_net
from ._weight_files import first_line, misfit_of, read_weights

EXTRA = "vision"
WARN_OF_WEIGHTS = ("googlenet", "inception_v3")


def list_nets(pattern):
    """Return the names of torchvision's classifiers that match a pattern."""
    models = import_optional("torchvision", EXTRA).models
    return matching(models.list_models(module=models), pattern)


def load_net(name, pretrained):
    """Return a net by name, with its default weights or those after a dot (``"resnet50.IMAGENET1K_V1"``)."""
    models = import_optional("torchvision", EXTRA).models
    architecture, _, tag = name.partition(".")
    if architecture not in list_nets("*"):
        raise unknown_net("torchvision", name, list_nets("*"))
    known = models.get_model_weights(architecture)
    if tag and tag not in known.__members__:
        raise ValueError(f"torchvision has no weights {name!r}: choose one of {sorted(known.__members__)}")
    weights = known[tag] if tag else known.DEFAULT
    model = load_model(models, architecture, weights) if pretrained else build(models, architecture)
    return Net(model, preprocess_of(weights.transforms()), f"torchvision:{name}", resize=pretrained)


def load_model(models, architecture, weights):
    """Return the net with weights from the hub, which are first read without running code."""
    path = fetch_url(weights.url)
    tensors = read_weights(path)
    try:
        return build(models, architecture, weights)
    except Exception as error:  # weights of another net may raise any error
        bare = build(models, architecture)
        raise misfit_of(path, f"torchvision:{architecture}", bare, tensors, why=first_line(error)) from error


def build(models, architecture, weights=None):
    """Return the net; two older ones would warn if ``init_weights`` were not given."""
    settings = {"init_weights": True} if weights is None and architecture in WARN_OF_WEIGHTS else {}
    return models.get_model(architecture, weights=weights, progress=False, **settings)


def preprocess_of(transforms):
    """Return the preprocessing defined by the transforms of torchvision's weights."""
    size = tuple(transforms.crop_size) * 2 if len(transforms.crop_size) == 1 else tuple(transforms.crop_size)
    interpolation = "bicubic" if transforms.interpolation.value == "bicubic" else "bilinear"
    return Preprocess(size, len(transforms.mean), tuple(transforms.mean), tuple(transforms.std), interpolation)
