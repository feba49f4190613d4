"""Images of more than 8 bits that are read very dark or too bright."""

from __future__ import annotations

import numpy as np

from ._decode import WHITE_OF_16_BITS, read_peak
from ._unreadable_image import UnreadableImageError, attempt

LOOKED_AT = 8  # files whose values an estimator looks at before it reads all of them batch by batch


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
    """Return the problem of the values of images of more than 8 bits, and the remedy; None if there is no problem.

    Parameters
    ----------
    peaks : list of Peak
    white_level : float or None
    looked_at : str
        The images that were looked at, for the message.
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
