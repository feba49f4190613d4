"""The class of all backbones: stages, preprocessing, features."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, isfinite
from numbers import Integral

import torch
from torch import nn
from torch.nn import functional as F

from ...training._modules import dtype_of
from ...training._precision import HALF
from ..cache._fingerprint import fingerprint_of
from ..freezing._layers import call_order, evaluating, forward_hooks, layers_of
from ._fold import Encoder, EncoderHolder
from ._stages import find_channel_axes, find_stages, main_tensor, recording_shapes

MAX_SIDE = 4096  # largest image size, in pixels, that the configuration of a net may define
MAX_CHANNELS_OF_QUARTERS = 256  # stages with more channels return only the mean over the whole image


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing from images in 0..1, (n, channels, height, width), to the input of a net.

    Parameters
    ----------
    size : tuple of int or None
        (height, width) of the result; None keeps the size.
    channels : int or None
        Number of channels, 1 or 3: gray images are repeated, color images averaged. None keeps the channels.
    mean, std : tuple of float or None
        Mean and standard deviation per channel, for normalization.
    interpolation : {"bilinear", "bicubic"}, default="bilinear"
        Interpolation used for resizing.
    resize_mode : {"squash", "crop"}, default="squash"
        ``"squash"`` resizes the whole image; ``"crop"`` resizes the shorter side and takes the center.
    """

    size: tuple | None = None
    channels: int | None = None
    mean: tuple | None = None
    std: tuple | None = None
    interpolation: str = "bilinear"
    resize_mode: str = "squash"

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Resize, match the channels and normalize."""
        if self.channels == 3 and x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        elif self.channels == 1 and x.shape[1] == 3:
            x = x.mean(1, keepdim=True)
        if self.channels is not None and x.shape[1] != self.channels:
            raise ValueError(f"X must have images of {self.channels} channels for this backbone, got {x.shape[1]}")
        if self.size is not None and x.shape[2:] != self.size:
            x = (resize_and_crop if self.resize_mode == "crop" else resize)(x, self.size, self.interpolation)
        if self.mean is not None:
            mean, std = (x.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
            x = (x - mean) / std
        return x


def resize(x, size, interpolation):
    """Return images resized to (height, width)."""
    if x.shape[2:] == size:
        return x
    smaller = x.shape[2] > size[0] or x.shape[3] > size[1]
    x = F.interpolate(x, size, mode=interpolation, align_corners=False, antialias=smaller)
    return x.clamp(0, 1) if interpolation == "bicubic" else x  # bicubic interpolation overshoots at edges


def resize_and_crop(x, size, interpolation):
    """Resize the shorter side of images, and return their center of size (height, width)."""
    kept, covering = plan_crop(x.shape[2:], size)
    return take_center(resize(take_center(x, kept), covering, interpolation), size)


def plan_crop(shape, size):
    """Return the (height, width) of the center to resize, and the size to which it is resized.

    The ends of a very long image are cut off before resizing, to save memory.
    """
    (height, width), aspect_ratio = shape, size[1] / size[0]
    kept = min(height, ceil(4 * width / aspect_ratio)), min(width, ceil(4 * height * aspect_ratio))
    scale = max(size[0] / kept[0], size[1] / kept[1])
    covering = tuple(max(least, round(side * scale)) for least, side in zip(size, kept, strict=True))
    return kept, covering


def take_center(x, size):
    """Return the center of images, at most (height, width) in size."""
    sides = [min(side, wanted) for wanted, side in zip(size, x.shape[2:], strict=True)]
    top, left = ((side - kept) // 2 for side, kept in zip(x.shape[2:], sides, strict=True))
    return x[:, :, top : top + sides[0], left : left + sides[1]]


def check_preprocess(preprocess):
    """Return the preprocessing, or raise an error for invalid settings, which may come from a file."""
    size, channels, mean, std = (getattr(preprocess, name) for name in ("size", "channels", "mean", "std"))
    if size is not None and not (len(size) == 2 and all(is_int(side) and 1 <= side <= MAX_SIDE for side in size)):
        raise ValueError(f"the size of images must be a height and a width from 1 to {MAX_SIDE}, got {size!r}")
    if channels is not None and not (is_int(channels) and channels >= 1):
        raise ValueError(f"the number of channels must be an int of at least 1, got {channels!r}")
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and not (all(map(isfinite, values)) and len(values) in (1, channels or len(values))):
            raise ValueError(f"{name} must be {channels} finite numbers, got {values!r}")
    if std is not None and min(std) <= 0:
        raise ValueError(f"std must be greater than 0, got {std!r}")
    return preprocess


def is_int(value):
    """Return True for an int that is not a bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


class Enough(Exception):
    """Raised by a hook to end a forward pass once all required outputs have been computed."""


@contextmanager
def until_enough():
    """Suppress Enough, and the RuntimeError that replaces it if another thread changes the hooks meanwhile.

    After an error in a hook, torch iterates over the module's hooks to find those that must always be called.
    """
    try:
        yield
    except Enough:
        pass
    except RuntimeError as error:
        if not isinstance(error.__context__, Enough):
            raise


class Backbone(nn.Module):
    """A net without its classifier.

    Parameters
    ----------
    model : torch.nn.Module
        Returns a tensor, or a tuple, mapping or object of tensors, of which the pooled or the first one is used.
    preprocess : Preprocess
        Size, channels and normalization of the images that the model takes.
    example : torch.Tensor of shape (1, channels, height, width)
        A preprocessed image for a forward pass that records the order of layers and the numbers of features.
    name : str
        Name for errors and reports, such as ``"timm:resnet18"``.
    default_stages : list of str or None, default=None
        The stages whose features are used by default; None means the output of the model.

    Attributes
    ----------
    stages : list of str
        Names of the stages, in execution order: the children of the model that have parameters. A child that only wraps
        others, or is a list of blocks, is replaced by its own children. Of more than 16, only some are kept.
    layer_order : list of str
        Names of all modules of ``model``, in execution order.
    num_features : int
        Number of features that :meth:`features` returns by default.
    input_shape : tuple of int
        (channels, height, width) of the preprocessed images that the backbone was loaded for.

    See Also
    --------
    load_backbone : Load a backbone from its name, a file, a class, a factory or an instance.

    Examples
    --------
    >>> import torch
    >>> from sktricks import load_backbone
    >>> backbone = load_backbone("tiny32")
    >>> backbone.stages
    ['stem', 'stage1', 'stage2', 'stage3']
    >>> with torch.no_grad():
    ...     backbone.features(torch.zeros(2, 3, 32, 32), ["stage3"]).shape
    torch.Size([2, 1280])
    """

    features_text = ""  # included in the fingerprint

    def __init__(self, model, preprocess, example, name, default_stages=None):
        super().__init__()
        self.model, self.preprocess, self.name, self.default_stages = model, preprocess, name, default_stages
        self.input_shape, self._encoders = tuple(example.shape[1:]), EncoderHolder()
        with recording_shapes(model) as shapes:
            self.layer_order = call_order(model, lambda: self.run(example))
        if len(shapes.get("", ())) < 2:
            raise ValueError(f"backbone {name} must return a tensor with one row per image, got {shapes.get('')}")
        self.stages = find_stages(model, self.layer_order, shapes)
        self._channel_axes = find_channel_axes(self.layers, {name: shapes[name] for name in (*self.stages, "")})
        self.num_features = pool(torch.empty(shapes[""]), channel_axis=self._channel_axes[""]).shape[1]
        axes = {name: self._channel_axes[name] for name in self.stages}
        # Decide this only once, so that a pruned stage does not get additional features.
        self._quartered = {name for name, axis in axes.items() if gives_quarters(shapes[name], axis)}
        self._widths = {
            name: pool(torch.empty(shapes[name]), name in self._quartered, axis).shape[1] for name, axis in axes.items()
        }

    @property
    def layers(self):
        """The layers of the model, in execution order."""
        return layers_of(self.model, self.layer_order)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which the model computes: that of its first floating-point parameter."""
        return dtype_of(self.model)

    def run(self, x: torch.Tensor):
        """Return what the model makes of preprocessed images, float64 ones if its parameters are float64.

        Parameters
        ----------
        x : Tensor of shape (n, channels, height, width)
            Preprocessed images.

        Returns
        -------
        output : Tensor, or a tuple, mapping or object of tensors
            What the model returns.
        """
        return self.model(match_dtype(x, self.model))

    def features(self, x: torch.Tensor, stages: list[str] | None = None, *, upto: str | None = None) -> torch.Tensor:
        """Return one row of features per preprocessed image.

        Parameters
        ----------
        x : Tensor of shape (n, channels, height, width)
            Preprocessed images.
        stages : list of str, default=None
            Stages whose features are returned: for each, the mean of each channel and, if there are at most 256
            channels, its means over the four quarters of the image. Nothing after the last stage is computed. None
            returns the output of the model.
        upto : str, default=None
            Shorthand for ``stages=[upto]``.

        Returns
        -------
        features : Tensor of shape (n, features)
            A row of features per image.
        """
        if upto is not None and stages is not None:
            raise ValueError(f"stages and upto cannot be combined, got stages={stages!r} and upto={upto!r}")
        stages = stages if upto is None else [upto]
        if stages is None:
            return pool(main_tensor(self.run(x)), channel_axis=self._channel_axes[""])
        unknown = [stage for stage in stages if stage not in self.stages]
        if unknown or not stages:
            raise ValueError(f"stages must be among {self.stages}, got {unknown or stages}")
        pooled = self._pooled_outputs(x, set(stages))
        return torch.cat([pooled[name] for name in stages], 1)

    forward = features

    def count(self, stages):
        """Return the number of features of some stages, or of the output of the model for None.

        Parameters
        ----------
        stages : list of str or None
            Names of stages.

        Returns
        -------
        n_features : int
            The length of a row of :meth:`features`.
        """
        return self.num_features if stages is None else sum(self.widths(stages))

    def widths(self, stages):
        """Return the number of features of each of some stages.

        Parameters
        ----------
        stages : list of str
            Names of stages.

        Returns
        -------
        widths : list of int
            One number per stage.
        """
        return [self._widths[name] for name in stages]

    def _pooled_outputs(self, x, names):
        """Return the pooled outputs of some stages, by name, without computing anything after them."""
        pooled = {}

        def note(name, output):
            is_last = len(pooled.keys() | {name}) == len(names)
            # The next module may overwrite the output in place, as a ReLU does.
            output = main_tensor(output) if is_last else main_tensor(output).clone()
            pooled.setdefault(name, pool(output, name in self._quartered, self._channel_axes[name]))
            if is_last:
                raise Enough

        with until_enough(), forward_hooks(self.model, names, note):
            self.run(x)
        return pooled

    def count_again(self) -> None:
        """Count the features again after channels were removed from layers, and drop the encoders of the old layers."""
        self._encoders = EncoderHolder()
        # A new backbone with the same layers may have other features, so the fingerprints must differ.
        self.features_text = f" means over quarters: {sorted(self._quartered)}"
        vars(self).pop("_known_fingerprint", None)
        first = next(self.model.parameters())
        x = torch.zeros(1, *self.input_shape, device=first.device, dtype=first.dtype)
        with evaluating(self):
            self.num_features = self.features(x).shape[1]
            self._widths = {name: self.features(x, [name]).shape[1] for name in self.stages}

    def encoder(self, fingerprint: str, device: torch.device) -> Encoder:
        """Return a faster net that computes the same features in evaluation mode.

        Parameters
        ----------
        fingerprint : str
            The fingerprint of this backbone; an existing encoder is returned if its fingerprint is the same.
        device : torch.device
            Where the images will be.

        Returns
        -------
        encoder : Encoder
            A callable net, shared by all who ask for it.
        """
        return self._encoders.get(self, fingerprint, device)

    def fingerprint(self) -> str:
        """Return a hash of weights, buffers, settings, preprocessing and code; it changes whenever the features do.

        The code is the source of classes, methods, hooks and functions, with the globals that they use. It does not
        include values that they read from modules without a known version, such as ``settings.SCALE``. If a net uses
        such a module, a lambda, or code that is not in a file (console, notebook), the hash is valid in this process
        only, and starts with ``"memory-only:"``.

        Returns
        -------
        fingerprint : str
            A hash as text.
        """
        return fingerprint_of(self)


def match_dtype(x, model):
    """Return images as float64 for a model with float64 parameters, and unchanged for any other."""
    return x.double() if dtype_of(model) == torch.float64 else x


def gives_quarters(shape, channel_axis):
    """Return True if the features of a stage with this output shape include means over quarters."""
    return len(shape) == 4 and shape[1 if channel_axis is None else channel_axis] <= MAX_CHANNELS_OF_QUARTERS


def pool(x, quarters=False, channel_axis=None):
    """Return the means over all positions, and optionally over the quarters, as (n, channels) or (n, 5 * channels).

    ``channel_axis`` is the second axis by default, and the third for tokens, (n, tokens, channels).
    """
    x = x.float() if x.dtype in HALF else x  # so that means are rounded only once
    if x.ndim == 2:
        return x
    x = x.movedim((2 if x.ndim == 3 else 1) if channel_axis is None else channel_axis, 1)
    whole = x.mean(tuple(range(2, x.ndim)))
    if not quarters or x.ndim != 4 or min(x.shape[2:]) < 2:
        return whole
    return torch.cat([whole, F.adaptive_avg_pool2d(x, 2).flatten(1)], 1)
