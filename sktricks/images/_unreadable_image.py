"""UnreadableImageError: the error of an image that is missing or damaged, and the reason in plain words."""

from __future__ import annotations

from .._optional import import_optional
from ._decode import known_formats
from ._image_column import name_of

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
