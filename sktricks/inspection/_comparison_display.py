"""ComparisonDisplay: the scores of several estimators in one figure."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._optional import import_optional
from ._compare import compare
from ._comparison import Comparison, standard_error


class ComparisonDisplay:
    """A figure of the scores of several estimators: each fold, the mean and its standard error.

    Make one with :meth:`from_estimators` or :meth:`from_comparison`; :meth:`plot` draws it again.

    Parameters
    ----------
    comparison : Comparison
        The result of :func:`compare`.

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

    def __init__(self, *, comparison: Comparison):
        self.comparison = comparison

    @classmethod
    def from_estimators(cls, estimators: Any, X: ArrayLike, y: ArrayLike, *, ax=None, **params) -> Self:
        """Compare estimators and draw the result.

        Parameters
        ----------
        estimators, X, y
            As in :func:`compare`.
        ax : matplotlib Axes, default=None
            The axes to draw in; None makes a new figure.
        **params
            Other parameters of :func:`compare`.

        Returns
        -------
        display : ComparisonDisplay
        """
        import_optional("matplotlib", "plot")  # before the work, not after it
        return cls(comparison=compare(estimators, X, y, **params)).plot(ax=ax)

    @classmethod
    def from_comparison(cls, comparison: Comparison, *, ax=None) -> Self:
        """Draw a comparison.

        Parameters
        ----------
        comparison : Comparison
        ax : matplotlib Axes, default=None
            The axes to draw in; None makes a new figure.

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
        return cls(comparison=comparison).plot(ax=ax)

    def plot(self, ax=None) -> Self:
        """Draw the scores, the best estimator on top; those that failed are named without a score.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw in; None makes a new figure.

        Returns
        -------
        self : object
        """
        results = self.comparison.results
        if ax is None:
            pyplot = import_optional("matplotlib.pyplot", "plot")
            ax = pyplot.subplots(figsize=(7, 1.2 + 0.45 * len(results)), layout="constrained")[1]
        for row, result in enumerate(results):
            if result.error:
                continue
            error = standard_error(result.scores, self.comparison.test_fraction)
            first = row == 0
            ax.plot(result.scores, np.full(len(result.scores), row), "o", color="C0", alpha=0.35, mec="none",
                    label="one fold" if first else None)  # fmt: skip
            ax.errorbar(np.mean(result.scores), row, xerr=error, fmt="D", color="C1", capsize=4,
                        label="mean and standard error" if first else None)  # fmt: skip
        ax.set_yticks(range(len(results)), [f"{one.name} (failed)" if one.error else one.name for one in results])
        ax.set_ylim(len(results) - 0.5, -0.5)
        ax.set_xlabel(self.comparison.scoring)
        ax.grid(axis="x", alpha=0.3)
        ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
