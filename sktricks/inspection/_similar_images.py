"""Find images that are nearly equal, by comparing small thumbnails of all images block by block.

Two images are similar if their thumbnails are much closer to each other than to those of other images. This holds for
nearly all copies of a photo, and rarely for photos of different objects, independent of their contrast.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.utils import gen_batches

from .._progress import SILENT

SIDE = 8  # pixels per side of a thumbnail, which JPEG artifacts and resizing to half the size hardly change
SMALL = 64  # images with a shorter side below this are visibly blurred by resizing, and also compared after blurring
RATIO, RATIO_OF_SMALL = 0.35, 0.45  # two images are similar below this fraction of the distance to the eighth nearest
RANK = 8
TIGHT = 0.04  # the distance, in standard deviations of all thumbnails, below which two images are always similar
NEAREST = 32  # neighbors per image that are considered
BYTES = 2**26  # of memory for one block


def thumbnails_of_images(images, blur=False):
    """Return the means of 8 x 8 cells of images (n, height, width, channels), as (n, values) float32.

    ``blur`` first resizes the images to half of their size and back.
    """
    vertical, horizontal = (shrink(side, blur).astype(np.float32) for side in images.shape[1:3])
    thumbnails = np.empty((len(images), SIDE * SIDE * images.shape[3]), np.float32)
    step = max(1, BYTES // (4 * images[0].size))
    for rows in gen_batches(len(images), step):
        part = np.einsum("ah,nhwc->nawc", vertical, images[rows].astype(np.float32), optimize=True)
        part = np.einsum("bw,nawc->nabc", horizontal, part, optimize=True)
        thumbnails[rows] = part.reshape(len(part), -1)
    return thumbnails


def shrink(side, blur):
    """Return the matrix (8, side) that reduces one side of an image."""
    weights = average_cells(side, SIDE)
    half = max(1, side // 2)
    return weights @ interpolate(half, side) @ average_cells(side, half) if blur else weights


def average_cells(n, n_cells):
    """Return the matrix (n_cells, n) of means over cells of equal width, whose limits may be inside a pixel."""
    starts = np.arange(n_cells)[:, None] * n / n_cells
    overlap = np.minimum(starts + n / n_cells, np.arange(n) + 1) - np.maximum(starts, np.arange(n))
    return np.maximum(overlap, 0) * n_cells / n


def interpolate(n, n_new):
    """Return the matrix (n_new, n) of a linear interpolation from n pixels to more."""
    centers = np.clip((np.arange(n_new) + 0.5) * n / n_new - 0.5, 0, n - 1)
    return np.maximum(0, 1 - np.abs(centers[:, None] - np.arange(n)))


def find_similar(thumbnails, blurred=None, progress=SILENT):
    """Return the pairs of similar images, (pairs, 2) int, the smaller index first.

    Parameters
    ----------
    thumbnails : ndarray of shape (n, values)
    blurred : ndarray of shape (n, values), default=None
        Thumbnails of blurred images, for small images, since enlarged copies are blurred.

    Notes
    -----
    Each image is compared with all others, but only its distances to the 32 nearest are kept.
    """
    n = len(thumbnails)
    if n < 2:
        return np.empty((0, 2), np.intp)
    ratio = RATIO if blurred is None else RATIO_OF_SMALL
    neighbors, distances = find_neighbors(*standardize(thumbnails, blurred), progress)
    scale = ratio * distances[:, choose_rank(n) - 1]
    near = distances <= np.maximum(TIGHT, np.minimum(scale[:, None], scale[neighbors]))
    pairs = np.column_stack([np.nonzero(near)[0], neighbors[near]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def choose_rank(n):
    """Return the rank of the neighbor whose distance is the scale: a nearer one for few images."""
    return min(RANK, max(3, n // 16), -(-n // 2))


def standardize(thumbnails, blurred):
    """Return thumbnails, and those of the blurred images, in standard deviations of all values of thumbnails."""
    mean, spread = thumbnails.mean(dtype=np.float64), thumbnails.std(dtype=np.float64) or 1.0
    return [None if part is None else (part - mean) / spread for part in (thumbnails, blurred)]


def find_neighbors(sharp, blurred, progress=SILENT):
    """Return the nearest images of each, (n, k) int, and their distances, root mean squares, in ascending order."""
    n, k = len(sharp), min(NEAREST, len(sharp) - 1)
    neighbors, distances = np.empty((n, k), np.intp), np.empty((n, k), np.float32)
    for rows in gen_batches(n, max(1, BYTES // (4 * n))):
        squares = squared_distances(sharp[rows], sharp)
        if blurred is not None:
            np.minimum(squares, squared_distances(sharp[rows], blurred), out=squares)
            np.minimum(squares, squared_distances(blurred[rows], sharp), out=squares)
        squares[np.arange(len(squares)), np.arange(n)[rows]] = np.inf
        nearest = np.argpartition(squares, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(squares, nearest, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        neighbors[rows] = np.take_along_axis(nearest, order, axis=1)
        distances[rows] = np.sqrt(np.maximum(np.take_along_axis(found, order, axis=1), 0))
        progress.step(len(squares))
    return neighbors, distances


def squared_distances(a, b):
    """Return the mean squared difference of each row of ``a`` from each row of ``b``."""
    squares = a @ b.T
    squares *= -2
    squares += np.square(a).sum(axis=1)[:, None]
    squares += np.square(b).sum(axis=1)
    squares /= a.shape[1]
    return squares


def join_pairs(pairs, n):
    """Return the number of the group of each of ``n`` rows; rows of a pair are in one group."""
    ones = np.ones(len(pairs), bool)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.intp)
