"""Backbones of transformers: the image encoders of Hugging Face's hub, or a local folder in its format."""

from __future__ import annotations

import os
import pickle
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import filter as matching

from torch import nn

from ..._optional import import_optional
from ._assemble import Net
from ._backbone import Preprocess, check_preprocess
from ._hubs import check_hub, check_repository, hub_cache
from ._timm import drop_pointers
from ._weight_files import asked_for, first_line, misfit

EXTRA = "hf"
SMOOTH = (1, 3)  # Pillow's numbers of Lanczos and bicubic interpolation
PROCESSORS = ("preprocessor_config.json", "processor_config.json")


class FirstToken(nn.Module):
    """The class token as it is, in the place of a pooler that transforms it for the task of its pretraining."""

    def forward(self, tokens):
        return tokens[:, 0]


def list_huggingface(pattern):
    """The repositories in the hub's cache on this machine that match a pattern."""
    folders = sorted(folder.name for folder in hub_cache(EXTRA).glob("models--*"))
    return matching([name.removeprefix("models--").replace("--", "/") for name in folders], pattern)


def load_huggingface(name, pretrained):
    """A net by its repository on the hub or its local folder; untrained, a type such as ``"vit"`` will do."""
    transformers = import_optional("transformers", EXTRA)
    check_repository(f"hf:{name}", name)
    with quiet(transformers):
        config = find_config(transformers, name, pretrained)
        model = load_model(transformers, name, config) if pretrained else build(transformers, name, config)
        if model.main_input_name != "pixel_values":
            raise ValueError(f"backbone='hf:{name}' is no encoder of images: it takes {model.main_input_name}")
        settings = find_settings(transformers, name) if pretrained else {}
    pooler = getattr(model, "pooler", None)
    if pooler is not None and any(isinstance(part, nn.Linear) for part in pooler.modules()):
        model.pooler = FirstToken()
    preprocess, lacks = read_preprocess(name, settings, config)
    return Net(model.float(), preprocess, f"hf:{name}", resize=pretrained, lacks=lacks)


def find_settings(transformers, name):
    """What the processor of a repository or folder says about images; None for a folder without a processor."""
    if os.path.isdir(name) and not any(os.path.isfile(os.path.join(name, file)) for file in PROCESSORS):
        return None
    return find(name, transformers.ImageProcessingMixin.get_image_processor_dict, PROCESSORS[0])[0]


def read_preprocess(name, settings, config):
    """The preprocessing, and the file that should say more about it, if that is missing."""
    if settings is None:
        return Preprocess(native_size_of(config), getattr(config, "num_channels", None) or 3), PROCESSORS[0]
    try:
        return check_preprocess(preprocess_of(settings, config)), None
    except Exception as error:  # any JSON
        raise ValueError(
            f"{PROCESSORS[0]} of hf:{name} does not say how to prepare images: {first_line(error)}"
        ) from error


def find_config(transformers, name, pretrained):
    """The configuration of a repository or folder, or of an untrained net's type, for the part that sees images."""
    if not pretrained and name in transformers.CONFIG_MAPPING and not os.path.isdir(name):
        config = transformers.AutoConfig.for_model(name)
    else:
        config = find(name, transformers.AutoConfig.from_pretrained)
    vision = getattr(config, "vision_config", None)
    config = vision if hasattr(vision, "model_type") else config
    if getattr(config, "mask_ratio", None):
        config.mask_ratio = 0.0  # a masked autoencoder sees the whole image
    return confine(config, name)


def confine(config, name):
    """The configuration without what a net of timm inside it would load from elsewhere."""
    if getattr(config, "use_pretrained_backbone", False):
        config.use_pretrained_backbone = False
    if isinstance(getattr(config, "model_args", None), dict):
        config.model_args = drop_pointers(config.model_args, f"config.json of hf:{name}")
    if config.model_type == "timm_wrapper" and not import_optional("timm", "vision").is_model(config.architecture):
        raise ValueError(f"config.json of hf:{name} names no architecture of timm, got {config.architecture!r}")
    return config


def build(transformers, name, config):
    """The net with initial weights."""
    try:
        return transformers.AutoModel.from_config(config, trust_remote_code=False)
    except ImportError:
        raise
    except Exception as error:  # any values in a configuration
        raise ValueError(f"transformers cannot build hf:{name} from its config.json: {first_line(error)}") from error


def load_model(transformers, name, config):
    """The net with its weights, all of which the files must have but for a pooler's."""
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
    """What ``load`` makes of the files of a folder or repository, which are downloaded only if they are not here."""
    settings["trust_remote_code"] = False
    try:
        return load(name, local_files_only=True, **settings)
    except ImportError:
        raise
    except Exception as error:  # damaged files make the readers raise errors of all sorts
        if any(isinstance(cause, pickle.UnpicklingError) for cause in causes(error)):
            raise refused(name, "".join(map(asked_for, causes(error)))) from error
        if "trust_remote_code" in str(error):
            raise refused(name, " (its configuration names Python files)") from error
        if os.path.isdir(name):
            raise ValueError(f"{name} is not a folder of transformers with {file}: {first_sentence(error)}") from error
    check_hub(name, file, EXTRA)
    try:
        return load(name, **settings)
    except ImportError:
        raise
    except Exception as error:
        close = get_close_matches(name, list_huggingface("*"))
        hint = f" On this machine there are {close}" if close else ""
        raise ValueError(f"backbone='hf:{name}' names no folder or repository with {file}.{hint}") from error


def refused(name, what):
    """The error about files that hold code."""
    return ValueError(f"backbone='hf:{name}' is refused: loading it would run code of its own{what}")


def causes(error):
    """An error and those that it was raised from or while handling."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def first_sentence(error):
    """The beginning of a long message."""
    return first_line(error).partition(". ")[0]


@contextmanager
def quiet(transformers):
    """No progress bars and no reports of what was loaded: what does not fit is an error here."""
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
    """What ``preprocessor_config.json`` says about images; where it says nothing, -1 to 1 at the size of the net.

    Its mean and standard deviation are of pixels times its ``rescale_factor``, ours of pixels in 0..1.
    """
    channels = getattr(config, "num_channels", None) or 3
    crop = settings.get("crop_size") if settings.get("do_center_crop") else None
    size = size_of(crop) or size_of(settings.get("size")) or native_size_of(config) or (224, 224)
    scale = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255.0
    mean, std = settings.get("image_mean") or (0.5,) * channels, settings.get("image_std") or (0.5,) * channels
    if not settings.get("do_normalize", True):
        mean, std = (0.0,) * channels, (1.0,) * channels
    interpolation = "bicubic" if settings.get("resample") in SMOOTH else "bilinear"
    scaled = [tuple(value / scale for value in values) for values in (mean, std)]
    return Preprocess(size, channels, *scaled, interpolation)


def size_of(size):
    """(height, width) of what a processor calls a size; None if it says nothing definite."""
    if isinstance(size, int):
        return size, size
    size = size or {}
    side = size.get("shortest_edge")
    height, width = size.get("height", side), size.get("width", side)
    return (height, width) if height and width else None


def native_size_of(config):
    """(height, width) that the configuration of a net names; None if it names no size."""
    size = getattr(config, "image_size", None)
    if isinstance(size, int) and not isinstance(size, bool):
        return size, size
    return tuple(size) if isinstance(size, list | tuple) and len(size) == 2 else None
