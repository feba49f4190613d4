"""What an augmenter leaves of an image at prediction, as indices of pixels: the center of it, or all."""

from __future__ import annotations

from math import prod

import numpy as np

from ._graph import Graph


def find_center(graph: Graph, augmenter, shape: tuple[int, ...], value_range) -> tuple[list[int], tuple[int, ...]]:
    """Return the indices of the values of a flat image that are left, in order, and the shape that they have.

    The augmenter itself is asked, by two images whose values tell where they come from; one that computes new values,
    as resizing does, is refused.

    Parameters
    ----------
    graph : Graph
    augmenter : augmenter or None
    shape : tuple of int
        (height, width, channels)
    value_range : tuple of float or None
    """
    count = prod(shape)
    if augmenter is None:
        return list(range(count)), shape
    low, high = (0.0, float(count)) if value_range is None else value_range
    values = low + (high - low) * np.arange(count) / count
    probes = [augmenter.center_images(one.reshape(1, *shape), value_range)[0] for one in (values, values[::-1])]
    indices = np.rint((probes[0].ravel() - low) / (high - low) * count).astype(int).clip(0, count - 1)
    for probe, expected in zip(probes, (values, values[::-1]), strict=True):
        if not np.allclose(probe.ravel(), expected[indices], rtol=0, atol=1e-3 * (high - low) / count):
            raise graph.refuse(
                f"{type(augmenter).__name__}, which resizes or pads images at prediction",
                "resize the images before, and crop to a size that lies inside of them",
            )
    return indices.tolist(), probes[0].shape
