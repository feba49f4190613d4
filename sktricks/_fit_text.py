"""Fit text into the width of a panel: wrap it into lines, or shorten it in the middle."""

from __future__ import annotations

from ._optional import import_optional

MARGIN = 1.05  # a renderer with hinting draws text slightly wider than measured


def text_width(text, size, weight="normal"):
    """Return the width of a line of text in points, in the font of the style."""
    prop = import_optional("matplotlib.font_manager", "plot").FontProperties(size=size, weight=weight)
    to_path = import_optional("matplotlib.textpath", "plot").text_to_path
    return MARGIN * to_path.get_text_width_height_descent(text, prop, ismath=False)[0]


def shorten(text, width, size, weight="normal"):
    """Replace the middle of a text by an ellipsis if it is wider than ``width`` points."""
    kept, n = text, len(text)
    while n > 2 and text_width(kept, size, weight) > width:
        n -= 1
        kept = f"{text[: (n + 1) // 2]}…{text[len(text) - n // 2 :]}"
    return kept


def wrap(text, width, size, *, n_lines=3, weight="normal"):
    """Wrap text into at most ``n_lines`` lines of at most ``width`` points; shorten long words and the last line."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or len(lines) == n_lines or text_width(longer, size, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(shorten(line, width, size, weight) for line in lines)


def width_of(ax):
    """Return the width of axes in points."""
    return ax.get_window_extent().width * 72 / ax.figure.dpi
