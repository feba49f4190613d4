"""From the file of an image, or its bytes, to pixels.

Whatever is in the file comes out as 8-bit grey or colour: turned as its EXIF orientation says, of several frames the
first, transparent parts on white, 16-bit grey scaled to 8 bits.
"""

import io
import os
import struct

import numpy as np

from ._optional import import_optional

ORIENTATION = 0x0112  # the EXIF tag
# What turns an image of each EXIF orientation upright, by the names in PIL.Image.Transpose; from 5 on the sides swap.
UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def open_image(source):
    """A Pillow image of which only the header has been read, to be closed by the caller.

    Parameters
    ----------
    source : str, os.PathLike or bytes
        A path, or what is in the file.
    """
    module = import_optional("PIL.Image", "images")
    module.init()  # else two threads that meet a first TIFF or WebP may find its decoder half loaded
    return module.open(io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source))


def read_header(source):
    """Open an image and close it, which is an error where it is none."""
    open_image(source).close()


def read_size(source):
    """(height, width) of an image as it will be decoded, from its header."""
    with open_image(source) as image:
        if image.format == "TIFF":
            image.load()  # see orientation
        return image.size if orientation(image) >= 5 else image.size[::-1]


def decode(source, size=None, mode="RGB"):
    """The pixels of an image.

    Parameters
    ----------
    source : str, os.PathLike or bytes
    size : tuple of int or None
        (height, width) to resize to, whatever the shape was: bilinear, averaging where it shrinks. A JPEG is decoded at
        once to the smallest of its own scales that is at least twice that large, which is several times faster.
    mode : {"RGB", "L"}

    Returns
    -------
    pixels : uint8 ndarray of shape (height, width, 3), or (height, width) for ``"L"``
    """
    with open_image(source) as image:
        turned = orientation(image)
        if size is not None:
            image.draft(None, (2 * max(size),) * 2)
        pixels = opaque(eight_bits(image)).convert(mode)
        if size is not None:
            pixels = resize(pixels, size if turned >= 5 else size[::-1])
    if turned in UPRIGHT:
        pixels = pixels.transpose(getattr(import_optional("PIL.Image", "images").Transpose, UPRIGHT[turned]))
    return np.asarray(pixels)


def orientation(image):
    """The EXIF orientation, 1 to 8; 1 is upright, and what an image without one, or with damaged EXIF, has."""
    if image.format == "TIFF":  # Pillow turns these itself when it loads them
        return 1
    try:
        return image.getexif().get(ORIENTATION, 1)
    except (SyntaxError, ValueError, KeyError, struct.error):  # the pixels may be sound all the same
        return 1


def eight_bits(image):
    """An image of 16-bit grey with its range scaled to 0..255; others as they are."""
    if image.mode == "F" or (image.mode == "I" and not 0 <= np.min(image) <= np.max(image) <= 65535):
        raise ValueError(
            "its pixels are floats or 32-bit integers, whose range nobody knows: save it with 8 or 16 bits"
        )
    if not image.mode.startswith("I"):
        return image
    return import_optional("PIL.Image", "images").fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))


def opaque(image):
    """An image on white where it is transparent."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    module = import_optional("PIL.Image", "images")
    return module.alpha_composite(module.new("RGBA", image.size, "white"), image.convert("RGBA"))


def resize(image, size):
    """An image of this (width, height), bilinear and antialiased."""
    if image.size == size:
        return image
    return image.resize(size, import_optional("PIL.Image", "images").Resampling.BILINEAR, reducing_gap=3.0)
