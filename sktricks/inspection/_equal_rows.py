"""Number equal rows: images with the same pixels, files with the same content, rows of a table with the same values."""

from __future__ import annotations

import hashlib

import numpy as np

from ..images._image_files import read_bytes
from ..images._unreadable_image import attempt
from ..tables._frames import is_frame, is_missing, values_of

BITS = 40  # of the mantissa that are compared in a table: numbers with a relative difference of 1e-12 are equal


def number_files(sources):
    """Return one number per image file, equal for files with the same content, in the order of their first rows."""
    return number_digests(digest_file(source, row) for row, source in enumerate(sources))


def digest_file(source, row):
    """Return a digest of 16 bytes of the content of a file."""
    content = source if isinstance(source, bytes) else attempt(read_bytes, source, row)
    return hashlib.blake2b(content, digest_size=16).digest()


def number_images(images):
    """Return one number per image, equal for equal pixels, in the order of their first rows."""
    return number_digests(hashlib.blake2b(np.ascontiguousarray(one), digest_size=16).digest() for one in images)


def number_table(X):
    """Return one number per row of a table, equal for equal rows, in the order of their first rows.

    Floats are equal if they differ only by rounding, and missing values are equal to each other.
    """
    if is_frame(X):
        columns = [code_values(values_of(X, index)) for index in range(X.shape[1])]
    elif X.dtype.kind in "biufc":
        columns = [round_floats(column) for column in X.T]
    else:
        columns = [code_values(column.tolist()) for column in X.T]
    codes = [np.unique(column, return_inverse=True)[1].astype(np.int64) for column in columns]
    return number_digests(row.tobytes() for row in np.column_stack(codes)) if codes else np.zeros(len(X), int)


def code_values(values):
    """Return the values of a column of a DataFrame as numbers that are equal for equal values."""
    values = [None if is_missing(value) else value for value in values]
    if all(value is None or isinstance(value, float | np.floating) for value in values):
        return round_floats(np.array(values, dtype=float))
    try:
        return number_digests(values)
    except TypeError as error:
        raise TypeError(f"X must hold numbers, texts or other values that can be hashed: {error}") from error


def round_floats(values):
    """Return floats rounded to :data:`BITS` bits of their mantissa, and other numbers unchanged."""
    if values.dtype.kind != "f":
        return values
    mantissas, exponents = np.frexp(values.astype(np.float64))
    return np.ldexp(np.rint(np.ldexp(mantissas, BITS)), exponents - BITS) + 0.0  # -0.0 becomes 0.0


def number_digests(digests):
    """Return the index of each value among the distinct values, in the order of their first appearance."""
    known: dict = {}
    return np.array([known.setdefault(digest, len(known)) for digest in digests], dtype=np.intp)
