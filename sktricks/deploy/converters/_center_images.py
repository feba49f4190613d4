"""Images as augmenters return them at prediction time: unchanged, cropped to the center, or resized."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...augment import AugmentationPipeline, BaseAugmenter, RandomApply, RandomCrop, RandomResizedCrop
from ...augment._pixel_values import from_float
from ...augment.transforms._geometry import GeometricAugmenter, crop_center
from .._graph import Graph, Value

OUTSIDE = -1  # the index of pixels of the border
KEEPS = BaseAugmenter.center_images.__code__  # compared by code, since subclasses get renamed copies of the method


def center_images(graph: Graph, augmenter, images: Value, value_range) -> Value:
    """Return canonical images, (height, width, channels), as ``augmenter.center_images`` does."""
    if keeps_images(augmenter, images.shape):
        return images
    if type(augmenter) in (AugmentationPipeline, RandomApply):
        for step in augmenter._augmenters():
            images = center_images(graph, step, images, value_range)
        return images
    if type(augmenter) is RandomCrop:
        return crop(graph, augmenter, images, value_range)
    if type(augmenter) is RandomResizedCrop:
        return resize_whole(graph, augmenter, images)
    raise graph.refuse(
        f"{type(augmenter).__name__}, which changes images at prediction time by its own code",
        "change the images before the export, or use an augmenter of sktricks",
    )


def keeps_images(augmenter, shape) -> bool:
    """Return True for None, and for an augmenter that keeps images of this (height, width, channels) unchanged."""
    if type(augmenter) in (AugmentationPipeline, RandomApply):
        return all(keeps_images(step, shape) for step in augmenter._augmenters())
    if type(augmenter) in (RandomCrop, RandomResizedCrop):
        return augmenter.output_shape(shape) == tuple(shape)
    return augmenter is None or type(augmenter).center_images.__code__ is KEEPS


def crop(graph: Graph, augmenter: RandomCrop, images: Value, value_range) -> Value:
    """Return the center of images; smaller images are padded."""
    sides = augmenter.output_shape(images.shape)[:2]
    mode, fill = GeometricAugmenter.find_border(augmenter, images.shape, value_range)
    for axis, (old, new) in enumerate(zip(images.shape, sides, strict=False), start=1):
        numbers = np.arange(old).reshape(1, old, 1, 1)
        taken = crop_center(numbers, (new, 1), mode, OUTSIDE).ravel()
        images = take_pixels(graph, images, taken, axis, from_float(np.array(float(fill)), images.dtype))
    return images


def take_pixels(graph: Graph, images: Value, taken: np.ndarray, axis: int, fill: np.ndarray) -> Value:
    """Return rows or columns of images by their indices; the border has the value ``fill``."""
    inside = np.flatnonzero(taken != OUTSIDE)
    before, after = int(inside[0]), len(taken) - 1 - int(inside[-1])
    indices = graph.constant(taken[inside], np.int64)
    shape = [*images.shape]
    shape[axis - 1] = len(inside)
    images = graph.op("Gather", images, indices, dtype=images.dtype, shape=shape, axis=axis)
    if not before and not after:
        return images
    pads = np.zeros((2, 4), np.int64)
    pads[:, axis] = before, after
    shape[axis - 1] = len(taken)
    value = graph.constant(np.asarray(fill).item(), images.dtype)
    return graph.op("Pad", images, graph.constant(pads.ravel()), value, dtype=images.dtype, shape=shape)


def resize_whole(graph: Graph, augmenter: RandomResizedCrop, images: Value) -> Value:
    """Return images resized by bilinear interpolation, vertically first, like the compiled loops.

    Integers are rounded afterwards. For a mean halfway between two integers, another order could round differently.
    """
    sides = augmenter.output_shape(images.shape)[:2]
    x = graph.cast(images, np.float64 if images.dtype == np.float64 else np.float32)
    for axis, side in enumerate(sides, start=1):
        x = interpolate(graph, x, axis, side)
    x = graph.op("Round", x, dtype=x.dtype, shape=x.shape) if images.dtype.kind in "iu" else x
    return graph.cast(x, images.dtype)


def interpolate(graph: Graph, x: Value, axis: int, new: int) -> Value:
    """Return images resampled along an axis by linear interpolation."""
    old = x.shape[axis - 1]
    if old == new:
        return x
    step = old / new
    positions = np.clip(1 + (step - 1) / 2 + step * np.arange(new), 1, old)  # from 1, as the compiled loops count
    first = np.floor(positions).astype(np.int64) - 1
    weights = (positions - 1 - first).reshape(-1, *[1] * (len(x.shape) - axis))
    shape = tuple(new if number == axis else side for number, side in enumerate(x.shape, start=1))
    near, far = (
        graph.op("Gather", x, graph.constant(indices), dtype=x.dtype, shape=shape, axis=axis)
        for indices in (first, np.minimum(first + 1, old - 1))
    )
    return graph.binary("Add", near, graph.binary("Mul", graph.binary("Sub", far, near), weights))


def canonical(graph: Graph, X: Value, shape: Sequence[int]) -> Value:
    """Return rows or images as images of shape (height, width, channels)."""
    return X if X.shape == tuple(shape) else graph.reshape(X, shape)


def restored(graph: Graph, value: Value, shape: Sequence[int], n_axes: int) -> Value:
    """Return images of shape (height, width, channels) in the layout of X, whose rows have ``n_axes`` axes."""
    height, width, channels = shape
    wanted = {1: (height * width * channels,), 2: (height, width)}.get(n_axes, tuple(shape))
    return value if wanted == value.shape else graph.reshape(value, wanted)
