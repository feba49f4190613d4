"""EnsembleDisplay: plot weights, contributions and disagreement of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from .._axes import check_axes, set_figure_title, take_axes
from .._fit_text import shorten, text_width, width_of
from .._threads import type_of_target
from ._diversity import disagreement, distance

ROWS, ROOT_MEAN_SQUARE = "fraction of rows", "root mean square, in the units of y"  # units of the disagreement
LENGTH, HEIGHT = 120, 90  # of the name of a member beside and below the panels, in points
TEXT_SIZE = 10  # of the numbers in the matrix, in points; smaller in narrow cells


class EnsembleDisplay:
    """Weights and contributions of the members of an ensemble, and how much each pair disagrees.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; :meth:`plot` draws it again.

    Parameters
    ----------
    names : list of str
        Names of the members.
    disagreement : ndarray of shape (members, members)
        As returned by ``diversity()``.
    weights : ndarray of shape (members,), default=None
        Weights of the members, if they have any.
    contributions : ndarray of shape (members,), default=None
        Contributions of the members, if there are any.
    unit : str, default="fraction of rows"
        Unit of the disagreement.
    name : str, default=None
        Name of the ensemble, the title of the figure.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes
        Axes of the weights and the contributions, if there are any, and of the disagreement.

    See Also
    --------
    VotingClassifier : Its ``contributions_`` and ``diversity()`` are what is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from sktricks.ensemble import EnsembleDisplay, VotingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> members = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier())]
    >>> vote = VotingClassifier(members, voting="soft", weights="greedy").fit(X, y)
    >>> found = vote.diversity()
    >>> display = EnsembleDisplay(names=found.names, disagreement=found.disagreement, weights=vote.weights_)
    >>> display.names
    ['bayes', 'tree']
    """

    def __init__(
        self,
        *,
        names: list,
        disagreement: ArrayLike,
        weights: ArrayLike | None = None,
        contributions: ArrayLike | None = None,
        unit: str = ROWS,
        name: str | None = None,
    ):
        self.names = names
        self.disagreement = disagreement
        self.weights = weights
        self.contributions = contributions
        self.unit = unit
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X: ArrayLike | None = None, *, name: str | None = None, axes=None, figure=None
    ) -> Self:
        """Draw a fitted ensemble.

        Parameters
        ----------
        estimator : VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor or CascadeClassifier
            Fitted.
        X : array-like, default=None
            Rows to compare the members on; None uses their out-of-fold predictions.
        name : str, default=None
            Name of the ensemble, the title of the figure.
        axes : list of matplotlib Axes, default=None
            Axes to draw in, as in :meth:`plot`.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.

        Returns
        -------
        display : EnsembleDisplay

        Raises
        ------
        ValueError
            If X is None and the ensemble has no out-of-fold predictions.
        ImportError
            If matplotlib is not installed.
        """
        check_axes(axes, figure)  # fail before the computation
        check_is_fitted(estimator)
        found = estimator.diversity(X)
        return cls(
            names=found.names,
            disagreement=found.disagreement,
            weights=getattr(estimator, "weights_", None),
            contributions=getattr(estimator, "contributions_", None),
            unit=ROWS if is_classifier(estimator) else ROOT_MEAN_SQUARE,
            name=name,
        ).plot(axes, figure=figure)

    @classmethod
    def from_predictions(
        cls, predictions: Mapping[str, ArrayLike], *, name: str | None = None, axes=None, figure=None
    ) -> Self:
        """Draw how much the predictions of several estimators differ.

        Parameters
        ----------
        predictions : dict of array-like of shape (n,)
            Predicted labels or values of the same rows, by the names of the estimators.
        name : str, default=None
            Name of the ensemble, the title of the figure.
        axes : list of matplotlib Axes, default=None
            Axes to draw in, as in :meth:`plot`.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.

        Returns
        -------
        display : EnsembleDisplay

        Raises
        ------
        TypeError
            If ``predictions`` is not a dict.
        ValueError
            If ``predictions`` is empty, or its arrays differ in length or are not one-dimensional.
        ImportError
            If matplotlib is not installed.
        """
        if not isinstance(predictions, Mapping):
            raise TypeError(f"predictions must be a dict from names to predictions, got {type(predictions).__name__}")
        values = [np.asarray(one) for one in predictions.values()]
        shapes = {one.shape for one in values}
        if len(shapes) != 1 or len(shapes.copy().pop()) != 1:
            raise ValueError(f"predictions must contain arrays of one shape (n,), got the shapes {sorted(shapes)}")
        is_numbers = any(type_of_target(one).startswith("continuous") for one in values)
        pairs = distance(np.array(values, float)) if is_numbers else disagreement(np.array(values))
        unit = ROOT_MEAN_SQUARE if is_numbers else ROWS
        names = [str(one) for one in predictions]
        return cls(names=names, disagreement=pairs, unit=unit, name=name).plot(axes, figure=figure)

    def plot(self, axes=None, *, figure=None, name: str | None = None) -> Self:
        """Draw the ensemble.

        Parameters
        ----------
        axes : list of matplotlib Axes, default=None
            Axes to draw in, one each for the weights and the contributions, if there are any, and for the
            disagreement. None: new ones.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.
        name : str, default=None
            Title of the figure. None: the name of the display.

        Returns
        -------
        self : object
            The display itself.
        """
        bars = {"weights": self.weights, "added loss without it": self.contributions}
        bars = {title: values for title, values in bars.items() if values is not None}
        n, what = len(bars) + 1, f"one each for {', '.join([*bars, 'disagreement'])}"
        side = 0.55 * max(4, len(self.names))  # of the matrix, in inches
        size, ratios = (2.2 * len(bars) + side + 2.5, side + 1.8), [*[2] * len(bars), side + 0.5]
        grid = {"sharey": True, "width_ratios": ratios}
        self.axes_ = take_axes(axes, figure, range(n), (1, n), size=size, what=what, **grid)
        self.figure_ = self.axes_[0].figure
        for ax, (title, values) in zip(self.axes_, bars.items(), strict=False):
            draw_bars(ax, title, np.asarray(values))
        self._draw_matrix(self.axes_[-1])
        for ax in self.axes_:
            ax.set_yticks(range(len(self.names)), [shorten(name, LENGTH, "medium") for name in self.names])
            ax.set_ylim(len(self.names) - 0.5, -0.5)
        set_figure_title(self.axes_, self.name if name is None else name)
        return self

    def _draw_matrix(self, ax):
        matrix = np.asarray(self.disagreement)
        image = ax.imshow(matrix, vmin=0, cmap="viridis", aspect="auto")
        positions = range(len(matrix))
        ax.set_xticks(positions, [shorten(name, HEIGHT, "medium") for name in self.names], rotation=90)
        texts = [[f"{value:.2g}" for value in row] for row in matrix]
        widest = max(text_width(text, TEXT_SIZE) for row in texts for text in row)
        size = TEXT_SIZE * min(1, width_of(ax) / len(matrix) / widest)
        bright = matrix > matrix.max() / 2
        for row in positions:
            for column in positions:
                style = {"color": "black" if bright[row, column] else "white", "fontsize": size}
                ax.text(column, row, texts[row][column], ha="center", va="center", **style)
        ax.set_title("disagreement")
        ax.figure.colorbar(image, ax=ax, label=self.unit)


def draw_bars(ax, title, values):
    """Draw a bar for each member."""
    ax.barh(range(len(values)), values, color="C0")
    ax.axvline(0, color="0.5", linewidth=0.8)  # visible on white and on black
    ax.locator_params(axis="x", nbins=4)
    ax.set_title(title)
