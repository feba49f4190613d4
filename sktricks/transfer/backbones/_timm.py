"""Backbones of timm: by name, or a folder or repository in the format that timm saves."""

import json
from dataclasses import fields
from difflib import get_close_matches
from fnmatch import filter as matching
from pathlib import Path

from ..._optional import import_optional
from ._assemble import Net
from ._base import Preprocess
from ._hubs import fetch_hub, fetch_url
from ._weights import compare, misfit, read_weights

FILES = ("model.safetensors", "pytorch_model.bin")
EXTRA = "vision"


def list_timm(pattern):
    """The names of timm's nets that match a pattern."""
    return matching(import_optional("timm", EXTRA).list_models(), pattern)


def load_timm(name, pretrained):
    """A net by its name (``"resnet18"``, ``"resnet18.a1_in1k"``), local folder or ``"user/repository"`` on the hub."""
    timm = import_optional("timm", EXTRA)
    if "/" in name or "\\" in name:
        return from_repository(timm, name, pretrained)
    if not timm.is_model(name):
        close = [f"timm:{one}" for one in get_close_matches(name.partition(".")[0], timm.list_models(), n=4)]
        raise ValueError(f"timm has no net {name!r}" + (f"; close are {close}" if close else ""))
    try:
        cfg = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    except RuntimeError as error:
        known = timm.list_pretrained(name.partition(".")[0] + ".*")
        raise ValueError(f"timm has no weights {name!r}; of this net there are {known}") from error
    if not pretrained:
        return make_net(timm, name, {}, f"timm:{name}", None)
    return make_net(timm, name, {}, f"timm:{name}", find_weights(cfg, name), custom_load=cfg.custom_load)


def find_weights(cfg, name):
    """The path of the weights that a configuration of timm points to."""
    if cfg.file:
        return Path(cfg.file)
    if cfg.hf_hub_id:
        return fetch_hub(cfg.hf_hub_id, [cfg.hf_hub_filename] if cfg.hf_hub_filename else FILES, EXTRA)
    if cfg.url:
        return fetch_url(cfg.url)
    raise ValueError(f'timm has no weights for {name!r}: "untrained:timm:{name}" is the net without')


def from_repository(timm, name, pretrained):
    """A net from ``config.json`` and the weights beside it."""
    local = Path(name).is_dir()
    path = Path(name) / "config.json" if local else fetch_hub(name, ["config.json"], EXTRA)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        architecture = config["architecture"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is no configuration of a net of timm ({type(error).__name__}: {error})") from error
    cfg = {**config.get("pretrained_cfg", config), "num_classes": config.get("num_classes", 1000)}
    cfg = {field.name: cfg[field.name] for field in fields(timm.models.PretrainedCfg) if field.name in cfg}
    settings = {**config.get("model_args", {}), "pretrained_cfg": {**cfg, "source": None}}
    if not pretrained:
        return make_net(timm, architecture, settings, f"timm:{name}", None)
    found = [path.parent / file for file in FILES if (path.parent / file).is_file()]
    if local and not found:
        raise ValueError(f"there are no weights in {path.parent}: it has neither {' nor '.join(FILES)}")
    weights = found[0] if found else fetch_hub(name, FILES, EXTRA)
    return make_net(timm, architecture, settings, f"timm:{name}", weights)


def make_net(timm, architecture, settings, title, path, custom_load=False):
    """The net, with the weights of a file if there is one.

    It is built with its classifier, so that timm compares all the names in the file with the net's.
    """
    if path is None:
        model = timm.create_model(architecture, pretrained=False, **settings)
        return Net(model, preprocess_of(model.pretrained_cfg), title, resize=False)
    weights = None if custom_load else read_weights(path)
    source = {"file": str(path), "custom_load": True} if custom_load else {"state_dict": weights}
    try:
        model = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=source, **settings)
    except RuntimeError as error:
        bare = timm.create_model(architecture, pretrained=False, **settings)
        raise misfit(path, title, compare(bare, weights or {})) from error
    model.pretrained_cfg.pop("state_dict", None)  # else it is pickled along
    return Net(model, preprocess_of(model.pretrained_cfg), title)


def preprocess_of(cfg):
    """What a configuration of timm says about images."""
    channels, *size = cfg["input_size"]
    smooth = cfg.get("interpolation") in ("bicubic", "lanczos")
    mean, std = tuple(cfg["mean"]), tuple(cfg["std"])
    if len(mean) != channels:  # a net whose first layer was made for other images
        mean, std = (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels
    return Preprocess(tuple(size), channels, mean, std, "bicubic" if smooth else "bilinear")
