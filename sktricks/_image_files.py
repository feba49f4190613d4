"""A column of image files: what counts as one, and pixels that are read when they are asked for."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import gen_batches

from ._decode import decode, read_size
from ._optional import import_optional

SOURCES = (str, os.PathLike, bytes)
GREY = 128  # what stands for pixels that nobody can read
AT_ONCE = 1024  # rows that wait for a thread, so that an error ends the work soon


def as_column(X):
    """The paths or bytes in a column, or None where X is something else.

    Parameters
    ----------
    X : list, array or Series of shape (n,), or (n, 1), or a DataFrame of one column

    Returns
    -------
    sources : ndarray of shape (n,), of dtype object, or None
        None unless at least one value is a path or bytes.

    Raises
    ------
    TypeError
        If some values are and others are not.
    ValueError
        If a column of paths comes among others.
    """
    columns = list(getattr(X, "columns", []))
    if len(columns) > 1 and "path" in columns and isinstance(X["path"].iloc[0] if len(X) else None, SOURCES):
        raise ValueError(f"X has the columns {columns}: pass that of the image files alone, X[['path']]")
    values = flat_values(X)
    if not any(isinstance(value, SOURCES) for value in values):
        return None
    for row, value in enumerate(values):
        if not isinstance(value, SOURCES):
            raise TypeError(f"X must hold the path or the bytes of an image in each row, got {value!r} in row {row}")
    if getattr(getattr(X, "dtype", None), "kind", None) == "S":
        raise TypeError(
            f"X must hold bytes in a list or an array of dtype object, got {X.dtype}, which drops zeros at the end"
        )
    sources = np.empty(len(values), dtype=object)
    sources[:] = values
    return sources


def flat_values(X):
    """The values of one column; none where X has several columns, or numbers."""
    if isinstance(X, list | tuple):
        return [row[0] if isinstance(row, list | tuple) and len(row) == 1 else row for row in X]
    shape = getattr(X, "shape", None)
    if shape is None or len(shape) not in (1, 2) or tuple(shape[1:]) not in ((), (1,)):
        return []
    if getattr(getattr(X, "dtype", None), "kind", "O") in "biufcmM":
        return []
    return np.asarray(X, dtype=object).ravel()


def name_of(source, row):
    """What an error calls an image."""
    if isinstance(source, bytes):
        return f"the {len(source)} bytes in row {row}"
    return os.fspath(source)


def check_files_exist(sources):
    """An error that names the first files that are not there."""
    missing = [
        name_of(source, row)
        for row, source in enumerate(sources)
        if not isinstance(source, bytes) and not os.path.isfile(source)
    ]
    if missing:
        raise ValueError(
            f"X must hold paths of image files; of those given {len(missing)} cannot be found: {name_some(missing)}"
        )


def name_some(names, most=3):
    """The first of some names, and how many there are beyond them."""
    names = list(map(str, names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def why_unreadable(error):
    """What is wrong with an image, from whatever Pillow raised."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if type(error).__name__ == "UnidentifiedImageError":  # whose message repeats the path
        return "it is empty, or of no format that Pillow knows"
    return str(error) or type(error).__name__


class UnreadableImageError(ValueError):
    """An image that is missing or damaged, by its name."""


def attempt(function, source, row, *args):
    """``function(source, *args)``, and an error that names the image where it fails."""
    try:
        return function(source, *args)
    except (ImportError, MemoryError):  # no fault of the file
        raise
    except Exception as error:  # damaged files make Pillow raise errors of all sorts
        name, reason = name_of(source, row), why_unreadable(error)
        raise UnreadableImageError(f"{name} cannot be read as an image: {reason}") from error


def in_threads(function, n_rows, n_jobs=None):
    """``function(row)`` of each row, in order, from several threads; an error ends the work."""
    n_threads = min(effective_n_jobs(n_jobs), n_rows)
    if n_threads < 2:
        yield from map(function, range(n_rows))
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for part in gen_batches(n_rows, AT_ONCE):
            yield from pool.map(function, range(part.start, part.stop))


def read_pixels(sources, size, mode, *, rows=None, n_jobs=None, tolerant=False):
    """The pixels of images, all resized to ``size``.

    Parameters
    ----------
    sources : ndarray of shape (n,), of dtype object
    size : tuple of int
        (height, width).
    mode : {"RGB", "L"}
    rows : ndarray of shape (n,), default=None
        What an error calls each row; None: its number.
    n_jobs : int, default=None
        Threads.
    tolerant : bool, default=False
        An unreadable image is grey instead of an error.

    Returns
    -------
    pixels : uint8 ndarray of shape (n, height, width, 3), or (n, height, width) for ``"L"``
    errors : list of str
        What is wrong with each of the images that are grey instead.
    """
    pixels = np.empty((len(sources), *size, *((3,) if mode == "RGB" else ())), np.uint8)
    rows = range(len(sources)) if rows is None else rows

    def fill(row):
        try:
            pixels[row] = attempt(decode, sources[row], rows[row], size, mode)
        except UnreadableImageError as error:
            if not tolerant:
                raise
            pixels[row] = GREY
            return str(error)

    return pixels, [error for error in in_threads(fill, len(sources), n_jobs) if error is not None]


def common_size(sources, tolerant=False):
    """(height, width) of images that are all of one size, from their headers; else an error that names two.

    ``tolerant`` leaves unreadable images aside.
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


class ImageFiles:
    """Images that stay in their files until they are read: stands where an array (n, height, width, channels) would.

    Parameters
    ----------
    sources : ndarray of shape (n,), of dtype object
        Paths or bytes, from :func:`as_column`.
    image_shape : tuple of int
        (height, width, channels) to decode to, with 1 channel or 3.
    rows : ndarray of shape (n,), default=None
        What an error calls each row; None: its number.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, sources, image_shape, rows=None):
        self.sources, self.shape = sources, (len(sources), *image_shape)
        self.rows = np.arange(len(sources)) if rows is None else rows

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, rows):
        """Some of the rows, by a slice, a mask or their numbers; still unread."""
        return ImageFiles(self.sources[rows], self.shape[1:], self.rows[rows])

    def read(self, n_jobs=None):
        """The pixels, uint8 of shape (n, height, width, channels); an unreadable image is an error that names it."""
        mode = "L" if self.shape[3] == 1 else "RGB"
        pixels, _ = read_pixels(self.sources, self.shape[1:3], mode, rows=self.rows, n_jobs=n_jobs)
        return pixels.reshape(self.shape)

    def digests(self, n_jobs=None):
        """16 bytes a row that are equal only if the pixels are: of the file's bytes and of how they are decoded.

        Nothing is decoded, so a digest costs a small part of what the pixels do.
        """
        settings = f"{self.shape[1:]} {import_optional('PIL', 'images').__version__} ".encode()

        def digest(row):
            source = self.sources[row]
            content = source if isinstance(source, bytes) else attempt(read_bytes, source, self.rows[row])
            state = hashlib.blake2b(settings, digest_size=16)
            state.update(content)
            return state.digest()

        return list(in_threads(digest, len(self), n_jobs))


def read_bytes(path):
    """What is in a file."""
    return Path(path).read_bytes()
