"""Read images from files in threads, with errors that name the unreadable image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import gen_batches

from .._progress import SILENT
from ._decode import decode, read_size
from ._image_column import name_of
from ._unreadable_image import UnreadableImageError, attempt

GRAY = 128  # pixel value in place of an unreadable image
MAX_PENDING = 1024  # rows submitted at a time, so that the work ends soon after an error


def in_threads(function, n_rows, n_jobs=None):
    """Yield ``function(row)`` for each row, in order, computed in threads; the first error is raised."""
    n_threads = min(effective_n_jobs(n_jobs), n_rows)
    if n_threads < 2:
        yield from map(function, range(n_rows))
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for part in gen_batches(n_rows, MAX_PENDING):
            yield from pool.map(function, range(part.start, part.stop))


def read_pixels(
    sources, size, mode, white_level=None, *how, rows=None, n_jobs=None, tolerant=False, shapes=None, progress=SILENT
):
    """Read the pixels of images, all resized to ``size``.

    Parameters
    ----------
    sources : ndarray of shape (n,), of dtype object
    size : tuple of int
        (height, width).
    mode : {"RGB", "L"}
    white_level : float, default=None
        The value of white in images of more than 8 bits; None: 65535.
    *how
        ``resize_mode`` and ``interpolation`` of :func:`~sktricks.images._decode.decode`.
    rows : ndarray of shape (n,), default=None
        The name of each row in errors; None: its index.
    n_jobs : int, default=None
        Number of threads.
    shapes : OddShapes, default=None
        Collects images with odd shapes.
    tolerant : bool, default=False
        Return gray pixels for an unreadable image instead of raising an error.
    progress : Progress
        Counts the images.

    Returns
    -------
    pixels : uint8 ndarray of shape (n, height, width, 3), or (n, height, width) for ``"L"``
    peaks : list of Peak
        The largest value of each image of more than 8 bits.
    errors : list of UnreadableImageError
        The error of each unreadable image, which is gray in ``pixels``.
    """
    pixels = empty_pixels((len(sources), *size, *((3,) if mode == "RGB" else ())))
    rows = range(len(sources)) if rows is None else rows

    def fill(row):
        try:
            pixels[row], peak, found = attempt(decode, sources[row], rows[row], size, mode, white_level, *how)
            if shapes is not None:
                shapes.note(sources[row], rows[row], found)
            return peak, None
        except UnreadableImageError as error:
            if not tolerant:
                raise
            pixels[row] = GRAY
            return None, error

    found = []
    for peak_and_error in in_threads(fill, len(sources), n_jobs):
        found.append(peak_and_error)
        progress.step()
    return pixels, [peak for peak, _ in found if peak], [error for _, error in found if error]


def empty_pixels(shape):
    """Allocate an array for images, or raise an error with the amount of memory requested."""
    try:
        return np.empty(shape, np.uint8)
    except (MemoryError, ValueError) as error:  # ValueError: the number of bytes overflows
        raise ValueError(
            f"X has {shape[0]} images, which require {np.prod(shape, dtype=float) / 2**30:.3g} GiB of memory at size "
            f"{shape[1:3]}: choose a smaller size"
        ) from error


def common_size(sources, tolerant=False, progress=SILENT):
    """Return the common (height, width) of images, from their headers, or raise an error that names two that differ.

    ``tolerant`` skips unreadable images.
    """
    first = first_name = None
    for row, source in enumerate(sources):
        progress.step()
        try:
            size = attempt(read_size, source, row)
        except UnreadableImageError:
            if not tolerant:
                raise
            continue
        if first is None:
            first, first_name = size, name_of(source, row)
        elif size != first:
            raise ValueError(
                "size must be set if images differ in (height, width): "
                f"{first_name} has {first}, {name_of(source, row)} has {size}"
            )
    if first is None:
        raise ValueError(f"X has no readable image, so size must be set; the first is {name_of(sources[0], 0)}")
    return first
