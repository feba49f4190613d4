"""ExplanationDisplay: the parts of images on which a prediction depends, with a check of these maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._axes import check_axes, set_figure_title
from .._labels import encode_labels
from .._layout import find_layout
from ..images._image_column import as_column
from ..training._base_net import BaseNet
from ._label_issues import check_estimator
from ._pictures import as_pictures, check_n_rows, draw_rows

METHODS = ("auto", "grad-cam", "occlusion")


class ExplanationDisplay:
    """Images with maps of the evidence for the predicted class, and a check of the maps.

    Make one with :meth:`from_estimator`. A map can look right and be wrong. Therefore the figure shows the decrease of
    the probability of the class if the brightest fifth of the map is blurred in the image, compared with a random fifth
    and the fifth in the center. If the first is not clearly larger, do not trust the maps.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
        Images from 0 (black) to 1 (white), as the classifier receives them.
    maps : ndarray of shape (n, height, width)
        The evidence for the class at each position; only the order of the values within an image matters.
    labels : ndarray of shape (n,)
        The explained class of each image.
    likely : ndarray of shape (n,)
        The probability of this class.
    drops : dict of ndarray of shape (n,)
        The decrease of the probability if a fifth of the image is blurred: ``"brightest"``, ``"random"``, ``"center"``.
    method : {"grad-cam", "occlusion"}
    files : list of str, default=None
        The name of the file of each image.
    name : str, default=None
        Name of the estimator, in the title of the figure.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes
        One for each image.

    See Also
    --------
    PredictionsDisplay : The most wrong, confused or random predictions.

    References
    ----------
    R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", ICCV
    2017. P.-T. Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE
    Transactions on Image Processing 30, 2021. M. D. Zeiler & R. Fergus, "Visualizing and Understanding Convolutional
    Networks", ECCV 2014 (occlusion).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks import ExplanationDisplay, FineTuneClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.reshape(-1, 8, 8)
    >>> net = FineTuneClassifier(random_state=0).fit(X[:200], y[:200])
    >>> display = ExplanationDisplay.from_estimator(net, X[200:204])  # doctest: +SKIP
    """

    def __init__(self, *, images, maps, labels, likely, drops, method, files=None, name=None):
        self.images = images
        self.maps = maps
        self.labels = labels
        self.likely = likely
        self.drops = drops
        self.method = method
        self.files = files
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        method: str = "auto",
        n_rows: int = 8,
        image_shape: int | tuple | None = None,
        random_state: int | np.random.RandomState | None = 0,
        name: str | None = None,
        axes=None,
        figure=None,
        **kwargs,
    ) -> Self:
        """Explain the predictions of some images, and draw them.

        Parameters
        ----------
        estimator : classifier
            Any fitted classifier of images with ``predict_proba``.
        X : array-like of shape (n, height, width, channels), (n, height, width) or (n, pixels)
            Images; for nets of sktricks also one column of image files. The first ``n_rows`` are explained.
        labels : array-like of shape (n,), default=None
            The class to explain for each image. None: the predicted ones.
        method : {"auto", "grad-cam", "occlusion"}, default="auto"
            ``"grad-cam"`` takes one pass through the net, and requires a ``FineTuneClassifier`` with a convolutional
            backbone; its gradients are clipped as in LayerCAM. ``"occlusion"`` hides one part of the image after the
            other with its mean color; it takes 50 predictions per image, and supports any classifier. ``"auto"``:
            Grad-CAM if it is possible, otherwise occlusion.
        n_rows : int, default=8
            The largest number of images.
        image_shape : int or tuple, default=None
            (height, width), (height, width, channels) or the side of a square, of images that come as rows. None:
            that of the estimator.
        random_state : int, RandomState instance or None, default=0
            The seed of the random parts that are blurred for comparison.
        name : str, default=None
            Name of the estimator, the title of the figure.
        axes : list of matplotlib Axes, default=None
            Axes to draw in, one for each row. None: new ones.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.
        **kwargs : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        display : ExplanationDisplay

        Raises
        ------
        ValueError
            If ``method`` is unknown, ``estimator`` is no classifier with probabilities, X holds no images,
            ``method="grad-cam"`` and the estimator has no convolutional backbone, or a label is unknown.
        ImportError
            If matplotlib is not installed.
        """
        from ._grad_cam import explained_stage, grad_cam_maps
        from ._occlusion import find_drops, mean_of_cells, occlusion_maps

        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}, got {method!r}")
        check_n_rows(n_rows)
        check_axes(axes, figure)  # before the maps are computed
        check_estimator(estimator)
        check_is_fitted(estimator)
        images, predict, files = read_images(estimator, X, n_rows, image_shape)
        proba = np.asarray(predict(images))
        classes = np.asarray(estimator.classes_)
        codes = proba.argmax(1) if labels is None else encode_labels(np.asarray(labels)[:n_rows], classes)
        stage = explained_stage(estimator)
        if method == "grad-cam" and stage is None:
            raise ValueError(
                "method='grad-cam' needs a FineTuneClassifier with a convolutional backbone, got "
                f"{type(estimator).__name__}: use method='occlusion'"
            )
        method = "occlusion" if stage is None or method == "occlusion" else "grad-cam"
        if method == "grad-cam":
            maps = grad_cam_maps(estimator, images, codes)
            cells = mean_of_cells(maps)
        else:
            maps = cells = occlusion_maps(predict, images, codes)
        drops = find_drops(predict, images, codes, cells, check_random_state(random_state))
        likely = proba[np.arange(len(images)), codes]
        values = {"maps": maps, "labels": classes[codes], "likely": likely, "drops": drops, "method": method}
        display = cls(images=as_pictures(images, images), **values, files=files, name=name)
        return display.plot(axes, figure=figure, **kwargs)

    def describe(self) -> str:
        """Return the check of the maps as a sentence.

        Returns
        -------
        text : str
            The mean decreases of the probability after blurring parts of the image.
        """
        brightest, random, center = (np.mean(self.drops[name]) for name in ("brightest", "random", "center"))
        return (
            f"blurring the brightest fifth lowers the probability by {brightest:.2f}, a random fifth by {random:.2f}, "
            f"the center by {center:.2f}"
        )

    def plot(
        self,
        axes: Sequence | None = None,
        *,
        figure=None,
        n_columns: int = 4,
        name: str | None = None,
        title: str | None = None,
    ) -> Self:
        """Draw the images, each under its map.

        Parameters
        ----------
        axes : list of matplotlib Axes, default=None
            Axes to draw in, one for each row. None: new ones.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.
        n_columns : int, default=4
            Images shown side by side.
        name : str, default=None
            Name of the estimator. None: the name of the display.
        title : str, default=None
            The title of the figure. None: the name, the method and the check of the maps.

        Returns
        -------
        self : object
            The display itself.
        """
        gray = self.images.mean(-1, keepdims=True)  # the map has colors
        titles = [[str(label), f"({likely:.0%})"] for label, likely in zip(self.labels, self.likely, strict=True)]
        how = {"axes": axes, "figure": figure, "n_columns": n_columns, "files": self.files}
        self.figure_, self.axes_ = draw_rows(gray, titles, **how)
        height, width = self.images.shape[1:3]
        for ax, values in zip(self.axes_, self.maps, strict=True):
            low, high = np.min(values), np.max(values)
            scaled = (values - low) / ((high - low) or 1)
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            ax.imshow(scaled, cmap="inferno", alpha=0.55, extent=extent, interpolation="bilinear", vmin=0, vmax=1)
        method = "Grad-CAM" if self.method == "grad-cam" else "Occlusion"
        name = self.name if name is None else name
        default = f"{f'{name}, ' if name else ''}{method}: {self.describe()}"
        set_figure_title(self.axes_, default if title is None else title, fontsize="medium", wrap=True)
        return self


def read_images(estimator, X, n_rows, image_shape):
    """Return images (n, height, width, channels), a function from such images to probabilities, and file names."""
    sources = as_column(X)
    if sources is not None:
        if not isinstance(estimator, BaseNet):
            raise ValueError(
                f"X must hold arrays of images for {type(estimator).__name__}, got image files: read them with "
                "ImageLoader"
            )
        files = estimator._check_X(sources[:n_rows], reset=False)[0]
        names = [str(source).rpartition("/")[2] if isinstance(source, str) else "" for source in sources[:n_rows]]
        return files.read(), estimator.predict_proba, names if all(names) else None
    values = np.asarray(X)[:n_rows]
    layout = find_layout(values.shape, image_shape or getattr(estimator, "image_shape_", None))
    if layout.image_shape is None:
        raise ValueError(
            f"X must hold images, got the shape {values.shape}: pass image_shape for images that come as rows"
        )
    return layout.to_images(values), lambda images: estimator.predict_proba(layout.restore(images)), None
