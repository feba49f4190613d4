"""The pictures of a figure: images of arrays and of files, from 0 (black) to 1 (white), and how they are drawn.

Rows of a table are drawn as bars, which show how far their most unusual values are from the mean.
"""

from __future__ import annotations

import numpy as np

from .._layout import find_layout
from .._optional import import_optional
from ..images._image_column import as_column

N_VALUES = 3  # the most unusual values of each row of a table


def find_pictures(X, chosen, image_shape=None):
    """Return the chosen images, and the names of their files if X is a column of image files.

    Parameters
    ----------
    X : array-like
        Images, rows of pixels, one column of image files, or a table with such a column named "path".
    chosen : ndarray of int
        The indices of the images.
    image_shape : tuple, default=None
        (height, width) or (height, width, channels) of images that come as rows.

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
    low, high = (0, 255) if images.dtype == np.uint8 else (images.min(), images.max())
    return np.clip((images[chosen] - float(low)) / (float(high - low) or 1.0), 0, 1), None


def draw_picture(ax, image):
    """Draw an image from 0 to 1, without ticks."""
    ax.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.8")  # a white photo has an edge on white paper


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


def draw_rows(rows, places, *, n_columns, figure=None, names=None, files=None):
    """Draw images, or standardized rows of a table, in a grid.

    Parameters
    ----------
    rows : ndarray of shape (n, height, width, channels) or (n, features), or list of ndarray
    places : sequence of int
        The cell of each row in the grid, line by line.
    n_columns : int
    figure : matplotlib Figure, default=None
        None makes a new one.
    names, files : list of str, default=None
        The names of the columns of a table, or of the file of each image.

    Returns
    -------
    figure : matplotlib Figure
    axes : list of matplotlib Axes
        One for each row; other cells are empty.
    """
    n_lines = -(-(max(places) + 1) // n_columns)
    shows_images = isinstance(rows, list) or rows.ndim == 4
    if figure is None:
        pyplot = import_optional("matplotlib.pyplot", "plot")
        width, height = (3.2, 1.6) if not shows_images else (2.5, 2.9) if files else (1.8, 2.1)
        figure = pyplot.figure(figsize=(width * n_columns, height * n_lines), layout="constrained")
    cells = figure.subplots(n_lines, n_columns, squeeze=False).ravel()
    for place in set(range(len(cells))) - set(places):
        cells[place].set_axis_off()
    axes = [cells[place] for place in places]
    for ax, row in zip(axes, rows, strict=True):
        draw_picture(ax, row) if shows_images else draw_values(ax, row, names)
    for ax, file in zip(axes, files or [], strict=False):
        ax.set_xlabel(file, fontsize="small", color="0.4")
    return figure, axes


def draw_values(ax, values, names=None):
    """Draw the most unusual values of a standardized row as bars."""
    order = np.argsort(-np.abs(values), kind="stable")[:N_VALUES][::-1]
    titles = [names[column] if names else f"column {column}" for column in order]
    ax.barh(titles, values[order], color="C0")
    ax.axvline(0, color="0.5", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)


def set_title(ax, first, second, *, is_wide, **style):
    """Set a title of two parts, in two lines if they do not fit in one above a picture."""
    fits = len(first) + len(second) < (34 if is_wide else 24)
    ax.set_title((" " if fits else "\n").join([first, second]), fontsize="small", **style)
