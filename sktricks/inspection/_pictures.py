"""The pictures of a figure: images of arrays and of files, from 0 (black) to 1 (white), and how they are drawn."""

from __future__ import annotations

import numpy as np

from .._layout import find_layout
from ..images._image_column import as_column


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
