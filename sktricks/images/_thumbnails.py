"""Read thumbnails of image files for figures, with their own aspect ratio."""

from __future__ import annotations

import os

import numpy as np

from ._decode import decode, read_size
from ._image_column import check_files_exist, name_of
from ._read_images import GRAY
from ._unreadable_image import UnreadableImageError, attempt

LONGER_SIDE = 256  # pixels
UNREADABLE_SIDE = 64


def read_thumbnails(sources, rows):
    """Read some of the images in a column of files; a damaged one is gray, and its name says so.

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
        The name of each file without its folder, or "row 3" for bytes, with ": cannot be read" for a damaged file.

    Raises
    ------
    ValueError
        If a file is missing.
    """
    check_files_exist(sources[rows])
    images, names = [], []
    for row in rows:
        name = short_name(sources[row], row)
        try:
            image = read_thumbnail(sources[row], row)
        except UnreadableImageError:
            image, name = np.full((UNREADABLE_SIDE, UNREADABLE_SIDE, 3), GRAY, np.uint8), f"{name}: cannot be read"
        images.append(image)
        names.append(name)
    return images, names


def read_thumbnail(source, row):
    """Read an image with at most 256 pixels on its longer side."""
    size = np.array(attempt(read_size, source, row))
    size = np.maximum(1, np.rint(size * min(1, LONGER_SIDE / size.max()))).astype(int)
    return attempt(decode, source, row, tuple(map(int, size)))[0]


def short_name(source, row):
    """Return the name of a file without its folder, or the index of a row of bytes."""
    return f"row {row}" if isinstance(source, bytes) else os.path.basename(name_of(source, row))
