"""Read images from files, in threads; an error names the image that cannot be read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import gen_batches

from .._optional import import_optional
from ._decode import decode, known_formats, read_size
from ._image_column import name_of

GRAY = 128  # the value of pixels that cannot be read
AT_ONCE = 1024  # rows that wait for a thread, so that an error ends the work soon
CURE = "Leave this image out. To find all damaged files, run ImageLoader(size=8, on_error='warn').transform(X)"


class UnreadableImageError(ValueError):
    """An image is missing or damaged; the message names it, and how to find all others.

    Parameters
    ----------
    name : str
        The path, or the row of bytes.
    reason : str
        Why it cannot be read.
    """

    def __init__(self, name, reason):
        super().__init__(name, reason)  # an exception from another process is made of its arguments
        self.name, self.reason = name, reason

    def __str__(self):
        return f"{self.name} cannot be read as an image: {self.reason}. {CURE}"


def attempt(function, source, row, *args):
    """Return ``function(source, *args)``; an error names the image."""
    try:
        return function(source, *args)
    except ImportError:  # no fault of the file
        raise
    except Exception as error:  # damaged files make Pillow raise errors of all sorts
        raise UnreadableImageError(name_of(source, row), why_unreadable(error)) from error


def why_unreadable(error):
    """Return the reason why an image is unreadable, from any error that Pillow raised."""
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if kind == "UnidentifiedImageError":  # whose message repeats the path
        return f"it is empty, damaged, or of none of the formats {', '.join(known_formats())}"
    if kind == "DecompressionBombError":
        most = 2 * import_optional("PIL.Image", "images").MAX_IMAGE_PIXELS
        return (
            f"its header claims more than {most} pixels, as a decompression bomb does. If it is a large image that "
            "you trust, make it smaller or raise PIL.Image.MAX_IMAGE_PIXELS"
        )
    if isinstance(error, OSError) and error.filename is not None:  # its message repeats the path
        return error.strerror
    return str(error) or kind


def in_threads(function, n_rows, n_jobs=None):
    """Yield ``function(row)`` for each row, in order, from several threads; an error ends the work."""
    n_threads = min(effective_n_jobs(n_jobs), n_rows)
    if n_threads < 2:
        yield from map(function, range(n_rows))
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for part in gen_batches(n_rows, AT_ONCE):
            yield from pool.map(function, range(part.start, part.stop))


def read_pixels(sources, size, mode, white_level=None, *how, rows=None, n_jobs=None, tolerant=False, shapes=None):
    """Read the pixels of images, all resized to ``size``.

    Parameters
    ----------
    sources : ndarray of shape (n,), of dtype object
    size : tuple of int
        (height, width).
    mode : {"RGB", "L"}
    white_level : float, default=None
        The value that is white in images of more than 8 bits; None: 65535.
    *how
        ``resize_mode`` and ``interpolation`` of :func:`~sktricks.images._decode.decode`.
    rows : ndarray of shape (n,), default=None
        The name of each row in errors; None: its index.
    n_jobs : int, default=None
        The number of threads.
    shapes : OddShapes, default=None
        Where images of odd shapes are noted.
    tolerant : bool, default=False
        Return gray pixels for an unreadable image instead of raising an error.

    Returns
    -------
    pixels : uint8 ndarray of shape (n, height, width, 3), or (n, height, width) for ``"L"``
    peaks : list of Peak
        The largest value of each image of more than 8 bits.
    errors : list of UnreadableImageError
        The error of each image that is gray instead.
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

    found = list(in_threads(fill, len(sources), n_jobs))
    return pixels, [peak for peak, _ in found if peak], [error for _, error in found if error]


def empty_pixels(shape):
    """Return an array for images, or raise an error that says how much memory was requested."""
    try:
        return np.empty(shape, np.uint8)
    except (MemoryError, ValueError) as error:  # ValueError: more bytes than can be counted
        raise ValueError(
            f"X has {shape[0]} images, which need {np.prod(shape, dtype=float) / 2**30:.3g} GiB of memory at size "
            f"{shape[1:3]}: choose a smaller size"
        ) from error


def common_size(sources, tolerant=False):
    """Return the common (height, width) of images, from their headers; raise an error that names two that differ.

    ``tolerant`` skips unreadable images.
    """
    first = first_name = None
    for row, source in enumerate(sources):
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
                "size must be given where images differ in (height, width): "
                f"{first_name} has {first}, {name_of(source, row)} has {size}"
            )
    if first is None:
        raise ValueError(f"X has no image that can be read, so size must be given; first is {name_of(sources[0], 0)}")
    return first
