"""The pretrained part of a net, from images to features, with its frozen layers."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import __version__
from .._progress import SILENT
from ..images._image_files import ImageFiles
from ..training._batch_ladder import smallest_batch
from ..training._inputs import LazyImages, images_at_once, map_images, prepare_images
from ..training._precision import BFLOAT16, computing_in
from ._layer_rates import group_parameters, set_factors, stage_depths
from .backbones._fold import Encoder, channels_last
from .cache._fingerprint import fingerprint_of
from .freezing._freeze import batch_norms, choose_statistics, set_frozen, statistics_of

ENCODING = 4  # version of the encoding of images; part of the fingerprint, so that caches ignore older features

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..training._inner_net import InnerNet
    from .backbones import Backbone
    from .cache._feature_cache import FeatureCache
    from .freezing._boundary import Boundary


@dataclass(eq=False)
class Prefix:
    """A backbone as one estimator uses it.

    Parameters
    ----------
    stages : list of str or None
        Stages of the backbone whose features are used; None for its output.
    n_frozen : int, default=0
        Number of frozen layers, counted from the input.
    encodes_once : bool, default=False
        True if the features of an image are the same in all epochs, so that they are computed once before training.
    rates : tuple of float, default=(1.0, 1.0)
        ``backbone_lr_scale`` and ``layer_decay``.

    Attributes
    ----------
    backbone : Backbone
        Set by :meth:`attach`, like the next three attributes.
    value_range : tuple of float
        Smallest and largest value of a pixel.
    device : torch.device
    precision : {"float32", "bfloat16"}
    boundary : Boundary or None
        The boundary after the frozen layers, if the values there are computed once and the suffix is trained on them.
    """

    stages: list[str] | None
    n_frozen: int = 0
    encodes_once: bool = False
    rates: tuple[float, float] = (1.0, 1.0)
    backbone: Backbone = field(init=False, repr=False)
    value_range: tuple[float, float] = field(init=False, repr=False)
    device: torch.device = field(init=False, repr=False)
    precision: str = field(init=False, repr=False)
    boundary: Boundary | None = field(default=None, init=False, repr=False)

    def attach(
        self, backbone: Backbone, value_range: tuple[float, float], device: torch.device, precision: str
    ) -> None:
        """Set the backbone, which is already on the device, its value range, and its precision."""
        self.backbone, self.value_range, self.device, self.precision = backbone, value_range, device, precision

    def without_backbone(self) -> Prefix:
        """Return a shallow copy without the backbone."""
        other = copy(self)
        del other.backbone
        return other

    # -- features ----------------------------------------------------------------------------------------------------

    @property
    def n_features(self) -> int:
        """Number of features per image."""
        return self.backbone.count(self.stages)

    @property
    def widths(self) -> list[int]:
        """Number of features of each stage."""
        return [self.n_features] if self.stages is None else [self.backbone.count([name]) for name in self.stages]

    @property
    def numpy_dtype(self) -> type:
        """The dtype of features as arrays: float64 for a float64 backbone, otherwise float32."""
        return np.float64 if self.backbone.dtype == torch.float64 else np.float32

    def prepare(self, augmenter=None, rng=None) -> Callable:
        """Return a function that converts a batch of canonical images to the input of the backbone."""
        return prepare_images(self.value_range, augmenter, rng, self.backbone.preprocess)

    def encode(self, images, cache: FeatureCache | None = None, *, as_is: bool = False, **how) -> torch.Tensor:
        """Return the features of canonical images, (n, n_features), in evaluation mode and on the CPU.

        Parameters
        ----------
        images : Tensor of shape (n, height, width, channels), or LazyImages
        cache : FeatureCache or None, default=None
            Images whose features are in the cache are not encoded again.
        as_is : bool, default=False
            Use the backbone itself, in its present state, instead of its faster copy.
        **how
            For the cache, ``fill=False`` to store few rows only, and ``unchanged=True`` for a backbone that was loaded
            just now. Without a cache, the ``batch_size``; None is one that is fast. ``progress`` counts the images.
        """
        if as_is:
            return self._compute(Encoder(self._ready_backbone()), images, cache, **how)
        encoder = self._encoder(how.pop("unchanged", False))
        return self._compute(encoder, images, cache, unchanged=True, **how)

    def _encoder(self, unchanged=False):
        """Return the faster copy of the backbone; copy it again if the backbone has changed."""
        return self.backbone.encoder(fingerprint_of(self.backbone, unchanged), self.device)

    def _ready_backbone(self):
        """Return the backbone in evaluation mode on the device."""
        return self.backbone.to(self.device).eval()

    def encode_prefix(self, images, cache: FeatureCache | None = None, **how) -> torch.Tensor:
        """Return the values at the boundary for canonical images; parameters as in :meth:`encode`."""
        assert self.boundary is not None
        return self._compute(Encoder(self._ready_backbone()), images, cache, boundary=self.boundary, **how)

    def run_suffix(self, values: torch.Tensor, batch_size: int) -> torch.Tensor:
        """Return the features for values at the boundary, computed in evaluation mode, as a tensor on the CPU."""
        assert self.boundary is not None
        run = partial(self.boundary.run_suffix, self._ready_backbone(), stages=self.stages)
        with torch.no_grad(), computing_in(self.precision, self.device):
            return map_images(lambda part: run(part.to(self.device)), values, batch_size)

    def _compute(
        self, encoder, images, cache, boundary=None, fill=True, unchanged=False, batch_size=None, progress=SILENT
    ):
        """Return the features of images, or their values at a boundary."""
        prepare, net, device = self.prepare(), encoder.backbone, self.device
        if boundary is None:
            compute, n_columns = partial(net.features, stages=self.stages), self.n_features
        else:
            compute, n_columns = partial(boundary.encode_prefix, net), boundary.n_values

        setting = self.precision, str(self.stages), boundary is None

        def run(images):
            x = channels_last(prepare(images.to(device))[0], device)
            with computing_in(self.precision, device):
                return compute(x).float() if self.precision == BFLOAT16 else compute(x)

        def encode_rows(images):
            images = LazyImages(images) if isinstance(images, ImageFiles) else images
            usual = batch_size or images_at_once(net, prepare, images, device)
            with torch.no_grad():
                size = usual if fill else smallest_batch(run, net, images, usual, setting)
                return map_images(run, images, size, progress)

        if cache is None:
            return encode_rows(images)
        rows = images.files if isinstance(images, LazyImages) else images  # files in the cache are not even decoded
        fingerprint = self.fingerprint(boundary or self.stages, encoder.n_folded, unchanged)
        how = {"n_features": n_columns, "dtype": self.numpy_dtype, "progress": progress}
        return torch.from_numpy(cache.encode(rows, fingerprint, encode_rows, fill, **how))

    def fingerprint(self, part, n_folded: int, unchanged: bool = False) -> str:
        """Return a text that determines the features that ``part`` of the backbone computes, to the last bit."""
        low, high = self.value_range
        versions = f"{torch.__version__} {__version__} {ENCODING}"  # they represent the code outside the net
        net = f"{fingerprint_of(self.backbone, unchanged)} folded={n_folded} {self.precision}"
        return f"{net} {low!r} {high!r} {part} {self.device.type} {versions}"

    def report(self, cache: FeatureCache) -> str:
        """Return how many images were encoded and reused so far, as text."""
        return cache.report(self.fingerprint(self.stages, self._encoder().n_folded, unchanged=True))

    # -- what is frozen ----------------------------------------------------------------------------------------------

    def freeze(self, net: InnerNet) -> None:
        """Freeze layers of the backbone in a new net, and set the learning rates of its other layers."""
        layers = self.backbone.layers
        if self.rates != (1, 1):
            set_factors(layers, stage_depths(layers, self.backbone.stages), *self.rates)
            group_parameters(net.optimizer_, net.module_)
        set_frozen(self.backbone.model, self.backbone.layer_order, self.n_frozen, [net.optimizer_])

    def trainable_norms(self) -> list[torch.nn.Module]:
        """Return the BatchNorms that are not frozen."""
        return batch_norms(self.backbone.layers[self.n_frozen :])

    def choose_statistics(self, batch_size: int) -> None:
        """Make trainable BatchNorms use batch statistics if batches are large enough, otherwise running statistics."""
        choose_statistics(self.trainable_norms(), batch_size)

    @property
    def statistics(self) -> str | None:
        """The statistics of trainable BatchNorms, ``"batch"`` or ``"running"``; None if there are none."""
        return statistics_of(self.trainable_norms())


def check_stages(backbone: Backbone, stages) -> list[str] | None:
    """Return the stages whose features are used, by default those of the backbone; raise an error for unknown ones."""
    if isinstance(stages, str):
        return backbone.default_stages
    unknown = [stage for stage in stages if stage not in backbone.stages]
    if unknown or not stages:
        raise ValueError(f"stages must be 'auto' or some of {backbone.stages}, got {stages!r}")
    return list(stages)
