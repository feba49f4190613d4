"""EnsembleDisplay: weights, contributions and disagreement in one picture."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from .._optional import import_optional


class EnsembleDisplay:
    """Weights and contributions of the members of an ensemble, and how much each pair disagrees.

    Create it with :meth:`from_estimator`; :meth:`plot` draws it again.

    Parameters
    ----------
    names : list of str
        Names of the members.
    disagreement : ndarray of shape (members, members)
        As returned by ``diversity()``.
    weights : ndarray of shape (members,), default=None
        None if members have no weights.
    contributions : ndarray of shape (members,), default=None
        None if there are none.
    unit : str, default="fraction of rows"
        Unit of the disagreement.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes
        Axes of the weights and the contributions, if there are any, and of the disagreement.

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
        unit: str = "fraction of rows",
    ):
        self.names = names
        self.disagreement = disagreement
        self.weights = weights
        self.contributions = contributions
        self.unit = unit

    @classmethod
    def from_estimator(cls, estimator, X: ArrayLike | None = None, *, figure=None) -> Self:
        """Draw a fitted ensemble.

        Parameters
        ----------
        estimator : VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor or CascadeClassifier
            Fitted.
        X : array-like, default=None
            Rows to compare the members on; None uses their out-of-fold predictions.
        figure : matplotlib Figure, default=None
            The figure to draw in; None creates one.

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
        check_is_fitted(estimator)
        found = estimator.diversity(X)
        return cls(
            names=found.names,
            disagreement=found.disagreement,
            weights=getattr(estimator, "weights_", None),
            contributions=getattr(estimator, "contributions_", None),
            unit="fraction of rows" if is_classifier(estimator) else "root mean square, in the units of y",
        ).plot(figure=figure)

    def plot(self, *, figure=None) -> Self:
        """Draw the ensemble.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            The figure to draw in; None creates one.

        Returns
        -------
        self : object
        """
        bars = {"weights": self.weights, "added loss without it": self.contributions}
        bars = {title: values for title, values in bars.items() if values is not None}
        if figure is None:
            size = (3.2 * len(bars) + 4.2, 1.2 + 0.5 * max(4, len(self.names)))
            figure = import_optional("matplotlib.pyplot", "plot").figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(bars) + 1, squeeze=False)[0]
        for number, (title, values) in enumerate(bars.items()):
            self._draw_bars(axes[number], title, np.asarray(values), labels=number == 0)
        self._draw_matrix(figure, axes[-1])
        self.figure_, self.axes_ = figure, list(axes)
        return self

    def _draw_bars(self, ax, title, values, *, labels):
        positions = np.arange(len(values))
        ax.barh(positions, values, color=["C0" if value >= 0 else "C3" for value in values])
        ax.set_yticks(positions, self.names if labels else [""] * len(values))
        ax.invert_yaxis()
        ax.axvline(0, color="0.5", linewidth=0.8)  # visible on white and on black
        ax.set_title(title)

    def _draw_matrix(self, figure, ax):
        matrix = np.asarray(self.disagreement)
        image = ax.imshow(matrix, vmin=0, cmap="viridis")
        positions = np.arange(len(matrix))
        ax.set_xticks(positions, self.names, rotation=90)
        ax.set_yticks(positions, self.names)
        bright = matrix > matrix.max() / 2
        for row in positions:
            for column in positions:
                color = "black" if bright[row, column] else "white"
                ax.text(column, row, f"{matrix[row, column]:.2g}", ha="center", va="center", color=color)
        ax.set_title("disagreement")
        figure.colorbar(image, ax=ax, label=self.unit)
