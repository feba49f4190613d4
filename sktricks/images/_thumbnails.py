"""Photos for figures: read from their files at a legible size and in their own aspect ratio."""

from __future__ import annotations

import os

import numpy as np

from ._decode import decode, read_size
from ._image_column import name_of
from ._read_images import attempt

LONGER_SIDE = 256  # pixels


def read_thumbnails(sources, rows):
    """Return some of the images in a column of files, and their names.

    Parameters
    ----------
    sources : ndarray of shape (n,), of dtype object
        Paths or bytes.
    rows : ndarray of int
        The indices of the images to read.

    Returns
    -------
    images : list of ndarray of shape (height, width, 3), uint8
        The longer side has at most 256 pixels.
    names : list of str
        The name of each file without its folder; "row 3" for bytes.
    """
    images = []
    for row in rows:
        size = np.array(attempt(read_size, sources[row], row))
        size = np.maximum(1, np.rint(size * min(1, LONGER_SIDE / size.max()))).astype(int)
        images.append(attempt(decode, sources[row], row, tuple(map(int, size)))[0])
    return images, [short_name(sources[row], row) for row in rows]


def short_name(source, row):
    """Return the name of a file without its folder, or the index of a row of bytes."""
    return f"row {row}" if isinstance(source, bytes) else os.path.basename(name_of(source, row))
