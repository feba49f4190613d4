"""Backbones from timm: by name, or from a folder or repository in timm's format."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from fnmatch import filter as matching
from pathlib import Path

from ..._optional import import_optional
from ..._warnings import BackboneConfigWarning, warn
from ._assemble import Net
from ._backbone import Preprocess, check_preprocess
from ._hubs import check_repository, fetch_hub, fetch_url, unknown_net
from ._weight_files import first_line, misfit_of, read_weights

FILES = ("model.safetensors", "pytorch_model.bin")
EXTRA = "vision"
# Settings that would make timm load, download or run anything but the weights next to the configuration.
POINTERS = {"url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "custom_load", "source"}
POINTERS |= {"checkpoint_path", "cache_dir", "scriptable", "exportable", "no_jit"}


def list_nets(pattern):
    """Return the names of timm's nets that match a pattern."""
    return matching(import_optional("timm", EXTRA).list_models(), pattern)


def load_net(name, pretrained):
    """Return a net by name (``"resnet18"``, ``"resnet18.a1_in1k"``), local folder or ``"user/repository"``."""
    timm = import_optional("timm", EXTRA)
    if "/" in name or "\\" in name:
        check_repository(f"timm:{name}", name)
        return from_repository(timm, name, pretrained)
    if not timm.is_model(name):
        raise unknown_net("timm", name, timm.list_models())
    try:
        cfg = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    except RuntimeError as error:
        known = timm.list_pretrained(name.partition(".")[0] + ".*")
        raise ValueError(f"timm has no weights {name!r}: choose one of {known}") from error
    if not pretrained:
        return make_net(timm, name, {}, f"timm:{name}", None)
    return make_net(timm, name, {}, f"timm:{name}", find_weights(cfg, name), custom_load=cfg.custom_load)


def find_weights(cfg, name):
    """Return the path of the weights that a timm configuration points to."""
    if cfg.file:
        return Path(cfg.file)
    if cfg.hf_hub_id:
        return fetch_hub(cfg.hf_hub_id, [cfg.hf_hub_filename] if cfg.hf_hub_filename else FILES, EXTRA)
    if cfg.url:
        return fetch_url(cfg.url)
    raise ValueError(f'timm has no weights for {name!r}: use "untrained:timm:{name}" for the net without weights')


def from_repository(timm, name, pretrained):
    """Return the net described by a ``config.json``, with the weights next to it."""
    local = os.path.isdir(name)
    path = Path(name) / "config.json" if local else fetch_hub(name, ["config.json"], EXTRA)
    architecture, settings = read_config(timm, path)
    if not pretrained:
        return make_net(timm, architecture, settings, f"timm:{name}", None, config=path)
    found = [path.parent / file for file in FILES if (path.parent / file).is_file()]
    if local and not found:
        raise ValueError(f"{path.parent} must contain weights, but it has neither {' nor '.join(FILES)}")
    weights = found[0] if found else fetch_hub(name, FILES, EXTRA)
    return make_net(timm, architecture, settings, f"timm:{name}", weights, config=path)


def read_config(timm, path):
    """Return the architecture in a ``config.json``, and its settings except those that point to other files."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        architecture = config["architecture"]
        known = timm.is_model(architecture)
        cfg = {**config.get("pretrained_cfg", config), "num_classes": config.get("num_classes", 1000)}
        settings = dict(config.get("model_args") or {})
    except Exception as error:  # arbitrary content, JSON or not, may raise any error
        raise ValueError(f"{path} must be a timm configuration ({type(error).__name__}: {error})") from error
    if not known:  # timm would interpret some unknown names as addresses
        raise ValueError(f"{path} must be a timm configuration, but timm has no architecture {architecture!r}")
    names = {field.name for field in fields(timm.models.PretrainedCfg)} - POINTERS
    cfg = {name: value for name, value in cfg.items() if name in names}
    settings = drop_pointers(settings, path)
    return architecture, {**settings, "pretrained_cfg": {**cfg, "source": None}}


def drop_pointers(settings, where):
    """Return settings of a configuration without those that name other files, and warn about these."""
    dropped = sorted(name for name in settings if name in POINTERS or name.startswith("pretrained"))
    if dropped:
        warn(
            f"{', '.join(dropped)} in model_args of {where} is ignored, since a configuration may not name other files",
            BackboneConfigWarning,
        )
    return {name: value for name, value in settings.items() if name not in dropped}


def make_net(timm, architecture, settings, title, path, custom_load=False, config=None):
    """Return the net, with the weights of a file if ``path`` is given.

    The net is built with its classifier, so that timm compares the names of all weights. ``config`` is the path of the
    file that the settings come from, if any.
    """
    if path is None:
        model = build(timm, architecture, settings, title, config)
        return Net(model, read_preprocess(model.pretrained_cfg, config or title), title, resize=False)
    weights = None if custom_load else read_weights(path)
    source = {"file": str(path), "custom_load": True} if custom_load else {"state_dict": weights}
    try:
        model = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=source, **settings)
    except Exception as error:  # settings or weights of another net may raise any error
        bare = build(timm, architecture, settings, title, config)
        raise misfit_of(path, title, bare, weights or {}, why=first_line(error)) from error
    model.pretrained_cfg.pop("state_dict", None)  # otherwise pickles would contain the weights twice
    return Net(model, read_preprocess(model.pretrained_cfg, config or title), title)


def build(timm, architecture, settings, title, config):
    """Return the net without weights, or raise an error that names the file of its settings."""
    try:
        return timm.create_model(architecture, pretrained=False, **settings)
    except Exception as error:
        raise ValueError(f"timm cannot build {title} from {config or architecture}: {first_line(error)}") from error


def read_preprocess(cfg, where):
    """Return the preprocessing of a configuration, or raise an error that names its file."""
    try:
        return check_preprocess(preprocess_of(cfg))
    except Exception as error:
        raise ValueError(f"{where} does not define a valid preprocessing: {first_line(error)}") from error


def preprocess_of(cfg):
    """Return the preprocessing of a timm configuration."""
    channels, *size = cfg["input_size"]
    smooth = cfg.get("interpolation") in ("bicubic", "lanczos")
    mean, std = tuple(cfg["mean"]), tuple(cfg["std"])
    if len(mean) != channels:  # the first layer was adapted to another number of channels
        mean, std = (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels
    return Preprocess(tuple(size), channels, mean, std, "bicubic" if smooth else "bilinear")
