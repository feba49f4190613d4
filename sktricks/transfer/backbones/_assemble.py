"""From a net, wherever it comes from, to a backbone."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..._parameter_checks import as_pair
from ..._warnings import BackboneConfigWarning, warn
from ...training._modules import dtype_of
from ..freezing._layers import evaluating
from ._backbone import Backbone, Preprocess, check_preprocess, is_int, match_dtype
from ._classifier import remove_classifier
from ._stages import main_tensor


@dataclass
class Net:
    """What a source gives: a net with its classifier still on.

    Parameters
    ----------
    model : torch.nn.Module
    preprocess : Preprocess
        With the size and the channels of the images that the net is made for, each None if it is not known.
    name : str
    resize : bool, default=True
        Whether images are resized to that size whatever theirs is, as for weights that were trained at it. If not, they
        are resized only where the net cannot take them.
    default_stages : list of str or None
    lacks : str or None
        The file that should say how images are normalized, if it is missing.
    has_classifier : bool, default=True
        False for a net whose classifier is off already.
    """

    model: nn.Module
    preprocess: Preprocess
    name: str
    resize: bool = True
    default_stages: list | None = None
    lacks: str | None = None
    has_classifier: bool = True


def check_triple(image_shape):
    """``image_shape`` as three ints, or an error."""
    shape = as_pair(image_shape)
    if len(shape) != 3 or not all(is_int(side) and side >= 1 for side in shape):
        raise ValueError(
            "image_shape must be a triple (height, width, channels) of integers of at least 1, "
            f"got {image_shape!r:.200}"
        )
    return tuple(map(int, shape))


def assemble(net, image_shape):
    """The backbone for images of ``image_shape``, (height, width, channels): the classifier off, in evaluation mode."""
    net = fit_images(net, image_shape)
    example = make_example(net, image_shape)
    model = (remove_classifier(net.model, example) if net.has_classifier else net.model).eval()
    return Backbone(model, net.preprocess, example, net.name, net.default_stages)


def complete(net, image_shape, mean=None, std=None, interpolation=None):
    """The net with the settings of its preprocessing that the user gives, and with assumptions where it names none."""
    given = {"mean": per_channel("mean", mean), "std": per_channel("std", std), "interpolation": interpolation}
    if (mean is None) != (std is None):
        raise ValueError(f"mean and std must be given together, got mean={mean!r} and std={std!r}")
    if not (interpolation is None or isinstance(interpolation, str) and interpolation in ("bilinear", "bicubic")):
        raise ValueError(f"interpolation must be 'bilinear', 'bicubic' or None, got {interpolation!r:.200}")
    if net.lacks is not None:
        given |= assumed(net, image_shape, mean is not None)
    preprocess = replace(net.preprocess, **{name: value for name, value in given.items() if value is not None})
    return replace(net, preprocess=check_preprocess(preprocess))


def per_channel(name, values):
    """One number, or one for each channel, as a tuple of floats."""
    if values is None:
        return None
    try:
        return tuple(float(value) for value in np.atleast_1d(values).tolist())
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be a number, a sequence with a number per channel or None, got {values!r}"
        ) from error
    except OverflowError as error:
        raise ValueError(f"{name} must hold finite numbers, got {values!r:.200}") from error


def assumed(net, image_shape, is_told):
    """What stands for settings that a net does not name, with a warning unless the user names them."""
    size = net.preprocess.size
    if is_told:
        return {"size": size or tuple(image_shape[:2])}
    cure = f"load_backbone({net.name!r}, image_shape=..., mean=..., std=...) sets them, and backbone= takes the result"
    if size is None:
        raise ValueError(
            f"backbone={net.name!r} has no {net.lacks} and no image_size in its config.json, so the size and the "
            f"normalization of its images are unknown: {cure}"
        )
    warn(
        f"{net.name} has no {net.lacks}: images are resized to {size[0]} x {size[1]} pixels, the image_size in its "
        f"config.json, and normalized to -1..1 (mean 0.5, std 0.5), which is a guess: {cure}",
        BackboneConfigWarning,
    )
    return {"mean": (0.5,) * net.preprocess.channels, "std": (0.5,) * net.preprocess.channels}


def make_example(net, image_shape):
    """One black image, as the net takes it."""
    height, width, channels = image_shape
    return match_dtype(net.preprocess(torch.zeros(1, channels, height, width)), net.model)


def fit_images(net, image_shape):
    """The net with a preprocessing that makes what it can take of images of this shape."""
    errors, attempts = [], ways_to_prepare(net, image_shape)
    for preprocess in attempts:
        # a Swin transformer adapts its windows to the first image, and keeps them
        model = deepcopy(net.model) if len(attempts) > 1 else net.model
        fitted = replace(net, model=model, preprocess=preprocess)
        try:
            with evaluating(model):
                check_rows(model(make_example(fitted, image_shape).repeat(2, 1, 1, 1)), 2)
            return fitted
        except Exception as error:  # a net is any code, and so are its errors
            errors.append(error)
    dtype = dtype_of(net.model)
    full = dtype in (torch.float32, torch.float64)
    cure = "" if full else f". Its parameters are {dtype}, images float32: call module.float()"
    raise ValueError(f"backbone {net.name} cannot take images of shape {image_shape}: {errors[0]}{cure}") from errors[0]


def check_rows(output, n_images):
    """An error if a net packs several images into one row, as nets for images of different sizes do."""
    tensor = main_tensor(output)
    if tensor is not None and tensor.ndim > 1 and len(tensor) != n_images:
        raise ValueError(f"it must give a row for each image, got {len(tensor)} for {n_images} images")


def ways_to_prepare(net, image_shape):
    """The preprocessings to try, of one size after the other and, if the net's channels are unknown, of several."""
    known = net.preprocess.channels
    channels = [known] if known is not None else list(dict.fromkeys((image_shape[2], 3, 1)))
    sizes = sizes_to_try(net, image_shape)
    return [replace(net.preprocess, size=size, channels=number) for size in sizes for number in channels]


def sizes_to_try(net, image_shape):
    """The size that the net is made for, if images must have it; else theirs, twice, four times, ..., and then that."""
    native = net.preprocess.size
    if net.resize or native is None:
        return [native]
    height, width = image_shape[:2]
    sizes = [None]
    while 2 * height < native[0] and 2 * width < native[1]:
        height, width = 2 * height, 2 * width
        sizes.append((height, width))
    return [*sizes, native]
