"""Warn of images that lose most detail by resizing: very small or elongated ones."""

from __future__ import annotations

from .._text import count, name_some
from .._warnings import ImageSizeWarning, warn
from ._image_column import name_of

MIN_SIDE = 4  # pixels
MAX_ASPECT_RATIO = 10


class OddShapes:
    """Collects images with odd shapes, and warns of them once.

    Files are read in threads, which collect the shapes; the warning is issued in the caller's thread.
    """

    def __init__(self):
        self.names, self.has_warned = {}, False

    def note(self, source, row, size):
        """Record an image if its (width, height) is odd."""
        if min(size) < MIN_SIDE or max(size) > MAX_ASPECT_RATIO * min(size):
            self.names[row] = f"{name_of(source, row)} ({size[0]} x {size[1]})"

    def warn(self, size):
        """Warn once of the recorded images; ``size`` is the (height, width) to which they were resized."""
        if self.names and not self.has_warned:
            self.has_warned = True
            names = [self.names[row] for row in sorted(self.names)]
            warn(
                f"{count(len(names), 'image')} so far {'has' if len(names) == 1 else 'have'} almost no detail after "
                f"resizing to {size[0]} x {size[1]}: a side of less than {MIN_SIDE} pixels, or an aspect ratio above "
                f"{MAX_ASPECT_RATIO}: {name_some(names)} (width x height). Remove them, or crop elongated ones",
                ImageSizeWarning,
            )
