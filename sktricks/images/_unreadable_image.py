"""UnreadableImageError: the error for an image that is missing or damaged, with the reason."""

from __future__ import annotations

from .._optional import import_optional
from ._decode import known_formats
from ._image_column import name_of

CURE = "Remove this image. To find all damaged files, run ImageLoader(size=8, on_error='warn').transform(X)"


class UnreadableImageError(ValueError):
    """An image is missing or damaged; the message names it and says how to find all damaged files.

    Parameters
    ----------
    name : str
        The path, or the index of the row for bytes.
    reason : str
        Why it cannot be read.
    """

    def __init__(self, name, reason):
        super().__init__(name, reason)  # an exception from another process is unpickled from its arguments
        self.name, self.reason = name, reason

    def __str__(self):
        return f"{self.name} cannot be read as an image: {self.reason}. {CURE}"


def attempt(function, source, row, *args):
    """Return ``function(source, *args)``; raise an error that names the image if it fails."""
    try:
        return function(source, *args)
    except ImportError:  # not caused by the file
        raise
    except Exception as error:  # Pillow may raise any exception for a damaged file
        raise UnreadableImageError(name_of(source, row), why_unreadable(error)) from error


def why_unreadable(error):
    """Return the reason why an image is unreadable, given the exception that Pillow raised."""
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return "the file does not exist"
    if isinstance(error, MemoryError):
        return "it requires more memory than available"
    if kind == "UnidentifiedImageError":  # its message repeats the path
        return f"it is empty, damaged, or not in one of the formats {', '.join(known_formats())}"
    if kind == "DecompressionBombError":
        most = 2 * import_optional("PIL.Image", "images").MAX_IMAGE_PIXELS
        return (
            f"its header claims more than {most} pixels, like a decompression bomb. If you trust the image, make it "
            "smaller or raise PIL.Image.MAX_IMAGE_PIXELS"
        )
    if isinstance(error, OSError) and error.filename is not None:  # its message repeats the path
        return error.strerror
    return str(error) or kind
