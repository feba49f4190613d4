"""LearningRateDisplay: a figure of the curve of a range test."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .._optional import import_optional
from ..training._rate_curve import LearningRateCurve
from ._lr_finder import find_lr

MARGIN = 0.12  # of the height, above and below the smoothed curve


class LearningRateDisplay:
    """A figure of the loss over the learning rate, with the suggested rate.

    Make one with :meth:`from_estimator` or :meth:`from_curve`; :meth:`plot` draws it again.

    Parameters
    ----------
    curve : LearningRateCurve
        The result of :func:`find_lr`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        The smoothed loss.
    points_ : matplotlib Line2D
        The loss of each batch.
    mark_ : matplotlib Line2D or None
        The suggestion, if there is one.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import LearningRateDisplay, NetClassifier, find_lr
    >>> X, y = load_iris(return_X_y=True)
    >>> display = LearningRateDisplay(curve=find_lr(NetClassifier(random_state=0), X, y))
    >>> display.curve.problem is None
    True
    """

    def __init__(self, *, curve: LearningRateCurve):
        self.curve = curve

    @classmethod
    def from_estimator(cls, estimator, X: ArrayLike, y: ArrayLike, *, ax=None, **params) -> Self:
        """Run a range test and draw it.

        Parameters
        ----------
        estimator, X, y
            As in :func:`find_lr`.
        ax : matplotlib Axes, default=None
            The axes to draw in; None makes a new figure.
        **params
            Other parameters of :func:`find_lr`.

        Returns
        -------
        display : LearningRateDisplay
        """
        import_optional("matplotlib", "plot")  # before the work, not after it
        return cls(curve=find_lr(estimator, X, y, **params)).plot(ax=ax)

    @classmethod
    def from_curve(cls, curve: LearningRateCurve, *, ax=None) -> Self:
        """Draw a curve.

        Parameters
        ----------
        curve : LearningRateCurve
        ax : matplotlib Axes, default=None
            The axes to draw in; None makes a new figure.

        Returns
        -------
        display : LearningRateDisplay
        """
        return cls(curve=curve).plot(ax=ax)

    def plot(self, ax=None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw in; None makes a new figure.

        Returns
        -------
        self : object
        """
        if ax is None:
            pyplot = import_optional("matplotlib.pyplot", "plot")
            ax = pyplot.subplots(figsize=(6, 4), layout="constrained")[1]
        lrs, smoothed = self.curve.lrs, self.curve.smoothed
        (self.points_,) = ax.plot(lrs, self.curve.losses, ".", color="C0", alpha=0.35, label="loss of a batch")
        (self.line_,) = ax.plot(lrs, smoothed, color="C0", linewidth=2, label="smoothed")
        self.mark_ = self._draw_suggestion(ax)
        self._set_limits(ax)
        ax.set(
            xscale="log", xlabel="learning rate", ylabel="loss", title="no clear rate" if self.curve.problem else None
        )
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_suggestion(self, ax):
        rate = self.curve.suggestion
        if rate is None:
            return None
        return ax.axvline(rate, color="C1", linestyle="--", linewidth=1.5, label=f"suggestion: {rate:.2g}")

    def _set_limits(self, ax):
        """Limit the height, so that a batch that diverges does not flatten the rest of the curve."""
        shown = self.curve.smoothed[np.isfinite(self.curve.smoothed)]
        if len(shown):
            low, start = shown.min(), shown[: max(5, len(shown) // 10)].max()
            height = max(start - low, 0.05 * abs(start)) or 1.0
            ax.set_ylim(low - MARGIN * height, start + 2 * MARGIN * height)
