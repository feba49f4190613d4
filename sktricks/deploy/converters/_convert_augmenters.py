"""Converters of augmenters as steps of a Pipeline: ``transform`` returns most rows and images unchanged."""

from __future__ import annotations

from ... import augment
from ...augment import BaseAugmenter
from .._graph import Graph, Paths, Table
from ._center_images import canonical, center_images, keeps_images, restored
from ._registry import converts


def is_augmenter(public):
    """Return True for the class of a concrete augmenter."""
    return isinstance(public, type) and issubclass(public, BaseAugmenter) and public is not BaseAugmenter


@converts(*(f"sktricks.augment.{name}" for name in augment.__all__ if is_augmenter(getattr(augment, name))))
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
