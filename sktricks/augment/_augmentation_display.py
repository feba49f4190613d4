"""AugmentationDisplay: plot images beside augmented copies of them."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .._axes import check_axes, take_ax
from .._layout import find_layout
from .._optional import import_optional
from ._base_augmenter import BaseAugmenter
from ._random import make_rng

GAP = 0.06  # between images, as a fraction of their width
MAX_FILES = 64  # to read, so that a large folder does not take long
FILE_SIZE = (224, 224)  # size to read image files at, unless the augmenter has an image_shape


def make_mosaic(columns):
    """Arrange columns of images in one image, and return it and the position of each of them.

    The columns may have images of different sizes, which are centered.

    Parameters
    ----------
    columns : list of ndarray of shape (n, height, width, channels)

    Returns
    -------
    mosaic : ndarray of shape (height, width, channels)
        NaN in the gaps between the images.
    boxes : list of tuple of int
        The left, top, width and height of each image.
    """
    height, width = (max(column.shape[axis] for column in columns) for axis in (1, 2))
    gap = max(1, round(GAP * width))
    n, channels = len(columns[0]), columns[0].shape[3]
    mosaic = np.full((n * (height + gap) - gap, len(columns) * (width + gap) - gap, channels), np.nan)
    boxes = []
    for number, column in enumerate(columns):
        top, left = (height - column.shape[1]) // 2, number * (width + gap) + (width - column.shape[2]) // 2
        for row, picture in enumerate(column):
            y = row * (height + gap) + top
            mosaic[y : y + column.shape[1], left : left + column.shape[2]] = picture
            boxes.append((left, y, column.shape[2], column.shape[1]))
    return mosaic, boxes


def fill_gaps(mosaic, color):
    """Replace NaN in an image by (red, green, blue, alpha), for ``imshow``."""
    if mosaic.shape[2] == 1:
        return mosaic[..., 0]  # imshow does not draw NaN
    opaque = mosaic if mosaic.shape[2] == 4 else np.dstack([mosaic, np.ones(mosaic.shape[:2])])
    return np.where(np.isnan(mosaic[..., :1]), color, opaque)


def read_files(X, estimator, most):
    """Read the first images of a column of image files; return them and their names, or X and None for other X."""
    from ..images import ImageLoader
    from ..images._image_column import as_column
    from ..images._thumbnails import short_name

    sources = as_column(X)
    if sources is None:
        return X, None
    sources = sources[:most]
    size = getattr(estimator, "image_shape_", None) or estimator.image_shape or FILE_SIZE
    return ImageLoader(size=size[:2]).fit_transform(sources), [short_name(s, row) for row, s in enumerate(sources)]


class AugmentationDisplay:
    """Plot of images beside augmented copies: each row has an image and its copies.

    Create it with :meth:`from_estimator`. Rows without ``image_shape`` are plotted as lines, augmented ones dashed.

    Parameters
    ----------
    originals : ndarray of shape (n, height, width, channels)
        Images with values from 0 (black) to 1 (white), or signals, (n, 1, features, 1), with any values.
    draws : list of ndarray of shape (n, new height, new width, channels)
        Augmented copies of them, one array per draw.
    files : list of str, default=None
        Name of the file of each image.
    name : str, default=None
        Name of the augmenter, the title of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot.
    figure_ : matplotlib Figure
        The figure of the axes.
    im_ : matplotlib AxesImage
        The plotted images; only for images.
    lines_ : list of matplotlib Line2D
        The plotted lines; only for signals.

    See Also
    --------
    show_images : Plot images without augmentation.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks.augment import AugmentationDisplay, RandomRotation
    >>> digits = load_digits().images[:4, :, :, None] / 16
    >>> rotate = RandomRotation(20, random_state=0)
    >>> display = AugmentationDisplay(originals=digits, draws=[rotate.fit_transform(digits)])
    >>> display.draws[0].shape
    (4, 8, 8, 1)

    With matplotlib, ``AugmentationDisplay.from_estimator(rotate, digits)`` draws and plots.
    """

    def __init__(self, *, originals: np.ndarray, draws: list, files: list[str] | None = None, name: str | None = None):
        self.originals = originals
        self.draws = draws
        self.files = files
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseAugmenter,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        n_images: int = 4,
        n_draws: int = 6,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        name: str | None = None,
        ax=None,
        **kwargs,
    ) -> Self:
        """Augment rows of X, and plot the result.

        Parameters
        ----------
        estimator : augmenter
            An augmenter; it is fitted on X unless it is fitted already.
        X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
            Images, rows, or one column of image files; the first ``n_images`` are plotted. Augmenters that mix rows
            take partners from all rows, or from the first 64 files. Files are read at the size of the augmenter if it
            is fitted or has an ``image_shape``, otherwise at 224 x 224 pixels.
        y : array-like of shape (n,) or (n, targets), default=None
            Targets, for augmenters that mix them.
        n_images : int, default=4
            Rows of X to plot.
        n_draws : int, default=6
            Draws per row.
        random_state : int, RandomState instance, Generator or None, default=None
            Seed of the draws; None draws a new one.
        name : str, default=None
            Name of the augmenter, the title of the axes.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: those of a new figure.
        **kwargs : dict
            Keyword arguments of :meth:`plot`.

        Returns
        -------
        display : AugmentationDisplay
            The display, plotted.
        """
        check_axes(ax, name="ax")
        for parameter, value in (("n_images", n_images), ("n_draws", n_draws)):
            if value < 1:
                raise ValueError(f"{parameter} must be at least 1, got {value}")
        X, files = read_files(X, estimator, max(n_images, MAX_FILES))
        y = y if y is None or files is None else np.asarray(y)[: len(files)]
        rng = make_rng(random_state)
        draws = [estimator.augment(X, y, random_state=rng) for _ in range(n_draws)]
        results = [draw[0] if isinstance(draw, tuple) else draw for draw in draws]
        X = np.asarray(X)
        layout = find_layout(X.shape, estimator.image_shape)
        shape = layout.image_shape or (1, layout.n_features, 1)
        shapes = [shape, *[estimator.output_shape(shape)] * n_draws]
        images = [x[:n_images].reshape(-1, *s) for x, s in zip([X, *results], shapes, strict=True)]
        if layout.image_shape is not None:
            low, high = estimator.value_range_
            images = [np.clip((some.astype(float) - low) / (high - low), 0, 1) for some in images]
        files = files and files[:n_images]
        return cls(originals=images[0], draws=images[1:], files=files, name=name).plot(ax, **kwargs)

    def plot(self, ax=None, *, cmap: str = "gray", name: str | None = None, title: str | None = None) -> Self:
        """Plot the originals and the draws.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. None: those of a new figure.
        cmap : str, default="gray"
            Colormap of images of one channel.
        name : str, default=None
            Name of the augmenter. None: the name of the display.
        title : str, default=None
            Title of the axes. None: the name.

        Returns
        -------
        display : AugmentationDisplay
            The display itself.

        Raises
        ------
        ValueError
            If the images do not have 1, 3 or 4 channels.
        ImportError
            If matplotlib is missing.
        """
        size = 1.3 * (1 + len(self.draws)), 0.3 + 1.3 * len(self.originals)  # inches
        self.ax_ = take_ax(ax, size)
        self.figure_ = self.ax_.figure
        if self.originals.shape[1] == 1:
            self._plot_lines()
        else:
            self._plot_pictures(cmap)
        name = self.name if name is None else name
        if name or title:
            self.ax_.set_title(name if title is None else title)
        return self

    def _plot_pictures(self, cmap):
        channels = self.originals.shape[3]
        if channels not in (1, 3, 4):
            raise ValueError(f"originals must have 1, 3 (red, green, blue) or 4 channels, got {channels}")
        mosaic, boxes = make_mosaic([self.originals, *self.draws])
        # The color of the background, not transparency: edges are blended with it where the image is resized.
        background = import_optional("matplotlib.colors", "plot").to_rgba(self.ax_.get_facecolor())
        self.im_ = self.ax_.imshow(fill_gaps(mosaic, background), cmap=cmap, vmin=0, vmax=1)
        draw_edge = import_optional("matplotlib.patches", "plot").Rectangle
        for left, top, width, height in boxes:  # so that white images are visible on white
            style = {"fill": False, "color": "0.5", "linewidth": 0.5, "clip_on": False}
            self.ax_.add_patch(draw_edge((left - 0.5, top - 0.5), width, height, **style))
        column = mosaic.shape[1] / (1 + len(self.draws))
        self.ax_.set_xticks([column / 2, column * (1 + len(self.draws) / 2)], ["original", "augmented"])
        self.ax_.tick_params(length=0)
        height = (mosaic.shape[0] + 1) / len(self.originals)
        self.ax_.set_yticks([height * (k + 0.5) for k in range(len(self.files or []))], self.files or [])
        self.ax_.spines[:].set_visible(False)

    def _plot_lines(self):
        step = 1.5 * max(float(np.ptp(some)) for some in [self.originals, *self.draws]) or 1.0
        color = import_optional("matplotlib", "plot").rcParams["text.color"]  # visible on the background of the style
        self.lines_ = []
        for row, original in enumerate(self.originals):
            for draw in self.draws:
                self.lines_ += self.ax_.plot(draw[row, 0, :, 0] - row * step, "--", color="tab:orange", alpha=0.7, lw=1)
            self.lines_ += self.ax_.plot(original[0, :, 0] - row * step, color=color, lw=1.2)
        self.ax_.legend([self.lines_[-1], self.lines_[0]], ["original", "augmented"], fontsize="small")
        self.ax_.set(yticks=[], xlabel="column")
