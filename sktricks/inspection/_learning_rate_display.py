"""LearningRateDisplay: a figure of the curve of a range test."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .._axes import check_axes, take_ax
from ..training._rate_curve import LearningRateCurve
from ._lr_finder import find_lr

MARGIN = 0.12  # above and below the smoothed curve, as a fraction of its height


class LearningRateDisplay:
    """A figure of the loss as a function of the learning rate, with the suggested rate.

    Make one with :meth:`from_estimator` or :meth:`from_curve`; :meth:`plot` draws it again.

    Parameters
    ----------
    curve : LearningRateCurve
        The result of :func:`find_lr`.
    name : str, default=None
        Name of the curve in the legend.

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

    See Also
    --------
    find_lr : The range test without a figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import LearningRateDisplay, NetClassifier, find_lr
    >>> X, y = load_iris(return_X_y=True)
    >>> display = LearningRateDisplay(curve=find_lr(NetClassifier(random_state=0), X, y))
    >>> display.curve.problem is None
    True
    """

    def __init__(self, *, curve: LearningRateCurve, name: str | None = None):
        self.curve = curve
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X: ArrayLike, y: ArrayLike, *, name: str | None = None, ax=None, **params
    ) -> Self:
        """Run a range test and draw it.

        Parameters
        ----------
        estimator : net, or Pipeline that ends in one
            As in :func:`find_lr`.
        X : array-like of shape (n, ...)
            As in :func:`find_lr`.
        y : array-like of shape (n,) or (n, outputs)
            As in :func:`find_lr`.
        name : str, default=None
            Name of the curve in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: those of a new figure.
        **params : dict
            Other parameters of :func:`find_lr`.

        Returns
        -------
        display : LearningRateDisplay
            The display, drawn.
        """
        check_axes(ax, name="ax")  # before the range test
        return cls.from_curve(find_lr(estimator, X, y, **params), name=name, ax=ax)

    @classmethod
    def from_curve(cls, curve: LearningRateCurve, *, name: str | None = None, ax=None) -> Self:
        """Draw a curve.

        Parameters
        ----------
        curve : LearningRateCurve
            The result of :func:`find_lr`.
        name : str, default=None
            Name of the curve in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: those of a new figure.

        Returns
        -------
        display : LearningRateDisplay

        Raises
        ------
        TypeError
            If ``curve`` is not a result of :func:`find_lr`.
        """
        if not isinstance(curve, LearningRateCurve):
            raise TypeError(f"curve must be the result of find_lr, got {type(curve).__name__}")
        return cls(curve=curve, name=name).plot(ax)

    def plot(self, ax=None, *, name: str | None = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. None: those of a new figure.
        name : str, default=None
            Name of the curve in the legend. None: that of the display.

        Returns
        -------
        self : object
            The display itself.
        """
        ax = take_ax(ax, (6, 4))
        before = ax.get_ylim() if ax.lines else None
        name = self.name if name is None else name
        prefix = f"{name}, " if name else ""
        lrs, smoothed = self.curve.lrs, self.curve.smoothed
        (self.line_,) = ax.plot(lrs, smoothed, linewidth=2, label=f"{prefix}smoothed")
        color = self.line_.get_color()
        (self.points_,) = ax.plot(
            lrs, self.curve.losses, ".", color=color, alpha=0.35, label=f"{prefix}loss of a batch"
        )
        self.mark_ = self._draw_suggestion(ax, prefix)
        self._set_limits(ax, before)
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
        if self.curve.problem:
            ax.set_title(f"{prefix}no clear rate")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_suggestion(self, ax, prefix):
        rate = self.curve.suggestion
        if rate is None:
            return None
        return ax.axvline(
            rate, color=self.line_.get_color(), linestyle="--", linewidth=1.5, label=f"{prefix}suggestion: {rate:.2g}"
        )

    def _set_limits(self, ax, before):
        """Limit the height, so that a batch that diverges does not flatten the curve; include the limits before."""
        shown = self.curve.smoothed[np.isfinite(self.curve.smoothed)]
        if len(shown):
            low, start = shown.min(), shown[: max(5, len(shown) // 10)].max()
            height = max(start - low, 0.05 * abs(start)) or 1.0
            limits = [(low - MARGIN * height, start + 2 * MARGIN * height), before or (np.inf, -np.inf)]
            ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
