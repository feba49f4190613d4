"""ImageFiles: images that stay in their files until they are read."""

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
    """Images that stay in their files until they are read, in place of an array (n, height, width, channels).

    Parameters
    ----------
    sources : ndarray of shape (n,), of dtype object
        Paths or bytes, from :func:`as_column`.
    image_shape : tuple of int
        (height, width, channels) to decode to, with 1 channel or 3.
    rows : ndarray of shape (n,), default=None
        The name of each row in errors; None: its index.
    white_level : float, default=None
        The value that is white in images of more than 8 bits; None: 65535.
    resize_mode : {"squash", "crop"}, default="squash"
        Resize the whole image, or its shorter side and take the center.
    interpolation : {"bilinear", "bicubic"}, default="bilinear"
        How to resize.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(
        self, sources, image_shape, rows=None, white_level=None, resize_mode="squash", interpolation="bilinear"
    ):
        self.sources, self.shape = sources, (len(sources), *image_shape)
        self.white_level, self.resize_mode, self.interpolation = white_level, resize_mode, interpolation
        self.rows = np.arange(len(sources)) if rows is None else rows
        self.odd_shapes = OddShapes()  # some of the rows share it

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, rows):
        """Return some of the rows, by a slice, a mask or their indices; still unread."""
        how = self.white_level, self.resize_mode, self.interpolation
        some = ImageFiles(self.sources[rows], self.shape[1:], self.rows[rows], *how)
        some.odd_shapes = self.odd_shapes
        return some

    def read(self, n_jobs=None):
        """Return the pixels, uint8 of shape (n, height, width, channels); an error names an unreadable image."""
        mode = "L" if self.shape[3] == 1 else "RGB"
        settings = self.shape[1:3], mode, self.white_level, self.resize_mode, self.interpolation
        noted = {"rows": self.rows, "n_jobs": n_jobs, "shapes": self.odd_shapes}
        return read_pixels(self.sources, *settings, **noted)[0].reshape(self.shape)

    def warn_of_odd_shapes(self):
        """Warn once of images of odd shapes, as far as they have been read."""
        self.odd_shapes.warn(self.shape[1:3])

    def digests(self, n_jobs=None):
        """Return 16 bytes per row, of the file and the settings of decoding; equal only for equal pixels.

        Nothing is decoded, so a digest costs a small part of what the pixels do.
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
