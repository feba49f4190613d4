"""Backbones from transformers: image encoders from Hugging Face, or from a local folder in its format."""

from __future__ import annotations

import os
import pickle
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import filter as matching

from torch import nn

from ..._optional import import_optional
from ._assemble import Net, native_size
from ._backbone import Preprocess, check_preprocess
from ._hubs import check_hub, check_repository, hub_cache
from ._timm import drop_pointers
from ._weight_files import first_line, misfit, name_in_pickle

EXTRA = "hf"
SMOOTH = (1, 3)  # Pillow's codes of Lanczos and bicubic interpolation
PROCESSORS = ("preprocessor_config.json", "processor_config.json")


class FirstToken(nn.Module):
    """A replacement for a pooler that was trained for the pretraining task: it returns the class token."""

    def forward(self, tokens):
        return tokens[:, 0]


def list_nets(pattern):
    """Return the repositories in the local cache that match a pattern."""
    folders = sorted(folder.name for folder in hub_cache(EXTRA).glob("models--*"))
    return matching([name.removeprefix("models--").replace("--", "/") for name in folders], pattern)


def load_net(name, pretrained):
    """Return a net from a repository or local folder, or an untrained net of a type such as ``"vit"``."""
    transformers = import_optional("transformers", EXTRA)
    check_repository(f"hf:{name}", name)
    with quiet(transformers):
        config = find_config(transformers, name, pretrained)
        model = load_model(transformers, name, config) if pretrained else build(transformers, name, config)
        if model.main_input_name != "pixel_values":
            raise ValueError(f"backbone='hf:{name}' must be an image encoder, but it takes {model.main_input_name}")
        settings = find_settings(transformers, name) if pretrained else {}
    pooler = getattr(model, "pooler", None)
    if pooler is not None and any(isinstance(part, nn.Linear) for part in pooler.modules()):
        model.pooler = FirstToken()
    preprocess, lacks = read_preprocess(name, settings, config)
    return Net(model.float(), preprocess, f"hf:{name}", resize=pretrained, lacks=lacks)


def find_settings(transformers, name):
    """Return the settings of the image processor of a repository or folder, None for a folder without one."""
    if os.path.isdir(name) and not any(os.path.isfile(os.path.join(name, file)) for file in PROCESSORS):
        return None
    return find(name, transformers.ImageProcessingMixin.get_image_processor_dict, PROCESSORS[0])[0]


def read_preprocess(name, settings, config):
    """Return the preprocessing, and the name of the missing file if there is no image processor."""
    if settings is None:
        return Preprocess(native_size(config), getattr(config, "num_channels", None) or 3), PROCESSORS[0]
    try:
        return check_preprocess(preprocess_of(settings, config)), None
    except Exception as error:  # arbitrary JSON may raise any error
        raise ValueError(
            f"{PROCESSORS[0]} of hf:{name} is not a valid configuration of an image processor: {first_line(error)}"
        ) from error


def find_config(transformers, name, pretrained):
    """Return the configuration of the image encoder of a repository, folder or type of net."""
    if not pretrained and name in transformers.CONFIG_MAPPING and not os.path.isdir(name):
        config = transformers.AutoConfig.for_model(name)
    else:
        config = find(name, transformers.AutoConfig.from_pretrained)
    vision = getattr(config, "vision_config", None)
    config = vision if hasattr(vision, "model_type") else config
    if getattr(config, "mask_ratio", None):
        config.mask_ratio = 0.0  # makes a masked autoencoder encode the whole image
    return confine(config, name)


def confine(config, name):
    """Return the configuration without settings that would make an inner timm net load other files."""
    if getattr(config, "use_pretrained_backbone", False):
        config.use_pretrained_backbone = False
    if isinstance(getattr(config, "model_args", None), dict):
        config.model_args = drop_pointers(config.model_args, f"config.json of hf:{name}")
    if config.model_type == "timm_wrapper" and not import_optional("timm", "vision").is_model(config.architecture):
        raise ValueError(f"config.json of hf:{name} must name an architecture of timm, got {config.architecture!r}")
    return config


def build(transformers, name, config):
    """Return the net with initial weights."""
    try:
        return transformers.AutoModel.from_config(config, trust_remote_code=False)
    except ImportError:
        raise
    except Exception as error:  # arbitrary values in a configuration may raise any error
        raise ValueError(f"transformers cannot build hf:{name} from its config.json: {first_line(error)}") from error


def load_model(transformers, name, config):
    """Return the net with its weights; only the weights of a pooler may be missing from the files."""
    settings = {"config": config, "output_loading_info": True, "ignore_mismatched_sizes": True}
    model, info = find(name, transformers.AutoModel.from_pretrained, "model.safetensors", **settings)
    missing = [key for key in info["missing_keys"] if "pooler" not in key.split(".")]
    differing = sorted({*missing, *(key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"])})
    if differing:
        shares_keys = not dict(model.named_parameters()).keys() <= set(info["missing_keys"])
        strangers = [] if shares_keys else sorted(info["unexpected_keys"])
        raise misfit(name, f"a {config.model_type}", differing, strangers)
    return model


def find(name, load, file="config.json", **settings):
    """Call ``load`` on a folder or repository; its files are downloaded only if necessary."""
    settings["trust_remote_code"] = False
    try:
        return load(name, local_files_only=True, **settings)
    except ImportError:
        raise
    except Exception as error:  # damaged files may raise any error
        if any(isinstance(cause, pickle.UnpicklingError) for cause in causes(error)):
            raise refused(name, "".join(map(name_in_pickle, causes(error)))) from error
        if "trust_remote_code" in str(error):
            raise refused(name, " (its configuration names Python files)") from error
        if os.path.isdir(name):
            raise ValueError(f"{name} must be a folder of transformers with {file}: {first_sentence(error)}") from error
    check_hub(name, file, EXTRA)
    try:
        return load(name, **settings)
    except ImportError:
        raise
    except Exception as error:
        close = get_close_matches(name, list_nets("*"))
        hint = f" The local cache has {close}" if close else ""
        raise ValueError(f"backbone='hf:{name}' must name a folder or repository with {file}.{hint}") from error


def refused(name, what):
    """Return the error for files that contain code."""
    return ValueError(f"backbone='hf:{name}' is refused, since loading it would run code from its files{what}")


def causes(error):
    """Iterate over an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def first_sentence(error):
    """Return the first sentence of a message."""
    return first_line(error).partition(". ")[0]


@contextmanager
def quiet(transformers):
    """Disable progress bars and loading reports; weights that do not fit raise an error anyway."""
    logging = transformers.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def preprocess_of(settings, config):
    """Return the preprocessing of ``preprocessor_config.json``; by default -1 to 1 at the size of the net.

    There, mean and standard deviation refer to pixels times ``rescale_factor``; here, to pixels in 0..1.
    """
    channels = getattr(config, "num_channels", None) or 3
    crop = settings.get("crop_size") if settings.get("do_center_crop") else None
    size = size_of(crop) or size_of(settings.get("size")) or native_size(config) or (224, 224)
    scale = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255.0
    mean, std = settings.get("image_mean") or (0.5,) * channels, settings.get("image_std") or (0.5,) * channels
    if not settings.get("do_normalize", True):
        mean, std = (0.0,) * channels, (1.0,) * channels
    interpolation = "bicubic" if settings.get("resample") in SMOOTH else "bilinear"
    scaled = [tuple(value / scale for value in values) for values in (mean, std)]
    return Preprocess(size, channels, *scaled, interpolation)


def size_of(size):
    """Return the (height, width) of a size in the settings of a processor; None if it is not fixed."""
    if isinstance(size, int):
        return size, size
    size = size or {}
    side = size.get("shortest_edge")
    height, width = size.get("height", side), size.get("width", side)
    return (height, width) if height and width else None
