"""PredictionsDisplay: a figure of rows and their predictions: the worst, the most often confused, or random ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._axes import check_axes
from .._fit_text import wrap
from .._labels import encode_labels
from .._threads import column_or_1d
from ._label_issues import check_estimator, check_probabilities
from ._pictures import SMALL, check_n_rows, draw_rows, find_rows

KINDS = ("top-losses", "confused", "random")
PER_PAIR = 4  # maximum rows per pair of labels, if there are many pairs
LENGTH = 100  # maximum length of the name of a pair beside its line, in points
MARGIN = 0.6  # width of such a name on several lines, in inches


class PredictionsDisplay:
    """A figure of some rows with their labels, predicted labels and probabilities; wrong predictions are red and bold.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`. Images are shown unchanged; photos are read from
    their files at a legible size, independent of the input size of the classifier, with the file name below. Rows of a
    table are shown as bars, which are the deviations of the most unusual values from the mean in standard deviations.

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
    pairs : list of str, default=None
        The name of the group of each row: a new group starts on a new line, with its name beside it.
    name : str, default=None
        Name of the estimator, the title of the figure.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes
        One for each row.

    See Also
    --------
    LabelIssuesDisplay : Draw rows whose labels are probably wrong.
    ExplanationDisplay : Draw which parts of images a prediction depends on.

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

    def __init__(self, *, rows, truth, predicted, likely, names=None, files=None, pairs=None, name=None):
        self.rows = rows
        self.truth = truth
        self.predicted = predicted
        self.likely = likely
        self.names = names
        self.files = files
        self.pairs = pairs
        self.name = name

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
        name: str | None = None,
        axes=None,
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
            The rows to show. ``"top-losses"``: those with the smallest probability of the true label. ``"confused"``:
            rows with a wrong prediction, at most four per pair of labels (more if there are few pairs), each pair on a
            separate line, the most often confused pairs first. ``"random"``: random rows.
        n_rows : int, default=12
            The largest number of rows.
        image_shape : int or tuple, default=None
            (height, width), (height, width, channels) or the side of a square, of images that come as rows. None:
            that of the estimator.
        random_state : int, RandomState instance or None, default=None
            The seed of ``kind="random"``.
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
        display : PredictionsDisplay

        Raises
        ------
        ValueError
            If ``kind`` is unknown, ``estimator`` is not a classifier, y has several labels per row or labels that are
            not in ``classes_``, or ``kind="confused"`` finds no wrong prediction.
        ImportError
            If matplotlib is not installed.
        """
        check_axes(axes, figure)
        check_choice(kind, n_rows)
        check_estimator(estimator)
        check_is_fitted(estimator)
        y = column_or_1d(y)
        how = {"kind": kind, "n_rows": n_rows, "random_state": random_state, "name": name, "axes": axes}
        shape = getattr(estimator, "image_shape_", None) if image_shape is None else image_shape
        proba, classes = estimator.predict_proba(X), estimator.classes_
        return cls.from_predictions(X, y, proba, classes=classes, image_shape=shape, figure=figure, **how, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        pred_probs: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        kind: str = "top-losses",
        n_rows: int = 12,
        image_shape: int | tuple | None = None,
        random_state: int | np.random.RandomState | None = None,
        name: str | None = None,
        axes=None,
        figure=None,
        **kwargs,
    ) -> Self:
        """Choose rows by predicted probabilities, and draw them.

        Parameters
        ----------
        X : array-like of shape (n, height, width, channels), (n, height, width) or (n, features)
            Images, a table, or one column of image files.
        y : array-like of shape (n,)
            Their labels.
        pred_probs : array-like of shape (n, classes)
            Probabilities with one column per class.
        classes : array-like of shape (classes,), default=None
            The classes of the columns of ``pred_probs``. None: the sorted labels in y.
        kind, n_rows, image_shape, random_state, name, axes, figure, **kwargs : optional
            As in :meth:`from_estimator`.

        Returns
        -------
        display : PredictionsDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If ``kind`` is unknown, y has several labels per row or labels that are not in ``classes``, ``classes`` has
            a class twice, ``pred_probs`` has a wrong shape, NaN or rows that do not sum to 1, or ``kind="confused"``
            finds no wrong prediction.
        ImportError
            If matplotlib is not installed.
        """
        check_axes(axes, figure)
        check_choice(kind, n_rows)
        y = np.asarray(column_or_1d(y))
        columns = np.unique(y) if classes is None else np.asarray(classes)
        names, order = np.unique(columns, return_index=True)
        if len(names) < len(columns):
            raise ValueError(f"classes must hold each class once, got {columns.tolist()}")
        proba = check_probabilities(np.asarray(pred_probs), len(y), columns, "pred_probs")[:, order]
        codes = encode_labels(y, names)
        chosen = choose_rows(kind, proba, codes, n_rows, check_random_state(random_state))
        rows, titles, files = find_rows(X, chosen, image_shape)
        predicted, likely = names[proba[chosen].argmax(axis=1)], proba[chosen].max(axis=1)
        pairs = name_pairs(names, proba, codes, chosen) if kind == "confused" else None
        values = {"truth": y[chosen], "predicted": predicted, "likely": likely, "pairs": pairs}
        return cls(rows=rows, **values, names=titles, files=files, name=name).plot(axes, figure=figure, **kwargs)

    def plot(
        self,
        axes: Sequence | None = None,
        *,
        figure=None,
        n_columns: int = 4,
        name: str | None = None,
        title: str | None = None,
    ) -> Self:
        """Draw the rows.

        Parameters
        ----------
        axes : list of matplotlib Axes, default=None
            Axes to draw in, one for each row. None: new ones.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.
        n_columns : int, default=4
            Rows of X shown side by side.
        name : str, default=None
            Name of the estimator. None: the name of the display.
        title : str, default=None
            The title of the figure. None: the name.

        Returns
        -------
        self : object
            The display itself.
        """
        groups = self.pairs or [None] * len(self.rows)
        n_columns = min(n_columns, max(map(groups.count, groups)))
        places = find_places(groups, n_columns)
        title = (self.name if name is None else name) if title is None else title
        titles = [
            [f"predicted {predicted} ({likely:.0%}),", f"true {truth}"]
            for truth, predicted, likely in zip(self.truth, self.predicted, self.likely, strict=True)
        ]
        wrong = [truth != predicted for truth, predicted in zip(self.truth, self.predicted, strict=True)]
        how = {"axes": axes, "figure": figure, "n_columns": n_columns, "places": places, "title": title}
        how |= {"names": self.names, "files": self.files, "wrong": wrong, "margin": MARGIN if self.pairs else 0}
        self.figure_, self.axes_ = draw_rows(self.rows, titles, **how)
        for i, pair in enumerate(self.pairs or []):
            if places[i] % n_columns == 0:
                self.axes_[i].set_ylabel(wrap(pair, LENGTH, SMALL), fontsize=SMALL, parse_math=False)
        return self


def check_choice(kind, n_rows):
    """Raise an error unless ``kind`` and ``n_rows`` are valid."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    check_n_rows(n_rows)


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
    # Sort by the frequency of the pair, then by the distance of the prediction from the truth.
    order = wrong[np.lexsort((own[wrong], pairs[wrong], -counts[wrong]))]
    is_new = np.append(True, np.diff(pairs[order]) != 0)
    starts = np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))
    most = max(PER_PAIR, -(-n // is_new.sum()))
    return order[np.arange(len(order)) - starts < most][:n]


def name_pairs(classes, proba, codes, chosen):
    """Return, for each chosen row, its label, the predicted label and the number of rows with both."""
    predicted = proba.argmax(axis=1)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (codes, predicted), 1)
    some = zip(codes[chosen], predicted[chosen], strict=True)
    return [f"{classes[true]} predicted as {classes[guess]}: {counts[true, guess]}" for true, guess in some]


def find_places(groups, n_columns):
    """Return the cell of each row in a grid, line by line; each group of adjacent rows starts on a new line."""
    places = []
    for i, group in enumerate(groups):
        after = places[-1] + 1 if places else 0
        places.append(-(-after // n_columns) * n_columns if i and group != groups[i - 1] else after)
    return places
