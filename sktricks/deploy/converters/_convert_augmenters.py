"""Converters of augmenters as steps of a Pipeline: ``transform`` leaves most rows and images as they are."""

from __future__ import annotations

from .._graph import Graph, Paths, Table
from ._center_images import canonical, center_images, keeps_images, restored
from ._registry import converts

NAMES = (
    "AugmentationPipeline",
    "ColorJitter",
    "CutMix",
    "FeatureDropout",
    "GaussianBlur",
    "GaussianNoise",
    "MixUp",
    "RandomAffine",
    "RandomApply",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomGrayscale",
    "RandomResizedCrop",
    "RandomRotation",
    "SwapNoise",
    "TrivialAugment",
)


@converts(*(f"sktricks.augment.{name}" for name in NAMES))
def convert_augmenter(graph: Graph, augmenter, X: Table) -> Table:
    """Add the deterministic counterpart of an augmenter."""
    if isinstance(X, Paths):
        raise graph.refuse("a column of image files", "put ImageLoader before it")
    shape = augmenter.image_shape_ or (1, augmenter.n_features_in_, 1)
    if keeps_images(augmenter, shape):
        return X
    value = graph.matrix(X)
    images = canonical(graph, value, shape)
    images = center_images(graph, augmenter, images, augmenter.value_range_)
    return restored(graph, images, images.shape, len(value.shape))
