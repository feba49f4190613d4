"""A pool of loaded backbones, for searches, which fit the same backbone dozens of times.

Loading reads weights and runs the net on images. The pool loads a backbone once and lends a copy to each estimator.
When the estimator is deleted, its copy is lent to the next one, unless a user may have accessed and changed it.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ...training._inputs import supports_float64
from ...training._randomness import kept_randomness
from ..backbones._backbone import Preprocess
from ..backbones._bundled import VARIABLE, WEIGHTS
from ..backbones._lite0_weights import weights_path
from ..backbones._load_backbone import BUNDLED, is_ready, load_for_images
from ..backbones._own import find_factory, module_exists
from ..backbones._raw_pixels import gets_raw_pixels, warn_of_raw_pixels
from ..freezing._freeze import set_frozen
from ._fingerprint import stamp_of

# By module or name, for the nets of this package and for the net that was last loaded from a hub: dicts by image shape,
# device and resize mode.
OF_MODULES: weakref.WeakKeyDictionary[nn.Module, dict[tuple, Loaded]] = weakref.WeakKeyDictionary()
OF_FACTORIES: weakref.WeakKeyDictionary[Callable, dict[tuple, Loaded]] = weakref.WeakKeyDictionary()
OF_NAMES: dict[str, dict[tuple, Loaded]] = {}
LENT: weakref.WeakKeyDictionary[nn.Module, weakref.finalize] = weakref.WeakKeyDictionary()  # returns the copies


class Loaded:
    """A loaded backbone.

    Parameters
    ----------
    backbone : Backbone
        If it has a source, only copies of it are lent.
    source : object, default=None
        A value that stays equal as long as loading returns the same backbone; None if each load differs.
    """

    def __init__(self, backbone, source=None):
        self.backbone, self.source = backbone, source
        self.unused = {}  # at most one frozen and one other copy
        self.is_fixed = False  # True if a class or factory returns the same net each time
        self.gets_raw_pixels = gets_raw_pixels(backbone)

    def copy(self):
        """Return a copy of the backbone, which may be trained."""
        return self.backbone if self.source is None else deepcopy(self.backbone)

    def lend(self, frozen=False):
        """Return a copy that returns to the pool when its estimator is deleted, unless a user has accessed it."""
        backbone = self.unused.pop(frozen, None)
        if backbone is None:
            backbone = self.copy()
            if frozen:
                set_frozen(backbone.model, backbone.layer_order, len(backbone.layers))
        if self.source is not None:
            LENT[backbone] = weakref.finalize(backbone, self.unused.__setitem__, frozen, copy(backbone))
        return backbone


def mark_seen(backbone):
    """Return a backbone after marking it as accessed by a user, so that the pool does not lend it again."""
    finalizer = LENT.pop(backbone, None)
    if finalizer is not None:
        finalizer.detach()
    return backbone


def find_loaded(spec, image_shape, device, resize_mode="squash"):
    """Return the backbone for ``spec`` on a device, as :class:`Loaded`.

    A module, a net of this package or a net of a hub is loaded again only if it has changed. A class or factory is
    called again if its code, or a value that it uses, has changed. If it draws random numbers from torch's generators,
    whose states are restored, it is also called again when these states differ, until two calls return the same net:
    a factory may draw initial weights and then replace them by pretrained ones.
    """
    factory = None
    if isinstance(spec, nn.Module):
        known, source = OF_MODULES.setdefault(spec, {}), stamp_of(spec)
    elif isinstance(spec, str) and is_ready(spec):
        known, source = loaded_by_name(spec), source_of_name(spec)
    elif (factory := factory_of(spec)) is not None:
        known, source = OF_FACTORIES.setdefault(factory, {}), (stamp_of(factory), generator_states())
    else:
        known, source = {}, None
    key = image_shape, str(device), resize_mode
    loaded = known.get(key)
    if loaded is None or not is_current(loaded, source):
        with nullcontext() if factory is None else kept_randomness():
            backbone = load_on(device, spec, image_shape).eval()
            draws = factory is not None and generator_states() != source[1]
        backbone.preprocess = with_resize_mode(backbone.preprocess, resize_mode)
        new = Loaded(backbone, source)
        fingerprint = backbone.fingerprint()  # computed before copying, so that all copies inherit it
        if factory is not None:
            is_same = loaded is not None and loaded.source[0] == source[0]
            new.is_fixed = not draws or (is_same and loaded.backbone.fingerprint() == fingerprint)
        loaded = known[key] = new
    if loaded.gets_raw_pixels:
        warn_of_raw_pixels(loaded.backbone)
    return loaded


def generator_states():
    """Return the states of torch's global generators, for the CPU and the CUDA devices in use."""
    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])]
    return b"".join(bytes(state.numpy()) for state in states)


def is_current(loaded, source):
    """Return True if loading again would return the same backbone."""
    return loaded.source == source or (loaded.is_fixed and loaded.source[0] == source[0])


def factory_of(spec):
    """Return the class or factory that a spec is or names, if its result can be cached as long as it exists."""
    if isinstance(spec, str):
        is_named = ":" in spec and module_exists(spec.partition(":")[0])
        spec = find_factory(spec) if is_named else None
    try:
        hash(spec), weakref.ref(spec)
    except TypeError:
        return None
    return spec


def with_resize_mode(preprocess, resize_mode):
    """Return a preprocessing with this resize mode; a user's own preprocessing supports only its own mode."""
    if isinstance(preprocess, Preprocess):
        return replace(preprocess, resize_mode=resize_mode)
    if resize_mode != "squash":
        raise ValueError(
            f"resize_mode must be 'squash' for a Backbone whose preprocess is a {type(preprocess).__name__}, got "
            f"{resize_mode!r}: crop the images in that preprocess"
        )
    return preprocess


def load_on(device, spec, image_shape):
    """Return a backbone on a device; raise an error if it computes in float64, but the device does not support it."""
    backbone = load_for_images(spec, image_shape)
    if backbone.dtype == torch.float64 and not supports_float64(device):
        raise ValueError(
            f"backbone must have float32 parameters for device={str(device)!r}, got float64 in {backbone.name}: call "
            "module.float(), or use device='cpu'"
        )
    return backbone.to(device)


def loaded_by_name(spec):
    """Return the entries of a name; those of an earlier net of a hub are dropped, since such nets are large."""
    if spec not in BUNDLED:
        for other in set(OF_NAMES) - {spec, *BUNDLED}:
            del OF_NAMES[other]
    return OF_NAMES.setdefault(spec, {})


def source_of_name(spec):
    """Return a value that changes whenever a net of this name may change: its file, or the folder of the hub."""
    if spec == "tiny32":
        return describe_file(os.environ.get(VARIABLE) or WEIGHTS)
    if spec == "lite0":
        return describe_file(weights_path())
    hub = sys.modules.get("huggingface_hub.constants")
    folder = Path(spec.partition(":")[2])
    files = sorted(folder.glob("*")) if os.path.isdir(folder) else []
    return torch.hub.get_dir(), getattr(hub, "HF_HUB_CACHE", None), *map(describe_file, files)


def describe_file(path):
    """Return a value that changes whenever a file changes; None if the file does not exist."""
    path = Path(path)
    return (path, path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None
