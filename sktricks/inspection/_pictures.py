"""Draw images from arrays and files, with values from 0 (black) to 1 (white).

Rows of a table are drawn as bars, which show the deviations of their most unusual values from the mean.
"""

from __future__ import annotations

import numpy as np

from .._axes import check_axes, flat, set_figure_title, take_axes
from .._fit_text import shorten, text_width, width_of, wrap
from .._layout import find_layout
from ..images._image_column import as_column

N_VALUES = 3  # the most unusual values of each row of a table
IMAGE, FILE, TABLE = (1.9, 1.8), (2.5, 2.4), (3.6, 1.6)  # width and height of a cell, in inches, without its title
LINE = 0.16  # height of a line of its title, in inches
SMALL = "small"  # size of text
RIGHT = {"x": 1, "ha": "right"}  # position of text that is wider than the axes of a table
WRONG = "tab:red"  # legible on white and on black; bold, so that it differs in gray


def find_pictures(X, chosen, image_shape=None):
    """Return the chosen images, and the names of their files if X is a column of image files.

    Parameters
    ----------
    X : array-like
        Images, rows of pixels, one column of image files, or a table with such a column named "path".
    chosen : ndarray of int
        The indices of the images.
    image_shape : tuple, default=None
        (height, width) or (height, width, channels) if X holds rows of pixels.

    Returns
    -------
    pictures : ndarray of shape (n, height, width, channels), list of such images, or None
        A list for files, whose sizes differ. None if X is a table.
    names : list of str or None
    """
    if hasattr(X, "columns") and "path" in X.columns:
        X = X["path"]
    sources = as_column(X)
    if sources is not None:
        from ..images._thumbnails import read_thumbnails

        images, names = read_thumbnails(sources, chosen)
        return [image / 255.0 for image in images], names
    values = np.asarray(X)
    layout = find_layout(values.shape, image_shape)
    if layout.image_shape is None:
        return None, None
    images = layout.to_images(values)
    return as_pictures(images[chosen], images), None


def as_pictures(images, among):
    """Return images from 0 (black) to 1 (white); uint8 is scaled from 0 to 255, others by the range of ``among``."""
    low, high = (0, 255) if among.dtype == np.uint8 else (among.min(), among.max())
    return np.clip((images - float(low)) / (float(high - low) or 1.0), 0, 1)


def draw_picture(ax, image):
    """Draw an image from 0 to 1, without ticks."""
    ax.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.5")  # visible around white images on white and black images on black


def standardize_rows(X, chosen):
    """Return the chosen rows of a table, their numbers standardized, and the names of these columns or None."""
    names = None
    if hasattr(X, "columns"):
        numbers = {str(name): np.asarray(X[name]) for name in X.columns if np.asarray(X[name]).dtype.kind in "biuf"}
        names = list(numbers)
        X = np.column_stack(list(numbers.values())) if numbers else np.zeros((len(X), 0))
    values = np.asarray(X).astype(float)
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    return np.nan_to_num(values[chosen] - mean) / np.where(spread > 0, spread, 1), names


def find_rows(X, chosen, image_shape=None):
    """Return the chosen rows as :func:`find_pictures` or :func:`standardize_rows` do, with names of columns and files.

    Returns
    -------
    rows : ndarray or list of ndarray
    names : list of str or None
        The names of the columns of a table.
    files : list of str or None
    """
    pictures, files = find_pictures(X, chosen, image_shape)
    return (*standardize_rows(X, chosen), None) if pictures is None else (pictures, None, files)


def draw_rows(
    rows,
    titles,
    *,
    n_columns,
    wrong=None,
    places=None,
    axes=None,
    figure=None,
    names=None,
    files=None,
    title=None,
    margin=0.0,
):
    """Draw images, or standardized rows of a table, in a grid.

    Parameters
    ----------
    rows : ndarray of shape (n, height, width, channels) or (n, features), or list of ndarray
    titles : list of list of str
        The parts of the title of each row, which are on separate lines if they do not fit on one.
    n_columns : int
        The largest number of rows side by side.
    wrong : sequence of bool, default=None
        True for a title in bold red.
    places : sequence of int, default=None
        The cell of each row in the grid, line by line. None: one after the other.
    axes : list of matplotlib Axes, default=None
        One for each row. None: those of a new grid.
    figure : matplotlib Figure or SubFigure, default=None
        None makes a new one.
    names, files : list of str, default=None
        The names of the columns of a table, or of the file of each image.
    title : str, default=None
        The title of the figure.
    margin : float, default=0.0
        Room for labels at the left of each line, in inches.

    Returns
    -------
    figure : matplotlib Figure or SubFigure
    axes : list of matplotlib Axes
        One for each row; other cells are empty.
    """
    if n_columns < 1:
        raise ValueError(f"n_columns must be at least 1, got {n_columns}")
    check_axes(axes, figure)
    n_columns = min(n_columns, len(rows))
    places = range(len(rows)) if places is None else places
    n_lines = max(places) // n_columns + 1
    shows_images = isinstance(rows, list) or rows.ndim == 4
    width, height = TABLE if not shows_images else FILE if files else IMAGE
    cell = width if figure is None else (figure.bbox.width / figure.dpi - margin) / n_columns
    widths = [72 * cell] * len(rows) if axes is None else [width_of(ax) for ax in flat(axes)]
    weights = ["bold" if one else "normal" for one in (wrong if wrong is not None else [False] * len(rows))]
    titles = [fit_title(*one) for one in zip(titles, widths, weights, strict=False)]
    n_title_lines = 1 + max(text.count("\n") for text in titles)
    size = margin + width * n_columns, (height + LINE * n_title_lines) * n_lines
    axes = take_axes(axes, figure, places, (n_lines, n_columns), size=size, what="one for each row")
    for i, (ax, row) in enumerate(zip(axes, rows, strict=True)):
        draw_picture(ax, row) if shows_images else draw_values(ax, row, widths[i], names)
        style = {"color": WRONG} if weights[i] == "bold" else {}
        style |= {} if shows_images else RIGHT
        ax.set_title(titles[i], fontsize=SMALL, weight=weights[i], parse_math=False, **style)
        if files:
            ax.set_xlabel(shorten(files[i], widths[i], SMALL), fontsize=SMALL, parse_math=False)
    set_figure_title(axes, title)
    return axes[0].figure, axes


def fit_title(parts, width, weight):
    """Return a title of several parts, on separate lines if they do not fit on one."""
    text = " ".join(parts)
    if text_width(text, SMALL, weight) <= width:
        return text
    return "\n".join(wrap(part, width, SMALL, n_lines=2, weight=weight) for part in parts)


def draw_values(ax, values, width, names=None):
    """Draw the most unusual values of a standardized row as bars; their names take less than half of the width."""
    order = np.argsort(-np.abs(values), kind="stable")[:N_VALUES][::-1]
    titles = [names[column] if names else f"column {column}" for column in order]
    ax.barh(range(len(order)), values[order], color="C0")
    labels = [wrap(title, 0.45 * width, SMALL, n_lines=2) for title in titles]
    ax.set_yticks(range(len(order)), labels, fontsize=SMALL, parse_math=False)
    ax.axvline(0, color="0.5", linewidth=0.8)  # visible on white and on black
    ax.locator_params(axis="x", nbins=4)
    ax.tick_params(axis="x", labelsize=SMALL)
    ax.set_xlabel("standard deviations from the mean", fontsize=SMALL, **RIGHT)
    ax.spines[["top", "right"]].set_visible(False)


def check_n_rows(n_rows):
    """Raise an error unless at least one row is to be shown."""
    if n_rows < 1:
        raise ValueError(f"n_rows must be at least 1, got {n_rows}")
