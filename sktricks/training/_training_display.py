"""TrainingDisplay: a plot of losses, scores, learning rates, gradient norms and frozen layers per epoch."""

from __future__ import annotations

from itertools import groupby
from typing import Self

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._optional import import_optional
from ._base_net import BaseNet

SHADE = "0.5"  # color of the bands of epochs with frozen layers; gray is visible on white and on black


class TrainingDisplay:
    """Plot of a training, with one panel per recorded value over the epochs.

    Create it with :meth:`from_estimator`. Gray bands mark the epochs in which :class:`FreezeLayers` or the strategy
    ``"gradual"`` kept layers frozen, and show the number of these layers.

    Parameters
    ----------
    losses : list of float
        Training loss of each epoch.
    validation_losses : list of float, default=None
        Validation loss of each epoch.
    scores : list of float, default=None
        Validation score of each epoch: accuracy, or the coefficient of determination.
    rates : list of float, default=None
        Learning rate of each epoch.
    gradient_norms : list of float, default=None
        Norm of the gradient in each epoch, as recorded by :class:`GradientNorms`.
    frozen : list of int, default=None
        Number of frozen layers in each epoch.
    score_name : str, default="validation score"
        Label of the panel of scores.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, TrainingDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=20, early_stopping=True, random_state=0).fit(X, y)
    >>> display = TrainingDisplay(losses=net.loss_curve_, scores=net.validation_scores_, rates=net.lr_curve_)
    >>> len(display.losses), len(display.scores)
    (20, 20)

    With matplotlib, ``display.plot()`` draws it, and ``TrainingDisplay.from_estimator(net)`` does all of this.
    """

    def __init__(
        self,
        *,
        losses,
        validation_losses=None,
        scores=None,
        rates=None,
        gradient_norms=None,
        frozen=None,
        score_name="validation score",
    ):
        self.losses = losses
        self.validation_losses = validation_losses
        self.scores = scores
        self.rates = rates
        self.gradient_norms = gradient_norms
        self.frozen = frozen
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator, *, figure=None, **kwargs) -> Self:
        """Draw the training of a fitted net.

        Parameters
        ----------
        estimator : NetClassifier, NetRegressor, FineTuneClassifier, FineTuneRegressor, Pipeline or search
            A fitted net, a Pipeline whose last step is one, or a search whose best estimator is one.
        figure : matplotlib Figure, default=None
            Figure to draw in. None: a new figure.
        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : TrainingDisplay

        Raises
        ------
        TypeError
            If the estimator contains no net.
        ImportError
            If matplotlib is not installed.
        """
        net = inner_net(estimator)
        known = {
            "validation_losses": net.validation_loss_curve_,
            "scores": net.validation_scores_,
            "gradient_norms": net._curve("gradient_norm"),
            "frozen": [int(epoch.get("event_frozen", 0)) for epoch in net.net_.history],
        }
        return cls(
            losses=net.loss_curve_,
            rates=net.lr_curve_,
            score_name="accuracy" if hasattr(net, "classes_") else "R²",
            **{name: values for name, values in known.items() if any(values)},
        ).plot(figure=figure, **kwargs)

    def plot(self, *, figure=None, title: str | None = None) -> Self:
        """Draw the panels.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            Figure to draw in. None: a new figure.
        title : str, default=None
            Title of the figure. None: no title.

        Returns
        -------
        self : object
        """
        panels = {
            "loss": {"training": self.losses, "validation": self.validation_losses},
            self.score_name: {"validation": self.scores},
            "learning rate": {"": self.rates},
            "norm of the gradient": {"": self.gradient_norms},
        }
        panels = {
            name: {label: values for label, values in lines.items() if values is not None}
            for name, lines in panels.items()
        }
        panels = {name: lines for name, lines in panels.items() if lines}
        if figure is None:
            pyplot = import_optional("matplotlib.pyplot", "plot")
            figure = pyplot.figure(figsize=(6.4, 1.2 + 1.5 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (name, lines) in zip(axes, panels.items(), strict=True):
            self._draw(ax, name, lines)
        axes[-1].set_xlabel("epoch")
        axes[-1].xaxis.get_major_locator().set_params(integer=True)
        figure.suptitle(title or "")
        self.figure_, self.axes_ = figure, list(axes)
        return self

    def _draw(self, ax, name, lines):
        n_epochs = len(self.losses)
        for label, values in lines.items():
            first = n_epochs - len(values)  # earlier fits may have had no validation rows
            style = {"color": "C1" if label == "validation" else "C0", "marker": "." if len(values) < 30 else ""}
            ax.plot(1 + first + np.arange(len(values)), values, label=label, **style)
        ax.set_ylabel(name)
        self._shade(ax, labeled=name == "loss")
        if len(ax.get_legend_handles_labels()[1]) > 1:
            ax.legend()

    def _shade(self, ax, *, labeled):
        """Draw a band for epochs with frozen layers, darker for more layers, and with their number if ``labeled``."""
        epoch, most = 0.5, max(self.frozen or [0])
        for n_frozen, epochs in groupby(self.frozen or []):
            end = epoch + len(list(epochs))
            if n_frozen:
                band = ax.axvspan(epoch, end, color=SHADE, alpha=0.05 + 0.3 * n_frozen / most, linewidth=0)
                if labeled:
                    band.set_label("layers frozen" if epoch == 0.5 else "")
                    ax.annotate(
                        str(n_frozen),
                        ((epoch + end) / 2, 1),
                        xycoords=("data", "axes fraction"),
                        xytext=(0, -3),
                        textcoords="offset points",
                        ha="center",
                        va="top",
                        fontsize="small",
                    )
            epoch = end


def inner_net(estimator):
    """Return the fitted net of an estimator: itself, the last step of a Pipeline or the best estimator of a search."""
    found = getattr(estimator, "best_estimator_", estimator)
    while isinstance(found, Pipeline):
        found = found.steps[-1][1]
    if not isinstance(found, BaseNet):
        raise TypeError(
            "estimator must be a net of sktricks, such as NetClassifier, or a Pipeline or a search around one, "
            f"got {estimator!r}"
        )
    check_is_fitted(found)
    return found
