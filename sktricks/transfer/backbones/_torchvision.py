"""Backbones of torchvision: its nets for classification."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import filter as matching

from ..._optional import import_optional
from ._assemble import Net
from ._backbone import Preprocess
from ._hubs import fetch_url
from ._weight_files import first_line, misfit_of, read_weights

EXTRA = "vision"
WARN_OF_WEIGHTS = ("googlenet", "inception_v3")


def list_torchvision(pattern):
    """The names of torchvision's nets for classification that match a pattern."""
    models = import_optional("torchvision", EXTRA).models
    return matching(models.list_models(module=models), pattern)


def load_torchvision(name, pretrained):
    """A net by its name, with its default weights or those named behind a dot (``"resnet50.IMAGENET1K_V1"``)."""
    models = import_optional("torchvision", EXTRA).models
    architecture, _, tag = name.partition(".")
    if architecture not in list_torchvision("*"):
        close = [f"torchvision:{one}" for one in get_close_matches(architecture, list_torchvision("*"), n=4)]
        raise ValueError(
            f"backbone='torchvision:{name}' is unknown: torchvision has no net {name!r}"
            + (f"; close are {close}" if close else "")
        )
    known = models.get_model_weights(architecture)
    if tag and tag not in known.__members__:
        raise ValueError(f"torchvision has no weights {name!r}; of this net there are {sorted(known.__members__)}")
    weights = known[tag] if tag else known.DEFAULT
    model = load_model(models, architecture, weights) if pretrained else build(models, architecture)
    return Net(model, preprocess_of(weights.transforms()), f"torchvision:{name}", resize=pretrained)


def load_model(models, architecture, weights):
    """The net with weights of the hub, which are first read in the way that runs no code."""
    path = fetch_url(weights.url)
    tensors = read_weights(path)
    try:
        return build(models, architecture, weights)
    except Exception as error:  # whatever a net raises about weights of another
        bare = build(models, architecture)
        raise misfit_of(path, f"torchvision:{architecture}", bare, tensors, why=first_line(error)) from error


def build(models, architecture, weights=None):
    """The net; old ones warn unless they are told to draw their initial weights as they always have."""
    told = {"init_weights": True} if weights is None and architecture in WARN_OF_WEIGHTS else {}
    return models.get_model(architecture, weights=weights, progress=False, **told)


def preprocess_of(transforms):
    """What the transforms of torchvision's weights say about images."""
    size = tuple(transforms.crop_size) * 2 if len(transforms.crop_size) == 1 else tuple(transforms.crop_size)
    interpolation = "bicubic" if transforms.interpolation.value == "bicubic" else "bilinear"
    return Preprocess(size, len(transforms.mean), tuple(transforms.mean), tuple(transforms.std), interpolation)
