"""Backbones of the user's own: a module class, a factory or an instance, passed or named."""

from __future__ import annotations

import importlib
import inspect
from copy import deepcopy
from difflib import get_close_matches
from importlib.util import find_spec

from torch import nn

from ._assemble import Net
from ._backbone import Backbone, Preprocess


def load_own(spec):
    """A net from a module class or factory (called without arguments) or from an instance (copied).

    Images come as they are, scaled to 0..1; grey images for a net of three input channels are repeated, and the
    reverse. A net of timm brings its own mean and standard deviation, and a :class:`Backbone` all of its preprocessing.
    """
    model = deepcopy(spec) if isinstance(spec, nn.Module) else call_factory(spec)
    if not isinstance(model, nn.Module):
        raise TypeError(f"backbone must give a torch module, {spec!r} gave {type(model).__name__}")
    if isinstance(model, Backbone):
        return Net(model.model, model.preprocess, model.name, default_stages=model.default_stages, has_classifier=False)
    name = type(model).__name__
    if isinstance(getattr(model, "pretrained_cfg", None), dict):
        from ._timm import preprocess_of

        return Net(model, preprocess_of(model.pretrained_cfg), name, resize=False)
    return Net(model, Preprocess(native_size(model)), name, resize=False)


def call_factory(factory):
    """What a module class or factory makes without arguments."""
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise TypeError(
            f"backbone must be a class or factory that needs no arguments, got {factory!r}: {error}"
        ) from error
    except ValueError:  # a factory without a signature
        pass
    return factory()


def native_size(model):
    """The (height, width) that a net of transformers or a transformer of torchvision is made for; None if unknown."""
    size = getattr(getattr(model, "config", model), "image_size", None)
    if isinstance(size, int):
        return size, size
    return tuple(size) if isinstance(size, list | tuple) and len(size) == 2 else None


def module_exists(name):
    """Whether there is a module of this name; it is not imported, but the packages around it are."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a package around it is missing, or it is no name of a module
        return False


def load_named(spec):
    """A net from ``"package.module:factory"``."""
    module_name, _, name = spec.partition(":")
    module = importlib.import_module(module_name)
    factory = getattr(module, name, None)
    if not callable(factory):
        close = get_close_matches(name, [found for found, _ in inspect.getmembers(module, callable)])
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"backbone={spec!r}: {module_name} has no class or factory {name!r}{hint}")
    return load_own(factory)
