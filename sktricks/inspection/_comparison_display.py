"""ComparisonDisplay: the scores of several estimators in one figure."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._axes import check_axes, take_ax
from .._fit_text import shorten
from ._compare import compare
from ._comparison import Comparison, standard_error

LEGEND_HEIGHT = 28  # points between title and axes
LENGTH = 200  # maximum width of the name of an estimator, in points


class ComparisonDisplay:
    """A figure of the scores of several estimators: each fold, the mean and its standard error.

    Make one with :meth:`from_estimators` or :meth:`from_comparison`; :meth:`plot` draws it again.

    Parameters
    ----------
    comparison : Comparison
        The result of :func:`compare`.
    name : str, default=None
        Title of the axes, such as the name of the data.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    compare : The same as a table.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sktricks import ComparisonDisplay, compare
    >>> X, y = load_iris(return_X_y=True)
    >>> display = ComparisonDisplay(comparison=compare({"neighbors": KNeighborsClassifier()}, X, y))
    >>> display.comparison.best
    'neighbors'
    """

    def __init__(self, *, comparison: Comparison, name: str | None = None):
        self.comparison = comparison
        self.name = name

    @classmethod
    def from_estimators(
        cls, estimators: Any, X: ArrayLike, y: ArrayLike, *, name: str | None = None, ax=None, **params
    ) -> Self:
        """Compare estimators and draw the result.

        Parameters
        ----------
        estimators : dict, list of (name, estimator) pairs, or None
            As in :func:`compare`.
        X : array-like of shape (n, ...)
            As in :func:`compare`.
        y : array-like of shape (n,) or (n, outputs)
            As in :func:`compare`.
        name : str, default=None
            Title of the axes, such as the name of the data.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: those of a new figure.
        **params : dict
            Other parameters of :func:`compare`.

        Returns
        -------
        display : ComparisonDisplay
            The display, drawn.
        """
        check_axes(ax, name="ax")  # before the cross-validation
        return cls.from_comparison(compare(estimators, X, y, **params), name=name, ax=ax)

    @classmethod
    def from_comparison(cls, comparison: Comparison, *, name: str | None = None, ax=None) -> Self:
        """Draw a comparison.

        Parameters
        ----------
        comparison : Comparison
            The result of :func:`compare`.
        name : str, default=None
            Title of the axes, such as the name of the data.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: those of a new figure.

        Returns
        -------
        display : ComparisonDisplay

        Raises
        ------
        TypeError
            If ``comparison`` is no result of :func:`compare`.
        """
        if not isinstance(comparison, Comparison):
            raise TypeError(f"comparison must be the result of compare, got {type(comparison).__name__}")
        return cls(comparison=comparison, name=name).plot(ax)

    def plot(self, ax=None, *, name: str | None = None) -> Self:
        """Draw the scores, the best estimator on top; failed estimators are listed without a score.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. None: those of a new figure.
        name : str, default=None
            Title of the axes. None: the name of the display.

        Returns
        -------
        self : object
            The display itself.
        """
        results = self.comparison.results
        ax = take_ax(ax, (7, 1.2 + 0.45 * len(results)))
        for row, result in enumerate(results):
            if result.error:
                continue
            error = standard_error(result.scores, self.comparison.test_fraction)
            first = row == 0
            ax.plot(result.scores, np.full(len(result.scores), row), "o", color="C0", alpha=0.6, mec="none",
                    label="one fold" if first else None)  # fmt: skip
            ax.errorbar(np.mean(result.scores), row, xerr=error, fmt="D", color="C1", capsize=4, markersize=5,
                        label="mean and standard error" if first else None)  # fmt: skip
        names = [shorten(one.name, LENGTH, "medium") + (" (failed)" if one.error else "") for one in results]
        ax.set_yticks(range(len(results)), names, parse_math=False)
        ax.set_ylim(len(results) - 0.5, -0.5)
        ax.set_xlabel(self.comparison.scoring)
        ax.grid(axis="x", alpha=0.3)
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
        name = self.name if name is None else name
        if name:
            ax.set_title(name, pad=LEGEND_HEIGHT)
        self.ax_, self.figure_ = ax, ax.figure
        return self
