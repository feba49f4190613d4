"""Find text that is hard to read: it overlaps other text, leaves the figure, or has too little contrast."""

from itertools import combinations
from unittest import mock

import numpy as np

CONTRAST = 3  # of large text and of graphics, by WCAG 2.1
SLACK = 1  # pixels


def find_unreadable(figure):
    """Return a sentence for each pair of texts that overlap, and each text that is cut or has too little contrast.

    Parameters
    ----------
    figure : matplotlib Figure
        With an Agg canvas. Only texts that are really drawn count.
    """
    from matplotlib.text import Text

    drawn, draw = [], Text.draw

    def note(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            drawn.append(text)
        draw(text, renderer, *args, **kwargs)

    with mock.patch.object(Text, "draw", note):
        figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent(figure.canvas.get_renderer())) for text in drawn]
    edge = figure.bbox.padded(SLACK)
    found = [f"{text!r} leaves the figure" for text, box in boxes if not contains(edge, box)]
    for (one, first), (other, second) in combinations(boxes, 2):
        if first.padded(-SLACK).overlaps(second.padded(-SLACK)):
            found.append(f"{one!r} overlaps {other!r}")
    with mock.patch.object(Text, "draw", lambda *args, **kwargs: None):
        figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3] / 255  # from the bottom, as boxes are
    for text, (words, box) in zip(drawn, boxes, strict=True):
        (left, low), (right, high) = np.maximum(box.get_points().round().astype(int), 0)
        contrast = find_contrast(text.get_color(), pixels[low:high, left:right])
        if contrast < CONTRAST:
            found.append(f"{words!r} has the contrast {contrast:.1f}")
    return found


def contains(outer, inner):
    """Return True if a box lies in another."""
    return bool((outer.min <= inner.min).all() and (inner.max <= outer.max).all())


def find_contrast(color, background):
    """Return the contrast of a color with the pixels behind it, their median, from 1 to 21."""
    from matplotlib.colors import to_rgb

    some = find_luminance(np.array(to_rgb(color))), find_luminance(background)
    return np.median((np.maximum(*some) + 0.05) / (np.minimum(*some) + 0.05))


def find_luminance(rgb):
    """Return the relative luminance of colors of sRGB."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]
