"""A column of image files: what counts as one, and pixels that are read when they are asked for."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import gen_batches

from .._optional import import_optional
from .._text import name_some
from ._decode import WHITE_OF_16_BITS, check_regular, decode, known_formats, read_peak, read_size

SOURCES = (str, os.PathLike, bytes)
GRAY = 128  # stands for pixels that cannot be read
AT_ONCE = 1024  # rows that wait for a thread, so that an error ends the work soon
LOOKED_AT = 8  # files whose values an estimator looks at before it reads all of them batch by batch


def as_column(X, input_name="X"):
    """Return the paths or bytes in a column, or None if X is something else.

    Parameters
    ----------
    X : list, array or Series of shape (n,), or (n, 1), or a DataFrame of one column
    input_name : str
        The name of X in errors.

    Returns
    -------
    sources : ndarray of shape (n,), of dtype object, or None
        None unless at least one value is a path or bytes.

    Raises
    ------
    TypeError
        If only some values are paths or bytes.
    ValueError
        If X has other columns besides a column of paths, or is a single path or an empty column.
    """
    if isinstance(X, SOURCES):
        raise ValueError(f"{input_name} must be a column of image files, got {describe_single(X)}")
    columns = list(getattr(X, "columns", []))
    if len(columns) > 1 and "path" in columns and isinstance(X["path"].iloc[0] if len(X) else None, SOURCES):
        alone = f"{input_name}[['path']]"
        raise ValueError(f"{input_name} has the columns {columns}: pass that of the image files alone, {alone}")
    values = flat_values(X)
    if is_empty_column(X):
        raise ValueError(
            f"{input_name} must hold at least one row, got an empty column. If it is a split of a folder of images, "
            "see images.split.unique() for the splits that exist"
        )
    if not any(isinstance(value, SOURCES) for value in values):
        return None
    for row, value in enumerate(values):
        if not isinstance(value, SOURCES):
            raise TypeError(
                f"{input_name} must hold the path or the bytes of an image in each row, got {value!r} in row {row}"
            )
    if getattr(getattr(X, "dtype", None), "kind", None) == "S":
        raise TypeError(
            f"{input_name} must hold bytes in a list or an array of dtype object, got {X.dtype}, which drops zeros at "
            "the end"
        )
    sources = np.empty(len(values), dtype=object)
    sources[:] = values
    return sources


def describe_single(X):
    """Return what a single path or the bytes of one file are called in an error, and what to pass instead."""
    if isinstance(X, bytes):
        return "the bytes of one file: pass a list, [X]"
    name = os.fsdecode(X)
    if os.path.isdir(X):
        return f"the folder {name!r}: pass the column of paths read_image_folder({name!r}).path"
    return f"the single path {name!r}: pass a list, [{name!r}]"


def is_empty_column(X):
    """Return True if X has no rows and is one-dimensional, or one column of text."""
    shape = getattr(X, "shape", (len(X),) if isinstance(X, list | tuple) else None)
    if shape == (0,):
        return True
    dtypes = getattr(X, "dtypes", getattr(X, "dtype", None))
    return shape == (0, 1) and all(getattr(dtype, "kind", "O") in "OUS" for dtype in np.atleast_1d(dtypes))


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
    """Return what an error calls an image."""
    if isinstance(source, bytes):
        return f"the {len(source)} bytes in row {row}"
    return printable(os.fsdecode(source))


def printable(name):
    r"""Return a text with what is not UTF-8 in it escaped, as in ``caf\udce9.jpg``, so that it can be printed."""
    return name.encode(errors="backslashreplace").decode()


def check_files_exist(sources, input_name="X"):
    """Raise an error that names the first files that do not exist."""
    paths = [os.fsdecode(source) for source in sources if not isinstance(source, bytes)]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        begin = "" if all(map(os.path.isabs, missing)) else f"; relative paths begin at {os.getcwd()}"
        pipes = " or are no regular files" if any(map(os.path.exists, missing)) else ""
        raise ValueError(
            f"{input_name} must hold paths of image files; of those given {len(missing)} cannot be found{pipes}: "
            f"{name_some(map(printable, missing))}{begin}"
        )


def why_unreadable(error):
    """Return what is wrong with an image, from any error that Pillow raised."""
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
    return str(error) or kind


class UnreadableImageError(ValueError):
    """An image that is missing or damaged, by its name."""


def attempt(function, source, row, *args):
    """``function(source, *args)``, and an error that names the image where it fails."""
    try:
        return function(source, *args)
    except ImportError:  # no fault of the file
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


def read_pixels(sources, size, mode, white_level=None, *, rows=None, n_jobs=None, tolerant=False):
    """The pixels of images, all resized to ``size``.

    Parameters
    ----------
    sources : ndarray of shape (n,), of dtype object
    size : tuple of int
        (height, width).
    mode : {"RGB", "L"}
    white_level : float, default=None
        The value that is white in images of more than 8 bits; None: 65535.
    rows : ndarray of shape (n,), default=None
        What an error calls each row; None: its number.
    n_jobs : int, default=None
        Threads.
    tolerant : bool, default=False
        An unreadable image is gray instead of an error.

    Returns
    -------
    pixels : uint8 ndarray of shape (n, height, width, 3), or (n, height, width) for ``"L"``
    peaks : list of Peak
        The largest value of each image of more than 8 bits.
    errors : list of str
        What is wrong with each of the images that are gray instead.
    """
    pixels = empty_pixels((len(sources), *size, *((3,) if mode == "RGB" else ())))
    rows = range(len(sources)) if rows is None else rows

    def fill(row):
        try:
            pixels[row], peak = attempt(decode, sources[row], rows[row], size, mode, white_level)
            return peak, None
        except UnreadableImageError as error:
            if not tolerant:
                raise
            pixels[row] = GRAY
            return None, str(error)

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


def find_peaks(sources, white_level):
    """Return the :class:`Peak` of some images, evenly spread, except those of 8 bits and unreadable ones."""
    peaks = []
    for row in np.unique(np.linspace(0, len(sources) - 1, LOOKED_AT, dtype=int)):
        try:
            peaks.append(attempt(read_peak, sources[row], row, white_level))
        except UnreadableImageError:  # an error of its own when its pixels are read
            continue
    return [peak for peak in peaks if peak]


def describe_depth(peaks, white_level, looked_at=""):
    """Return what is wrong with the values of images of more than 8 bits, and the remedy; None if nothing is.

    Parameters
    ----------
    peaks : list of Peak
    white_level : float or None
    looked_at : str
        Says in the message which images were looked at.
    """
    highest = max((peak.value for peak in peaks), default=0)
    if white_level is not None:
        above = sum(peak.value > white_level for peak in peaks if not peak.is_color)
        return above and (
            f"{above} images{looked_at} have values above white_level={white_level:g}, which become white. Pass a "
            f"white_level of up to {highest:g}, the largest value"
        )
    if not 0 < highest <= WHITE_OF_16_BITS // 4:
        return None
    likely = next(level for level in (1, 15, 255, 1023, 4095, 16383) if highest <= level)
    remedy = f"pass white_level={likely}, or white_level={WHITE_OF_16_BITS} if they are meant to be dark"
    if any(peak.is_color for peak in peaks):
        remedy = "of colors Pillow reads the upper 8 bits only, so save them scaled to 8 bits per channel"
    return (
        f"images of more than 8 bits have values up to {highest:g} only{looked_at}, where {WHITE_OF_16_BITS} is white, "
        f"so they are read as very dark: {remedy}"
    )


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
    white_level : float, default=None
        The value that is white in images of more than 8 bits; None: 65535.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, sources, image_shape, rows=None, white_level=None):
        self.sources, self.shape, self.white_level = sources, (len(sources), *image_shape), white_level
        self.rows = np.arange(len(sources)) if rows is None else rows

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, rows):
        """Some of the rows, by a slice, a mask or their numbers; still unread."""
        return ImageFiles(self.sources[rows], self.shape[1:], self.rows[rows], self.white_level)

    def read(self, n_jobs=None):
        """The pixels, uint8 of shape (n, height, width, channels); an unreadable image is an error that names it."""
        mode = "L" if self.shape[3] == 1 else "RGB"
        settings = self.shape[1:3], mode, self.white_level
        return read_pixels(self.sources, *settings, rows=self.rows, n_jobs=n_jobs)[0].reshape(self.shape)

    def digests(self, n_jobs=None):
        """16 bytes a row that are equal only if the pixels are: of the file's bytes and of how they are decoded.

        Nothing is decoded, so a digest costs a small part of what the pixels do.
        """
        white = "" if self.white_level is None else f"{float(self.white_level)!r} "
        settings = f"{self.shape[1:]} {import_optional('PIL', 'images').__version__} {white}".encode()

        def digest(row):
            source = self.sources[row]
            content = source if isinstance(source, bytes) else attempt(read_bytes, source, self.rows[row])
            state = hashlib.blake2b(settings, digest_size=16)
            state.update(content)
            return state.digest()

        return list(in_threads(digest, len(self), n_jobs))


def read_bytes(path):
    """What is in a file."""
    return Path(check_regular(path)).read_bytes()
