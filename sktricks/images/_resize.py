"""Resize images: the whole image, or the center of it if the aspect ratio is to be kept."""

from __future__ import annotations

from .._optional import import_optional

RESIZE_MODES = ("squash", "crop")
REDUCING_GAP = 3.0  # Pillow first shrinks by an integer factor to this many times the size, which is fast


def center_box(size, target):
    """Return the largest centered box that has the aspect ratio of ``target``, as (left, top, right, bottom).

    Resizing this box to ``target`` is the same as resizing the shorter side to it and taking the center, without the
    memory that a long image would need in between.

    Parameters
    ----------
    size, target : tuple of int
        (width, height) of the image, and of the result.
    """
    (width, height), (new_width, new_height) = size, target
    scale = max(new_width / width, new_height / height)
    left, top = (width - new_width / scale) / 2, (height - new_height / scale) / 2
    return max(left, 0.0), max(top, 0.0), min(width - left, width), min(height - top, height)


def resize(image, size, resize_mode="squash", interpolation="bilinear"):
    """Return a Pillow image of this (width, height), antialiased where it shrinks."""
    if image.size == size:
        return image
    box = center_box(image.size, size) if resize_mode == "crop" else None
    how = getattr(import_optional("PIL.Image", "images").Resampling, interpolation.upper())
    return image.resize(size, how, box=box, reducing_gap=REDUCING_GAP)
