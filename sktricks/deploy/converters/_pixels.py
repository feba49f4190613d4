"""Convert pixels from the input of a graph to the input of a net: scaled, channels first, resized, normalized.

Resizing is linear in each direction, and is written as two matrix products. The matrices are obtained by resizing an
identity matrix with torch, so that they are correct for any interpolation, with or without antialiasing.
"""

from __future__ import annotations

from math import prod
from typing import TypeGuard

import numpy as np
import torch
from torch.nn import functional as F

from ...training._inputs import LEVELS
from ...transfer.backbones._backbone import Preprocess, plan_crop
from .._graph import STRING, Frame, Graph, Paths, Table, Value


def read_images(graph: Graph, X: Table, shape: tuple[int, int, int], **decoding) -> Value:
    """Return canonical images of this (height, width, channels) in the dtype of X; files are uint8."""
    if is_column_of_files(X):
        return graph.decode(X, shape, **decoding)
    value = graph.matrix(X)
    if prod(value.shape) != prod(shape):
        raise graph.refuse(f"an input of shape {value.shape}", f"pass images of shape {shape}, or as rows")
    return value if value.shape == shape else graph.reshape(value, shape)


def is_column_of_files(X: Table) -> TypeGuard[Paths | Frame]:
    """Return True for a column that may hold paths of image files."""
    return isinstance(X, Paths) or (isinstance(X, Frame) and [v.dtype for v in X.columns.values()] == [STRING])


def scale_pixels(graph: Graph, images: Value, value_range: tuple[float, float]) -> Value:
    """Return canonical images as float32 in 0..1, of shape (channels, height, width)."""
    low, high = value_range
    height, width, channels = images.shape
    shape = channels, height, width
    if channels == 1:
        x = graph.reshape(images, shape)
    else:
        x = graph.op("Transpose", images, dtype=images.dtype, shape=shape, perm=[0, 3, 1, 2])
    x = graph.cast(x, np.float64 if is_coarse(images.dtype, value_range) else np.float32)
    x = graph.binary("Sub", x, low) if low else x
    return graph.binary("Div", graph.cast(x, np.float32), high - low)


def is_coarse(dtype: np.dtype, value_range: tuple[float, float]) -> bool:
    """Return True if float32 would merge pixels; see :func:`~sktricks.training._inputs.images_to_tensor`."""
    low, high = value_range
    n_levels = (high - low) / (max(abs(low), abs(high)) * float(np.finfo(np.float32).eps))
    return n_levels < LEVELS and not np.can_cast(dtype, np.float32)


def preprocess(graph: Graph, x: Value, how: Preprocess) -> Value:
    """Return images in 0..1 after a backbone's preprocessing: see :class:`Preprocess`."""
    if type(how) is not Preprocess:
        raise graph.refuse(f"preprocessing by {type(how).__name__}", "use a backbone of load_backbone")
    if how.channels == 1 and x.shape[0] == 3:
        axes = graph.constant([1], np.int64)
        x = graph.op("ReduceMean", x, axes, dtype=x.dtype, shape=(1, *x.shape[1:]), keepdims=1)
    if how.size is not None and x.shape[1:] != how.size:
        x = resize(graph, x, how)
    if how.channels == 3 and x.shape[0] == 1:
        x = graph.op("Concat", x, x, x, dtype=x.dtype, shape=(3, *x.shape[1:]), axis=1)
    if how.mean is not None:
        x = graph.binary("Sub", x, per_channel(how.mean, x.shape[2]))
        x = graph.binary("Div", x, per_channel(how.std, x.shape[2]))
    return x


def per_channel(values, width: int) -> np.ndarray:
    """Return numbers per channel as an array for images, (1, channels, 1, width), or as one number if all are equal.

    Runtimes compute int8 with channels last, where broadcasting an array of only a few channels would be slow.
    """
    if len(set(values)) == 1:
        return np.array(values[0])
    return np.tile(np.reshape(values, (1, -1, 1, 1)), (1, 1, 1, width))


def resize(graph: Graph, x: Value, how: Preprocess) -> Value:
    """Return images resized to (height, width)."""
    assert how.size is not None
    rows, columns = resizing_matrices(x.shape[1:], how.size, how.interpolation, how.resize_mode)
    channels, height, _ = x.shape
    if not is_identity(columns):
        x = graph.op("MatMul", x, graph.constant(columns.T), dtype=x.dtype, shape=(channels, height, len(columns)))
    if not is_identity(rows):
        x = graph.op("MatMul", graph.constant(rows), x, dtype=x.dtype, shape=(channels, *how.size))
    if how.interpolation == "bicubic":
        low, high = graph.constant(0.0, np.float32), graph.constant(1.0, np.float32)
        x = graph.op("Clip", x, low, high, dtype=x.dtype, shape=x.shape)
    return x


def resizing_matrices(shape, size, interpolation: str, resize_mode: str) -> list[np.ndarray]:
    """Return the two matrices (new, old), float32, that resize images of (height, width) by multiplication."""
    kept, covering = (shape, size) if resize_mode == "squash" else plan_crop(shape, size)
    antialias = any(new < old for new, old in zip(covering, kept, strict=True))
    matrices = []
    for side, part, full, wanted in zip(shape, kept, covering, size, strict=True):
        matrix = interpolation_matrix(part, full, interpolation, antialias)
        outside = (side - part) // 2
        matrix = np.pad(matrix, ((0, 0), (outside, side - part - outside)))
        start = (full - wanted) // 2
        matrices.append(np.ascontiguousarray(matrix[start : start + wanted]))
    return matrices


def interpolation_matrix(old: int, new: int, interpolation: str, antialias: bool) -> np.ndarray:
    """Return the matrix (new, old) of torch's interpolation along one side."""
    if old == new:
        return np.eye(old, dtype=np.float32)
    rows = torch.eye(old)[None, None]  # one for each pixel; of images of one row torch 2.13 mixes up the axes
    x = F.interpolate(rows, (old, new), mode=interpolation, align_corners=False, antialias=antialias)
    return x[0, 0].T.numpy()


def is_identity(matrix: np.ndarray) -> bool:
    """Return True for an identity matrix."""
    return matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))
