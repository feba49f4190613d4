"""PredictionsDisplay: a figure of rows and their predictions: the worst, the most often confused, or any."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._labels import encode_labels
from .._optional import import_optional
from .._threads import column_or_1d
from ._pictures import draw_picture, find_pictures

KINDS = ("top-losses", "confused", "random")
N_VALUES = 3  # the most unusual values of each row of a table
WRONG = "C3"


class PredictionsDisplay:
    """A figure of some rows with their labels, predicted labels and probabilities; wrong predictions are red.

    Make one with :meth:`from_estimator`. Images are shown as they are; a photo is read from its file at a legible size,
    whatever size the classifier sees, and its file is named. For a row of a table, bars show how far its most unusual
    values are from the mean, in standard deviations.

    Parameters
    ----------
    rows : ndarray of shape (n, height, width, channels) or (n, features), or list of ndarray
        Images, from 0 (black) to 1 (white), or standardized rows of a table. A list holds images of several sizes, each
        of shape (height, width, channels).
    truth, predicted : ndarray of shape (n,)
        Labels.
    likely : ndarray of shape (n,)
        The probability of the predicted label.
    names : list of str, default=None
        The names of the columns of a table.
    files : list of str, default=None
        The name of the file of each image.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes
        One for each row.

    Examples
    --------
    >>> import numpy as np
    >>> from sktricks import PredictionsDisplay
    >>> images = np.random.default_rng(0).random((2, 8, 8, 1))
    >>> display = PredictionsDisplay(rows=images, truth=[3, 8], predicted=[3, 9], likely=[0.9, 0.6])
    >>> display.rows.shape
    (2, 8, 8, 1)

    With matplotlib, ``display.plot()`` draws the rows, and ``PredictionsDisplay.from_estimator(classifier, X, y)``
    predicts, chooses rows and draws them.
    """

    def __init__(self, *, rows, truth, predicted, likely, names=None, files=None):
        self.rows = rows
        self.truth = truth
        self.predicted = predicted
        self.likely = likely
        self.names = names
        self.files = files

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X: ArrayLike,
        y: ArrayLike,
        *,
        kind: str = "top-losses",
        n_rows: int = 12,
        image_shape: int | tuple | None = None,
        random_state: int | np.random.RandomState | None = None,
        figure=None,
        **kwargs,
    ) -> Self:
        """Predict, choose rows and draw them.

        Parameters
        ----------
        estimator : classifier
            Any fitted classifier with ``predict_proba``.
        X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
            Images, a table, or one column of image files.
        y : array-like of shape (n,)
            Their labels.
        kind : {"top-losses", "confused", "random"}, default="top-losses"
            The rows to show. ``"top-losses"``: those whose own label got the smallest probability. ``"confused"``: rows
            with a wrong prediction, the most often confused pairs of labels first. ``"random"``: any rows.
        n_rows : int, default=12
            The largest number of rows.
        image_shape : int or tuple, default=None
            (height, width), (height, width, channels) or the side of a square, of images that come as rows. None:
            that of the estimator.
        random_state : int, RandomState instance or None, default=None
            The seed of ``kind="random"``.
        figure : matplotlib Figure, default=None
            The figure to draw in; None makes a new one.
        **kwargs : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        display : PredictionsDisplay

        Raises
        ------
        ValueError
            If ``kind`` is unknown, ``estimator`` is no classifier, y has several labels per row or labels that the
            classifier does not know, or ``kind="confused"`` finds no wrong prediction.
        ImportError
            If matplotlib is not installed.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
        if n_rows < 1:
            raise ValueError(f"n_rows must be at least 1, got {n_rows}")
        if not is_classifier(estimator) or not hasattr(estimator, "predict_proba"):
            raise ValueError(f"estimator must be a classifier with predict_proba, got {estimator!r}")
        check_is_fitted(estimator)
        y = column_or_1d(y)
        classes, proba = np.asarray(estimator.classes_), np.asarray(estimator.predict_proba(X))
        codes = encode_labels(y, classes)
        chosen = choose_rows(kind, proba, codes, n_rows, check_random_state(random_state))
        rows, files = find_pictures(X, chosen, image_shape or getattr(estimator, "image_shape_", None))
        rows, names = standardize_rows(X, chosen) if rows is None else (rows, None)
        predicted, likely = classes[proba[chosen].argmax(axis=1)], proba[chosen].max(axis=1)
        display = cls(
            rows=rows, truth=np.asarray(y)[chosen], predicted=predicted, likely=likely, names=names, files=files
        )
        return display.plot(figure=figure, **kwargs)

    def plot(self, *, figure=None, n_columns: int = 4, title: str | None = None) -> Self:
        """Draw the rows.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            The figure to draw in; None makes a new one.
        n_columns : int, default=4
            Rows of X shown side by side.
        title : str, default=None
            The title of the figure.

        Returns
        -------
        self : object
        """
        n_columns = min(n_columns, len(self.rows))
        n_lines = -(-len(self.rows) // n_columns)
        shows_images = isinstance(self.rows, list) or self.rows.ndim == 4
        if figure is None:
            pyplot = import_optional("matplotlib.pyplot", "plot")
            width, height = (3.2, 1.6) if not shows_images else (2.5, 2.9) if self.files else (1.8, 2.1)
            figure = pyplot.figure(figsize=(width * n_columns, height * n_lines), layout="constrained")
        axes = figure.subplots(n_lines, n_columns, squeeze=False).ravel()
        for ax, row, *labels in zip(axes, self.rows, self.truth, self.predicted, self.likely, strict=False):
            draw_picture(ax, row) if shows_images else self._draw_values(ax, row)
            self._set_title(ax, *labels)
        for ax, file in zip(axes, self.files or [], strict=False):
            ax.set_xlabel(file, fontsize="small", color="0.4")
        for ax in axes[len(self.rows) :]:
            ax.set_axis_off()
        figure.suptitle(title or "")
        self.figure_, self.axes_ = figure, list(axes[: len(self.rows)])
        return self

    def _set_title(self, ax, truth, predicted, likely):
        style = {"color": WRONG} if truth != predicted else {}
        parts = f"predicted {predicted} ({likely:.0%}),", f"true {truth}"
        fits = sum(map(len, parts)) < (34 if self.files else 24)  # characters above one picture
        ax.set_title((" " if fits else "\n").join(parts), fontsize="small", **style)

    def _draw_values(self, ax, values):
        order = np.argsort(-np.abs(values), kind="stable")[:N_VALUES][::-1]
        names = [self.names[column] if self.names else f"column {column}" for column in order]
        ax.barh(names, values[order], color="C0")
        ax.axvline(0, color="0.5", linewidth=0.8)
        ax.spines[["top", "right"]].set_visible(False)


def choose_rows(kind, proba, codes, n, random):
    """Return the indices of at most ``n`` rows, the most informative first.

    Parameters
    ----------
    kind : {"top-losses", "confused", "random"}
    proba : ndarray of shape (rows, classes)
    codes : ndarray of shape (rows,)
        The true classes, as columns of ``proba``.
    n : int
    random : RandomState
    """
    own, predicted = proba[np.arange(len(codes)), codes], proba.argmax(axis=1)
    if kind == "random":
        return random.permutation(len(codes))[:n]
    if kind == "top-losses":
        return np.argsort(own, kind="stable")[:n]
    pairs = codes * proba.shape[1] + predicted
    counts = np.bincount(pairs, minlength=proba.shape[1] ** 2)[pairs]
    wrong = np.flatnonzero(codes != predicted)
    if not len(wrong):
        raise ValueError("kind='confused' needs rows with a wrong prediction, and there are none: use kind='random'")
    # The most frequent pair comes first; within a pair, the prediction that is furthest from the truth.
    return wrong[np.lexsort((own[wrong], pairs[wrong], -counts[wrong]))][:n]


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
