"""Backbones that are loaded once, since a search fits the same backbone dozens of times.

Loading reads weights and sends an image through the net several times. What comes of it is kept as a template: a frozen
net may use it as it is, behind the scenes, and whoever could change it gets a copy.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ...training._inputs import supports_float64
from ..backbones import Backbone, load_backbone
from ..backbones._bundled import VARIABLE, WEIGHTS
from ..backbones._load_backbone import BUNDLED, is_ready
from ..freezing._layers import evaluating
from ._fingerprint import inherit_fingerprint, stamp_of
from ._structure import named_tensors

OF_MODULES = WeakKeyDictionary()  # from a module to a dict from image shape and device
OF_NAMES = {}  # the same from a name: that of the bundled net, and the one of a hub that came last
ONE_THREAD = threading.RLock()
TEMPLATE = object()  # what marks a template, and no copy or pickle of one


class Template(NamedTuple):
    """A backbone, and how its source looked when it was loaded."""

    source: tuple
    backbone: Backbone


def share_backbone(spec, image_shape, device):
    """What :func:`load_backbone` gives, on a device, perhaps a template, which must not be changed or handed out.

    Of a module, of the bundled net and of one from a hub a template is kept, for as long as the source stays as it is.
    A class or factory may make another net each time, and is asked each time.
    """
    if isinstance(spec, nn.Module):
        templates, source = OF_MODULES.setdefault(spec, {}), stamp_of(spec)
    elif isinstance(spec, str) and is_ready(spec):
        templates, source = templates_of_name(spec), source_of_name(spec)
    else:
        return load_on(device, spec, image_shape)
    template = templates.get((image_shape, str(device)))
    if template is None or template.source != source:
        backbone = load_on(device, spec, image_shape).eval()
        backbone.fingerprint()
        vars(backbone).update(_template=TEMPLATE, _found_out={})
        template = templates[image_shape, str(device)] = Template(source, backbone)
    return template.backbone


def load_on(device, spec, image_shape):
    """Return a backbone on a device, or raise an error if it computes in float64 and the device cannot."""
    backbone = load_backbone(spec, image_shape=image_shape)
    if backbone.dtype == torch.float64 and not supports_float64(device):
        raise ValueError(
            f"backbone must have float32 parameters for device={str(device)!r}, {backbone.name} has float64: call "
            "module.float(), or use device='cpu'"
        )
    return backbone.to(device)


def templates_of_name(spec):
    """The templates of a net by name; those of an earlier net of a hub are let go, since such nets are large."""
    if spec not in BUNDLED:
        for other in set(OF_NAMES) - {spec, *BUNDLED}:
            del OF_NAMES[other]
    return OF_NAMES.setdefault(spec, {})


def source_of_name(spec):
    """What changes where a net of this name would be another: its file, or the hub's cache or folder."""
    if spec in BUNDLED:
        return file_as_it_is(os.environ.get(VARIABLE) or WEIGHTS)
    hub = sys.modules.get("huggingface_hub.constants")
    folder = Path(spec.partition(":")[2])
    files = sorted(folder.glob("*")) if os.path.isdir(folder) else []
    return torch.hub.get_dir(), getattr(hub, "HF_HUB_CACHE", None), *map(file_as_it_is, files)


def is_template(backbone):
    """Whether others may use this very backbone."""
    return vars(backbone).get("_template") is TEMPLATE


@contextmanager
def using(backbone):
    """While a net computes: one thread at a time uses a template, whose hooks of the moment a copy would keep."""
    with ONE_THREAD if is_template(backbone) else nullcontext():
        yield


def own(backbone):
    """A copy of a template, which knows what is known of it; any other backbone is one's own already."""
    if backbone is None or not is_template(backbone):
        return backbone
    with using(backbone):
        copy = deepcopy(backbone, {id(backbone._found_out): backbone._found_out})
    inherit_fingerprint(copy, backbone)
    return copy


def file_as_it_is(path):
    """What changes with a file; None where there is none."""
    path = Path(path)
    return (path, path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None


def find_out(backbone, question, answer):
    """``answer()``, a pure function of a backbone as it was loaded; templates and their copies ask once for all."""
    known = vars(backbone).setdefault("_found_out", {})
    if question not in known:
        known[question] = answer()
    return known[question]


def count_features(backbone, stages, image_shape):
    """How many features an image has; one is sent through the net, unless the answer is known."""

    def count():
        height, width, channels = image_shape
        device = next((tensor.device for _, tensor in named_tensors(backbone.model)), None)
        image = backbone.preprocess(torch.zeros(1, channels, height, width, device=device))
        with using(backbone), evaluating(backbone):
            return backbone.features(image, stages).shape[1]

    return find_out(backbone, ("width", *(stages or ())), count)
