"""Detect images of more than 8 bits that would be read as too dark or too bright."""

from __future__ import annotations

import numpy as np

from ._decode import WHITE_OF_16_BITS, read_peak
from ._unreadable_image import UnreadableImageError, attempt

N_CHECKED = 8  # files to check before all of them are read batch by batch


def find_peaks(sources, white_level):
    """Return the :class:`Peak` of some evenly spaced images; images of 8 bits and unreadable ones are skipped."""
    peaks = []
    for row in np.unique(np.linspace(0, len(sources) - 1, N_CHECKED, dtype=int)):
        try:
            peaks.append(attempt(read_peak, sources[row], row, white_level))
        except UnreadableImageError:  # raised again when the pixels are read
            continue
    return [peak for peak in peaks if peak]


def describe_depth(peaks, white_level, which=""):
    """Describe the problem with the values of images of more than 8 bits, and the cure; None if there is no problem.

    Parameters
    ----------
    peaks : list of Peak
    white_level : float or None
    which : str
        The images that were checked, for the message.
    """
    highest = max((peak.value for peak in peaks), default=0)
    if white_level is not None:
        above = sum(peak.value > white_level for peak in peaks if not peak.is_color)
        return above and (
            f"{above} images{which} have values above white_level={white_level:g}, which become white: pass a "
            f"white_level of up to {highest:g}, the largest value"
        )
    if not 0 < highest <= WHITE_OF_16_BITS // 4:
        return None
    likely = next(level for level in (1, 15, 255, 1023, 4095, 16383) if highest <= level)
    cure = f"pass white_level={likely}, or white_level={WHITE_OF_16_BITS} if they are meant to be dark"
    if any(peak.is_color for peak in peaks):
        cure = "scale them to 8 bits per channel, since Pillow reads only the upper 8 bits of color images"
    return (
        f"images of more than 8 bits{which} have values only up to {highest:g}, while {WHITE_OF_16_BITS} is white, so "
        f"they appear very dark: {cure}"
    )
