"""Hide parts of images, to measure how much a prediction depends on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

CELLS = 8  # per side of the grid
WINDOW = 2  # cells per side of a hidden window
FIFTH = 0.2  # fraction of the cells that are hidden to check a map
BLUR = 0.1  # standard deviation of the blur, as a fraction of the side
N_DRAWS = 5  # of random cells


def cell_of_pixels(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid row of each line of an image, and the grid column of each pixel of a line."""
    rows, columns = (np.arange(n) * min(CELLS, n) // n for n in shape)
    return rows, columns


def grid_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the number of rows and columns of cells of an image (height, width)."""
    return min(CELLS, shape[0]), min(CELLS, shape[1])


def hide(images: np.ndarray, cells: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Return images in which the pixels of some cells are replaced by those of ``fill``.

    Parameters
    ----------
    images, fill : ndarray of shape (n, height, width, channels)
    cells : bool ndarray of shape (n, rows, columns)
    """
    rows, columns = cell_of_pixels(images.shape[1:3])
    hidden = cells[:, rows[:, None], columns][..., None]
    return np.where(hidden, fill, images)


def mean_colors(images: np.ndarray) -> np.ndarray:
    """Return images of the same shape, each filled with its mean color."""
    means = images.mean((1, 2), keepdims=True).astype(images.dtype)
    return np.broadcast_to(means, images.shape)


def blurred(images: np.ndarray) -> np.ndarray:
    """Return the images blurred until no detail is left."""
    sigma = [0, *(BLUR * n for n in images.shape[1:3]), 0]
    return gaussian_filter(images.astype(np.float32), sigma).astype(images.dtype)


def occlusion_maps(predict: Callable, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the decrease of the probability of a class if the area around each cell is hidden, (n, rows, columns).

    Windows of 2 x 2 cells in the mean color of the image are moved over it (Zeiler & Fergus 2014). The value of a cell
    is the mean over all windows that cover it.

    Parameters
    ----------
    predict : callable
        From images to probabilities (n, classes).
    images : ndarray of shape (n, height, width, channels)
    targets : int ndarray of shape (n,)
        Index of the class of each image.
    """
    n_rows, n_columns = grid_shape(images.shape[1:3])
    height, width = min(WINDOW, n_rows), min(WINDOW, n_columns)
    corners = [(row, column) for row in range(n_rows - height + 1) for column in range(n_columns - width + 1)]
    windows = np.zeros((len(corners), n_rows, n_columns), bool)
    for window, (row, column) in zip(windows, corners, strict=True):
        window[row : row + height, column : column + width] = True
    before, fill = probability(predict, images, targets), mean_colors(images)
    maps = np.zeros((len(images), n_rows, n_columns))
    for index in range(len(images)):
        copies = np.repeat(images[index : index + 1], len(windows), axis=0)
        some = np.repeat(fill[index : index + 1], len(windows), axis=0)
        after = probability(predict, hide(copies, windows, some), np.repeat(targets[index], len(windows)))
        maps[index] = np.einsum("w,wij->ij", before[index] - after, windows) / windows.sum(0)
    return maps


def probability(predict, images, targets):
    """Return the probability of one class per image."""
    return np.asarray(predict(images))[np.arange(len(images)), targets]


def find_drops(predict: Callable, images, targets, maps, rng: np.random.RandomState) -> dict[str, np.ndarray]:
    """Return the decrease of the probability of a class if a fifth of the image is blurred, for each image.

    Parameters
    ----------
    predict, images, targets
        As in :func:`occlusion_maps`.
    maps : ndarray of shape (n, rows, columns)
        A value for each cell.
    rng : RandomState

    Returns
    -------
    drops : dict
        ``"brightest"``: the cells with the largest values; ``"random"``: random cells, the mean of several draws;
        ``"center"``: the cells around the center of the image.
    """
    n, n_rows, n_columns = maps.shape
    n_hidden = max(1, round(FIFTH * n_rows * n_columns))
    before, fill = probability(predict, images, targets), blurred(images)

    def drop(values):
        order = np.argsort(-values.reshape(n, -1), axis=1, kind="stable")[:, :n_hidden]
        cells = np.zeros((n, n_rows * n_columns), bool)
        np.put_along_axis(cells, order, True, axis=1)
        return before - probability(predict, hide(images, cells.reshape(maps.shape), fill), targets)

    i, j = np.indices((n_rows, n_columns))
    central = -np.hypot(i - (n_rows - 1) / 2, j - (n_columns - 1) / 2)
    return {
        "brightest": drop(maps),
        "random": np.mean([drop(rng.random_sample(maps.shape)) for _ in range(N_DRAWS)], axis=0),
        "center": drop(np.broadcast_to(central, maps.shape)),
    }


def mean_of_cells(maps: np.ndarray) -> np.ndarray:
    """Return the mean of each cell of maps (n, height, width)."""
    rows, columns = cell_of_pixels(maps.shape[1:])
    n_rows, n_columns = grid_shape(maps.shape[1:])
    across = np.stack([maps[:, rows == row].mean(1) for row in range(n_rows)], axis=1)
    return np.stack([across[:, :, columns == column].mean(2) for column in range(n_columns)], axis=2)
