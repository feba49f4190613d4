"""show_images: a figure of some images of each class."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import type_of_target

from .._axes import check_axes, open_figure
from .._fit_text import shorten, wrap
from .._threads import column_or_1d
from .._validation import IMAGE_NAME
from ._pictures import draw_picture, find_pictures

MOST_CLASSES = 20  # maximum number of classes per figure
SIDE = 1.5  # width of a picture, in inches
FLATTEST, TALLEST = 0.3, 2.0  # limits of height / width of a picture


def show_images(
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    n_per_class: int = 4,
    image_shape: int | tuple | None = None,
    figure=None,
) -> Any:
    """Show some images of each class: the first step with a folder of photos.

    Each class is one row of pictures, which are spread evenly over its images. Its label is the class and the number of
    its images. With one or two pictures per class, more than five classes are shown in two columns. Photos are read
    from their files at a legible size, with their aspect ratio, and with the file name below; a damaged file is a gray
    picture.

    Parameters
    ----------
    X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
        Images, rows of pixels, one column of image files, or the table of :func:`read_image_folder`.
    y : array-like of shape (n,), default=None
        Classes. None: images without classes, unless X is a table with a column "label".
    n_per_class : int, default=4
        The largest number of pictures per class; without classes, the number of rows and of columns of pictures.
    image_shape : int or tuple, default=None
        (height, width) or (height, width, channels) of images that come as rows.
    figure : matplotlib Figure, default=None
        Figure to draw in. None: a new figure.

    Returns
    -------
    figure : matplotlib Figure
        With more than 20 classes it shows the first 20, as its title states.

    Raises
    ------
    ValueError
        If X is a table of numbers, y does not hold classes, X and y differ in length, or ``n_per_class`` is less than
        1.
    ImportError
        If matplotlib is not installed, or Pillow if X has image files.

    See Also
    --------
    PredictionsDisplay : Images with their predictions.
    AugmentationDisplay : Images with augmented copies.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks import show_images
    >>> X, y = load_digits(return_X_y=True)
    >>> figure = show_images(X, y, n_per_class=6, image_shape=(8, 8))  # doctest: +SKIP
    """
    if n_per_class < 1:
        raise ValueError(f"n_per_class must be at least 1, got {n_per_class}")
    check_axes(figure=figure)
    table: Any = X
    if y is None and "label" in getattr(X, "columns", ()):
        y = table["label"]
    n = len(table)
    classes, titles = (None, {}) if y is None else count_classes(y, n)
    groups = [np.arange(n)] if classes is None else [np.flatnonzero(classes == name) for name in titles]
    shown = [spread_evenly(rows, n_per_class**2 if classes is None else n_per_class) for rows in groups[:MOST_CLASSES]]
    pictures, files = find_pictures(X, np.concatenate(shown), image_shape)
    if pictures is None:
        refuse_table(X)
    n_side = 2 if len(shown) > 5 and n_per_class <= 2 else 1  # classes side by side
    n_lines = -(-len(shown) // n_side) if classes is not None else -(-len(shown[0]) // n_per_class)
    n_columns = n_side * n_per_class
    starts = [k % n_lines * n_columns + k // n_lines * n_per_class for k in range(len(shown))]
    places = [start + i for start, rows in zip(starts, shown, strict=True) for i in range(len(rows))]
    heights = heights_of_lines(pictures, np.array(places) // n_columns, n_lines)
    if figure is None:
        size = SIDE * n_columns + 0.5 * n_side, SIDE * sum(heights) + (0.25 if files else 0.1) * n_lines + 0.3
        figure = open_figure(size)
    axes = figure.subplots(n_lines, n_columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[], frame_on=False)
    for i, place in enumerate(places):
        ax = axes.flat[place]
        ax.set_frame_on(True)
        draw_picture(ax, pictures[i])
        if files:
            ax.set_xlabel(shorten(files[i], 72 * SIDE, "x-small"), fontsize="x-small", parse_math=False)
    for start, title in zip(starts, titles.values(), strict=False):
        length = 72 * SIDE * heights[start // n_columns]
        axes.flat[start].set_ylabel(wrap(title, length, "medium", n_lines=2), parse_math=False)
    if len(titles) > MOST_CLASSES:
        figure.suptitle(f"the first {MOST_CLASSES} of {len(titles)} classes")
    return figure


def refuse_table(X):
    """Raise the error of an X without images; it names the column of files in a DataFrame, if there is one."""
    columns = list(getattr(X, "columns", []))
    first = {name: np.asarray(X[name], dtype=object)[0] for name in columns if len(X)}
    texts = [name for name, value in first.items() if isinstance(value, str | PathLike)]
    files = [name for name in texts if IMAGE_NAME.search(str(first[name]))] or texts
    if files:
        raise ValueError(
            f"X must be one column of image files, or a table with them in a column 'path', got the columns {columns}: "
            f"pass the column of files, such as X[{files[0]!r}], and the classes as y"
        )
    raise ValueError(
        f"X must hold images or image files, got a table of shape {np.shape(X)}. If its rows are images, pass "
        "image_shape=(height, width)"
    )


def heights_of_lines(pictures, lines, n_lines):
    """Return the height / width of each line of pictures: the median of their aspect ratios."""
    ratios = np.array([picture.shape[0] / picture.shape[1] for picture in pictures])
    return [float(np.clip(np.median(ratios[lines == line]), FLATTEST, TALLEST)) for line in range(n_lines)]


def count_classes(y, n):
    """Return y as an array, and the classes with their names and numbers of images."""
    y = column_or_1d(y)
    if len(y) != n:
        raise ValueError(f"y must have one class per image of X, {n}, got {len(y)}")
    if type_of_target(y).startswith("continuous"):
        raise ValueError(f"y must hold classes, got continuous values such as {y[0]}")
    names, counts = np.unique(np.asarray(y), return_counts=True)
    return np.asarray(y), {name: f"{name} ({count})" for name, count in zip(names.tolist(), counts, strict=True)}


def spread_evenly(rows, n):
    """Return at most ``n`` of some indices, spread evenly over them."""
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(int)]
