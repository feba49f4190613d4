"""Images of a shape of which little is left after resizing: of a few pixels, or long and narrow."""

from __future__ import annotations

from .._text import count, name_some
from .._warnings import ImageSizeWarning, warn
from ._image_column import name_of

SMALL = 4  # pixels, of the shorter side
LONG = 10  # times as long as wide


class OddShapes:
    """The images of odd shapes that were read, of which the user is warned once.

    Files are read in threads, so that shapes are noted there and the warning is issued where the caller waits.
    """

    def __init__(self):
        self.names, self.has_warned = {}, False

    def note(self, source, row, size):
        """Note the (width, height) of an image if it is odd."""
        if min(size) < SMALL or max(size) > LONG * min(size):
            self.names[row] = f"{name_of(source, row)} ({size[0]} x {size[1]})"

    def warn(self, size):
        """Warn once, if there are odd ones; ``size`` is the (height, width) to which they were resized."""
        if self.names and not self.has_warned:
            self.has_warned = True
            names = [self.names[row] for row in sorted(self.names)]
            warn(
                f"{count(len(names), 'image')} so far {'has' if len(names) == 1 else 'have'} almost no detail after "
                f"resizing to {size[0]} x {size[1]}, with fewer than {SMALL} pixels on a side or more than {LONG} "
                f"times as long as wide: {name_some(names)} (width x height). Remove them, or crop long ones",
                ImageSizeWarning,
            )
