"""Backbones that are loaded once and copied, since a search fits the same backbone dozens of times.

Loading reads weights and sends an image through the net several times; a copy is all that a further fit needs. Nobody
but this module holds the template, so nothing can change it.
"""

import os
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ._fingerprint import inherit_fingerprint, stamp_of
from ._layers import evaluating
from .backbones import Backbone, load_backbone
from .backbones._bundled import VARIABLE, WEIGHTS

OF_MODULES, OF_NAMES = WeakKeyDictionary(), {}  # from a module, or name, to dicts from image shapes to templates


class Template(NamedTuple):
    """A backbone, and how its source looked when it was loaded."""

    source: tuple
    backbone: Backbone


def take_backbone(spec, image_shape):
    """What :func:`load_backbone` gives.

    Of a module and of the bundled net a template is kept, for as long as the source stays as it is. A class or factory
    may make another net each time, and is asked each time.
    """
    if isinstance(spec, nn.Module):
        templates, source = OF_MODULES.setdefault(spec, {}), stamp_of(spec)
    elif isinstance(spec, str) and spec == "tiny32":
        templates, source = OF_NAMES.setdefault(spec, {}), file_as_it_is(os.environ.get(VARIABLE) or WEIGHTS)
    else:
        return load_backbone(spec, image_shape=image_shape)
    template = templates.get(image_shape)
    if template is None or template.source != source:
        backbone = load_backbone(spec, image_shape=image_shape)
        backbone.fingerprint(), vars(backbone).update(_widths={})
        template = templates[image_shape] = Template(source, backbone)
    return copy_backbone(template.backbone)


def copy_backbone(backbone):
    """A copy that knows what is known of the original."""
    widths = backbone._widths
    return inherit_fingerprint(deepcopy(backbone, {id(widths): widths}), backbone)


def file_as_it_is(path):
    """What changes with a file; None where there is none."""
    path = Path(path)
    return (path, path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None


def count_features(backbone, stages, image_shape):
    """How many features an image has; one is sent through the net, unless the answer is known."""
    widths, key = vars(backbone).setdefault("_widths", {}), tuple(stages or ())
    if key not in widths:
        height, width, channels = image_shape
        image = backbone.preprocess(torch.zeros(1, channels, height, width))
        with evaluating(backbone):
            widths[key] = backbone.features(image, stages).shape[1]
    return widths[key]
