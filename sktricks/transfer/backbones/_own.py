"""Backbones from the user's module class, factory or instance, passed or named."""

from __future__ import annotations

import importlib
import inspect
from copy import deepcopy
from difflib import get_close_matches
from importlib.util import find_spec

from torch import nn

from ._assemble import Net, native_size
from ._backbone import Backbone, Preprocess


def load_own(spec):
    """Return the net for a module class or factory (called without arguments) or an instance (copied)."""
    model = deepcopy(spec) if isinstance(spec, nn.Module) else call_factory(spec)
    if not isinstance(model, nn.Module):
        raise TypeError(f"backbone must return a torch module, but {spec!r} returned {type(model).__name__}")
    if isinstance(model, Backbone):
        settings = {"default_stages": model.default_stages, "has_classifier": False, "is_own": True}
        return Net(model.model, model.preprocess, model.name, **settings)
    preprocess, has_config = own_preprocess(model), has_pretrained_cfg(model)
    return Net(model, preprocess, type(model).__name__, False, preprocess.size if has_config else None, is_own=True)


def has_pretrained_cfg(model):
    """Return True if a module has a ``pretrained_cfg`` that defines its preprocessing, as in timm."""
    return isinstance(getattr(model, "pretrained_cfg", None), dict)


def own_preprocess(model):
    """Return the preprocessing of a module: its own, that of its ``pretrained_cfg``, or only an image size."""
    if isinstance(model, Backbone):
        return model.preprocess
    if not has_pretrained_cfg(model):
        return Preprocess(native_size(getattr(model, "config", model)))
    from ._timm import read_preprocess

    return read_preprocess(model.pretrained_cfg, f"pretrained_cfg of {type(model).__name__}")


def call_factory(factory):
    """Call a class or factory without arguments and return the module."""
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise TypeError(
            f"backbone must be a class or factory that requires no arguments, got {factory!r}: {error}"
        ) from error
    except ValueError:  # a factory without a signature
        pass
    return factory()


def module_exists(name):
    """Return True if a module of this name exists; only its parent packages are imported."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a parent package is missing, or the name is invalid
        return False


def load_named(spec):
    """Return the net for ``"package.module:factory"``."""
    return load_own(find_factory(spec))


def find_factory(spec):
    """Return the class or factory that ``"package.module:factory"`` names."""
    module_name, _, name = spec.partition(":")
    module = importlib.import_module(module_name)
    factory = getattr(module, name, None)
    if not callable(factory):
        close = get_close_matches(name, [found for found, _ in inspect.getmembers(module, callable)])
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"backbone={spec!r}: {module_name} has no class or factory {name!r}{hint}")
    return factory
