"""Resize images: the whole image, or its center to keep the aspect ratio."""

from __future__ import annotations

from .._optional import import_optional

RESIZE_MODES = ("squash", "crop")
REDUCING_GAP = 3.0  # Pillow first reduces by an integer factor to at least this multiple of the size, which is fast


def center_box(size, target):
    """Return the largest centered box that has the aspect ratio of ``target``, as (left, top, right, bottom).

    Resizing this box to ``target`` is equivalent to resizing the shorter side and cropping the center, but does not
    allocate the intermediate image, which is large for an elongated one.

    Parameters
    ----------
    size, target : tuple of int
        (width, height) of the image and of the result.
    """
    (width, height), (new_width, new_height) = size, target
    scale = max(new_width / width, new_height / height)
    left, top = (width - new_width / scale) / 2, (height - new_height / scale) / 2
    return max(left, 0.0), max(top, 0.0), min(width - left, width), min(height - top, height)


def resize(image, size, resize_mode="squash", interpolation="bilinear"):
    """Resize a Pillow image to this (width, height), with antialiasing."""
    if image.size == size:
        return image
    box = center_box(image.size, size) if resize_mode == "crop" else None
    how = getattr(import_optional("PIL.Image", "images").Resampling, interpolation.upper())
    return image.resize(size, how, box=box, reducing_gap=REDUCING_GAP)
