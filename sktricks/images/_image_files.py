"""ImageFiles: a lazy batch of images in files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from .._optional import import_optional
from ._decode import check_regular
from ._odd_shapes import OddShapes
from ._read_images import in_threads, read_pixels
from ._unreadable_image import attempt


class ImageFiles:
    """A lazy substitute for an array (n, height, width, channels): images that stay in their files until read.

    Parameters
    ----------
    sources : ndarray of shape (n,), of dtype object
        Paths or bytes, from :func:`as_column`.
    image_shape : tuple of int
        (height, width, channels) to decode to, with 1 channel or 3.
    rows : ndarray of shape (n,), default=None
        The name of each row in errors; None: its index.
    white_level : float, default=None
        The value of white in images of more than 8 bits; None: 65535.
    resize_mode : {"squash", "crop"}, default="squash"
        Resize the whole image, or resize its shorter side and crop the center.
    interpolation : {"bilinear", "bicubic"}, default="bilinear"
        Interpolation when resizing.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(
        self, sources, image_shape, rows=None, white_level=None, resize_mode="squash", interpolation="bilinear"
    ):
        self.sources, self.shape = sources, (len(sources), *image_shape)
        self.white_level, self.resize_mode, self.interpolation = white_level, resize_mode, interpolation
        self.rows = np.arange(len(sources)) if rows is None else rows
        self.odd_shapes = OddShapes()  # shared with all subsets of the rows

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, rows):
        """Return a subset of the rows, by a slice, a mask or indices, without reading them."""
        how = self.white_level, self.resize_mode, self.interpolation
        some = ImageFiles(self.sources[rows], self.shape[1:], self.rows[rows], *how)
        some.odd_shapes = self.odd_shapes
        return some

    def read(self, n_jobs=None):
        """Read the pixels, uint8 of shape (n, height, width, channels); raise an error that names unreadable images."""
        mode = "L" if self.shape[3] == 1 else "RGB"
        settings = self.shape[1:3], mode, self.white_level, self.resize_mode, self.interpolation
        how = {"rows": self.rows, "n_jobs": n_jobs, "shapes": self.odd_shapes}
        return read_pixels(self.sources, *settings, **how)[0].reshape(self.shape)

    def warn_of_odd_shapes(self):
        """Warn once of images with odd shapes among those read so far."""
        self.odd_shapes.warn(self.shape[1:3])

    def digests(self, n_jobs=None):
        """Return a hash of 16 bytes per row, of the file and the decoding settings; equal hashes mean equal pixels.

        Nothing is decoded, so this is much faster than reading the pixels.
        """
        white = "" if self.white_level is None else f"{float(self.white_level)!r} "
        version, how = import_optional("PIL", "images").__version__, f"{self.resize_mode} {self.interpolation}"
        settings = f"{self.shape[1:]} {version} {white}{how}".encode()

        def digest(row):
            source = self.sources[row]
            content = source if isinstance(source, bytes) else attempt(read_bytes, source, self.rows[row])
            state = hashlib.blake2b(settings, digest_size=16)
            state.update(content)
            return state.digest()

        return list(in_threads(digest, len(self), n_jobs))


def read_bytes(path):
    """Return the content of a file."""
    return Path(check_regular(path)).read_bytes()
