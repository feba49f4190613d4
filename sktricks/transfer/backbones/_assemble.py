"""Turn a net from any source into a backbone."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..._layout import as_sides
from ..._warnings import BackboneConfigWarning, warn
from ...training._modules import dtype_of
from ..freezing._layers import evaluating
from ._backbone import Backbone, Preprocess, check_preprocess, is_int, match_dtype
from ._classifier import remove_classifier
from ._stages import main_tensor


@dataclass
class Net:
    """A net as loaded from its source, with its classifier.

    Parameters
    ----------
    model : torch.nn.Module
    preprocess : Preprocess
        Size and number of channels are those that the net was designed for, each None if unknown.
    name : str
    resize : bool, default=True
        Resize all images to that size, since the weights were trained at it. False resizes only images that the net
        cannot take.
    preferred_size : tuple of int or None, default=None
        (height, width) to which all images are resized if the net can take it.
    default_stages : list of str or None, default=None
        The stages whose features are used by default.
    lacks : str or None, default=None
        The missing file that should define how images are normalized.
    has_classifier : bool, default=True
        False if the classifier has already been removed.
    is_own : bool, default=False
        True for a net of the user.
    """

    model: nn.Module
    preprocess: Preprocess
    name: str
    resize: bool = True
    preferred_size: tuple | None = None
    default_stages: list | None = None
    lacks: str | None = None
    has_classifier: bool = True
    is_own: bool = False


def check_triple(image_shape):
    """Return ``image_shape`` as three ints, with 3 channels if it has none, or raise an error."""
    shape = as_sides(image_shape)
    shape = (*shape, 3) if len(shape) == 2 else shape
    if len(shape) != 3 or not all(is_int(side) and side >= 1 for side in shape):
        raise ValueError(
            "image_shape must be (height, width, channels), or for color images (height, width) or the side of a "
            f"square, in positive integers, got {image_shape!r:.200}"
        )
    return tuple(map(int, shape))


def native_size(config):
    """Return the ``image_size`` of a net, or of its configuration, as (height, width); None if it has none."""
    size = getattr(config, "image_size", None)
    if isinstance(size, int) and not isinstance(size, bool):
        return size, size
    return tuple(size) if isinstance(size, list | tuple) and len(size) == 2 else None


def assemble(net, image_shape):
    """Return the backbone for images of ``image_shape``, in evaluation mode and without the classifier."""
    net = fit_images(net, image_shape)
    example = make_example(net, image_shape)
    model = (remove_classifier(net.model, example) if net.has_classifier else net.model).eval()
    return Backbone(model, net.preprocess, example, net.name, net.default_stages)


def complete(net, image_shape, mean=None, std=None, interpolation=None):
    """Return the net with the preprocessing given by the user, or with an assumed one if it has none."""
    given = {"mean": per_channel("mean", mean), "std": per_channel("std", std), "interpolation": interpolation}
    if (mean is None) != (std is None):
        raise ValueError(f"mean and std must be given together, got mean={mean!r} and std={std!r}")
    if not (interpolation is None or isinstance(interpolation, str) and interpolation in ("bilinear", "bicubic")):
        raise ValueError(f"interpolation must be 'bilinear', 'bicubic' or None, got {interpolation!r:.200}")
    if net.lacks is not None:
        given |= assume_settings(net, image_shape, mean is not None)
    preprocess = replace(net.preprocess, **{name: value for name, value in given.items() if value is not None})
    return replace(net, preprocess=check_preprocess(preprocess))


def per_channel(name, values):
    """Return one number, or one per channel, as a tuple of floats."""
    if values is None:
        return None
    try:
        return tuple(float(value) for value in np.atleast_1d(values).tolist())
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be a number, a sequence with one number per channel, or None, got {values!r}"
        ) from error
    except OverflowError as error:
        raise ValueError(f"{name} must contain finite numbers, got {values!r:.200}") from error


def assume_settings(net, image_shape, is_given):
    """Return assumed settings for a net without its own, and warn unless the user has given mean and std."""
    size = net.preprocess.size
    if is_given:
        return {"size": size or tuple(image_shape[:2])}
    cure = f"pass backbone=load_backbone({net.name!r}, image_shape=..., mean=..., std=...)"
    if size is None:
        raise ValueError(
            f"backbone={net.name!r} has no {net.lacks} and no image_size in its config.json, so the size and the "
            f"normalization of its images are unknown: {cure}"
        )
    warn(
        f"{net.name} has no {net.lacks}: images are resized to {size[0]} x {size[1]} pixels, the image_size in its "
        f"config.json, and normalized to -1..1 (mean 0.5, std 0.5), which is a guess: {cure} to set them",
        BackboneConfigWarning,
    )
    return {"mean": (0.5,) * net.preprocess.channels, "std": (0.5,) * net.preprocess.channels}


def make_example(net, image_shape):
    """Return one preprocessed black image."""
    height, width, channels = image_shape
    return match_dtype(net.preprocess(torch.zeros(1, channels, height, width)), net.model)


def fit_images(net, image_shape):
    """Return the net with a preprocessing that makes images of this shape fit."""
    errors, attempts = [], ways_to_prepare(net, image_shape)
    mean, std = net.preprocess.mean, net.preprocess.std
    for preprocess in attempts:
        # Try a copy, since a Swin transformer adapts its windows to the first image and keeps them.
        model = deepcopy(net.model) if len(attempts) > 1 else net.model
        fitted = replace(net, model=model, preprocess=preprocess)
        try:
            with evaluating(model):
                check_rows(model(make_example(fitted, image_shape).repeat(2, 1, 1, 1)), 2)
            break
        except Exception as error:  # the code of a net may raise any error
            errors.append(error)
    else:
        refuse_images(net, image_shape, errors[0])
    return replace(fitted, preprocess=check_preprocess(replace(preprocess, mean=mean, std=std)))


def refuse_images(net, image_shape, error):
    """Raise an error for a net that cannot take images of this shape."""
    dtype = dtype_of(net.model)
    full = dtype in (torch.float32, torch.float64)
    cure = "" if full else f". Its parameters are {dtype}, but images are float32: call module.float()"
    if full and net.resize and net.preferred_size is not None:
        cure = f". Omit image_shape, since the net's own size is {net.preprocess.size}"
    raise ValueError(f"backbone {net.name} cannot take images of image_shape={image_shape}: {error}{cure}") from error


def check_rows(output, n_images):
    """Raise an error if a net packs several images into one row, as some nets for varying image sizes do."""
    tensor = main_tensor(output)
    if tensor is not None and tensor.ndim > 1 and len(tensor) != n_images:
        raise ValueError(f"it must return one row per image, got {len(tensor)} rows for {n_images} images")


def ways_to_prepare(net, image_shape):
    """Return the preprocessings to try: all sizes and, if it is unknown, several numbers of channels.

    They do not normalize: the number of means is compared with the number of channels that the net accepts.
    """
    known = net.preprocess.channels
    channels = [known] if known is not None else list(dict.fromkeys((image_shape[2], 3, 1)))
    sizes = sizes_to_try(net, image_shape)
    plain = replace(net.preprocess, mean=None, std=None)
    return [replace(plain, size=size, channels=number) for size in sizes for number in channels]


def sizes_to_try(net, image_shape):
    """Return the sizes to try: the preferred one, that of the images and its doubles, and the net's own size.

    For a net that requires one size, this is the only one: the preferred size, or the net's own.
    """
    native, first = net.preprocess.size, [] if net.preferred_size is None else [net.preferred_size]
    if native is None:
        return first or [None]
    if net.resize:
        return first or [native]
    height, width = image_shape[:2]
    sizes = [*first, None]
    while 2 * height < native[0] and 2 * width < native[1]:
        height, width = 2 * height, 2 * width
        sizes.append((height, width))
    return [*sizes, native]
