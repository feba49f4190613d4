"""The pictures of a figure: images of arrays and of files, from 0 (black) to 1 (white), and how they are drawn.

Rows of a table are drawn as bars, which show how far their most unusual values are from the mean.
"""

from __future__ import annotations

import numpy as np

from .._axes import set_figure_title, take_axes
from .._layout import find_layout
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
    return as_pictures(images[chosen], images), None


def as_pictures(images, among):
    """Return images from 0 (black) to 1 (white); bytes are 0 to 255, other values as far as those ``among`` reach."""
    low, high = (0, 255) if among.dtype == np.uint8 else (among.min(), among.max())
    return np.clip((images - float(low)) / (float(high - low) or 1.0), 0, 1)


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


def draw_rows(rows, *, n_columns, places=None, axes=None, figure=None, names=None, files=None, title=None):
    """Draw images, or standardized rows of a table, in a grid.

    Parameters
    ----------
    rows : ndarray of shape (n, height, width, channels) or (n, features), or list of ndarray
    n_columns : int
        The largest number of rows side by side.
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

    Returns
    -------
    figure : matplotlib Figure or SubFigure
    axes : list of matplotlib Axes
        One for each row; other cells are empty.
    """
    if n_columns < 1:
        raise ValueError(f"n_columns must be at least 1, got {n_columns}")
    n_columns = min(n_columns, len(rows))
    places = range(len(rows)) if places is None else places
    n_lines = max(places) // n_columns + 1
    shows_images = isinstance(rows, list) or rows.ndim == 4
    width, height = (3.2, 1.6) if not shows_images else (2.5, 2.9) if files else (1.8, 2.1)
    size = width * n_columns, height * n_lines
    axes = take_axes(axes, figure, places, (n_lines, n_columns), size=size, what="one for each row")
    for ax, row in zip(axes, rows, strict=True):
        draw_picture(ax, row) if shows_images else draw_values(ax, row, names)
    for ax, file in zip(axes, files or [], strict=False):
        ax.set_xlabel(file, fontsize="small", color="0.4")
    set_figure_title(axes, title)
    return axes[0].figure, axes


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


def check_n_rows(n_rows):
    """Raise an error unless there is a row to show."""
    if n_rows < 1:
        raise ValueError(f"n_rows must be at least 1, got {n_rows}")
