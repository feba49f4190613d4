"""Decode an image file, or its bytes, to pixels.

The pixels are 8-bit gray or color, rotated by the EXIF orientation, from the first frame, with transparent parts in
white and deeper gray scaled to 8 bits.
"""

from __future__ import annotations

import io
import os
import stat
from typing import NamedTuple

import numpy as np

from .._optional import import_optional
from ._resize import resize

# Other formats are disabled, because some of Pillow's decoders start programs: a .jpg with EPS inside runs Ghostscript.
# TGA has no signature and comes last; HEIF is available if the user registers a plugin for it.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF", "TGA")
WHITE_OF_16_BITS = 65535
ORIENTATION = 0x0112  # the EXIF tag
# The member of PIL.Image.Transpose that rotates each EXIF orientation upright; from 5 on, height and width are swapped.
UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


class Peak(NamedTuple):
    """The largest value of an image of more than 8 bits; ``is_color`` is True for a color image."""

    value: float
    is_color: bool


def open_image(source):
    """Open a Pillow image, reading only its header; the caller closes it.

    Parameters
    ----------
    source : str, os.PathLike or bytes
        A path, or the content of a file.
    """
    module = import_optional("PIL.Image", "images")
    module.init()  # not thread-safe when called implicitly, for the first TIFF or WebP
    file = io.BytesIO(source) if isinstance(source, bytes) else check_regular(source)
    return module.open(file, formats=known_formats())


def known_formats():
    """Return those of :data:`FORMATS` that this Pillow supports; call its ``init`` first."""
    return [name for name in FORMATS if name in import_optional("PIL.Image", "images").OPEN]


def check_regular(path):
    """Return the path of a regular file as a str; raise an error for others, since opening a FIFO would block."""
    path = os.fsdecode(path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"it is {'a folder' if os.path.isdir(path) else 'a pipe, socket or device'}, not a file")
    return path


def read_header(source):
    """Open an image and close it, which raises an error unless the file is an image."""
    open_image(source).close()


def read_size(source):
    """Return the (height, width) of an image after decoding, from its header."""
    with open_image(source) as image:
        if image.format in ("TIFF", "PNG"):  # TIFF: see orientation; PNG: its EXIF data may follow the pixels
            image.load()
        return image.size if orientation(image) >= 5 else image.size[::-1]


def decode(source, size=None, mode="RGB", white_level=None, resize_mode="squash", interpolation="bilinear"):
    """Decode an image.

    Parameters
    ----------
    source : str, os.PathLike or bytes
    size : tuple of int or None
        (height, width) to resize to, antialiased. A JPEG is decoded to the smallest of its native scales that is at
        least twice that size, which is several times faster.
    mode : {"RGB", "L"}
    white_level : float or None
        The value that becomes 255 in an image of more than 8 bits per channel; None: 65535.
    resize_mode : {"squash", "crop"}
        ``"squash"`` resizes the whole image; ``"crop"`` resizes its shorter side and crops the center.
    interpolation : {"bilinear", "bicubic"}

    Returns
    -------
    pixels : uint8 ndarray of shape (height, width, 3), or (height, width) for ``"L"``
    peak : Peak or None
        None for an image of 8 bits.
    found : tuple of int
        (width, height) of the image in the file.
    """
    with open_image(source) as image:
        found = image.size
        is_deep = has_16_bits(image)
        if size is not None:
            image.draft(None, (2 * max(size),) * 2)
        image.load()
        turned = orientation(image)
        image, peak = eight_bits(image, white_level, is_deep)
        pixels = opaque(image).convert(mode)
        if size is not None:
            pixels = resize(pixels, size if turned >= 5 else size[::-1], resize_mode, interpolation)
    if turned in UPRIGHT:
        pixels = pixels.transpose(getattr(import_optional("PIL.Image", "images").Transpose, UPRIGHT[turned]))
    return np.asarray(pixels), peak, found


def read_peak(source, white_level=None):
    """Return the :class:`Peak` of an image; None for 8 bits, in which case only the header is read."""
    with open_image(source) as image:
        if not (has_16_bits(image) or is_deep_gray(image)):
            return None
    return decode(source, white_level=white_level)[1]


def orientation(image):
    """Return the EXIF orientation, 1 to 8, or 1 (upright) if there is no valid one."""
    if image.format == "TIFF":  # Pillow rotates these itself when it loads them
        return 1
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data may raise any exception although the pixels are intact
        return 1
    return found if isinstance(found, int) and found in UPRIGHT else 1


def is_deep_gray(image):
    """Return True if an image is gray with more than 8 bits: 16 or 32 bits, or floats."""
    return image.mode[0] in "IF"


def has_16_bits(image):
    """Return True if an image that is not loaded yet has 16 bits per channel; of colors Pillow loads only 8."""
    return image.format in ("PNG", "TIFF") and ";16" in str(image.tile[:1])


def eight_bits(image, white_level, is_deep):
    """Convert an image to 8 bits, with ``white_level`` scaled to 255; return it and its :class:`Peak`."""
    if is_deep_gray(image):
        return scale_gray(image, white_level)
    if not is_deep:
        return image, None
    if white_level not in (None, WHITE_OF_16_BITS):
        raise ValueError(
            f"white_level={white_level:g} cannot be applied to 16-bit color images, of which Pillow reads only the "
            "upper 8 bits: save the image with 8 bits per channel, or in gray"
        )
    colors = image.convert("RGB").getextrema()
    return image, Peak(256 * max(high for _, high in colors) + 255, True)


def scale_gray(image, white_level):
    """Convert a gray image of more than 8 bits to 8 bits; return it and its :class:`Peak`."""
    values = np.asarray(image)
    low, high = values.min(), values.max()  # NaN if a value is NaN
    if not np.isfinite([low, high]).all() or low < 0:
        raise ValueError(f"its pixels must be finite and not negative, got values from {low:g} to {high:g}")
    if white_level is None and (image.mode == "F" or high > WHITE_OF_16_BITS):
        kind = "floats" if image.mode == "F" else "32-bit integers"
        raise ValueError(
            f"its pixels are {kind} up to {high:g}, and the value of white is unknown: pass white_level to ImageLoader "
            "or PretrainedFeatures, or save the image with 8 or 16 bits"
        )
    pixels = np.rint(np.minimum(values / ((white_level or WHITE_OF_16_BITS) / 255), 255)).astype(np.uint8)
    return import_optional("PIL.Image", "images").fromarray(pixels), Peak(float(high), False)


def opaque(image):
    """Replace the transparent parts of an image by white."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    module = import_optional("PIL.Image", "images")
    return module.alpha_composite(module.new("RGBA", image.size, "white"), image.convert("RGBA"))
