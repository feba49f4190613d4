"""A picture of a training: losses, scores, learning rates, gradients, and how much was frozen when."""

from __future__ import annotations

from itertools import groupby
from typing import Self

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._optional import import_optional
from ._base_net import BaseNet

SHADE = "0.5"  # of epochs with frozen layers: to be told apart on white and on black


class TrainingDisplay:
    """Plot of a training, epoch by epoch: one panel per recorded value, one below the other.

    Make one with :meth:`from_estimator`. Grey bands are epochs in which a :class:`FreezeLayers` or the strategy
    ``"gradual"`` held layers frozen, with their number.

    Parameters
    ----------
    losses : list of float
        Of the training rows, for each epoch.
    validation_losses : list of float, default=None
        Of the validation rows.
    scores : list of float, default=None
        Of the validation rows: accuracy, or the coefficient of determination.
    rates : list of float, default=None
        The learning rates.
    gradient_norms : list of float, default=None
        As :class:`GradientNorms` recorded them.
    frozen : list of int, default=None
        How many layers were frozen.

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
            Fitted; of a Pipeline its last step counts, of a search its best estimator.
        figure : matplotlib Figure, default=None
            Where to draw; None: a new one.
        **kwargs : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        display : TrainingDisplay

        Raises
        ------
        TypeError
            If there is no net.
        ImportError
            Without matplotlib.
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
        """Draw.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            Where to draw; None: a new one.
        title : str, default=None
            Of the figure.

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
        self._shade(ax, told=name == "loss")
        if len(ax.get_legend_handles_labels()[1]) > 1:
            ax.legend()

    def _shade(self, ax, *, told):
        """Bands where layers were frozen, darker the more there are."""
        epoch, most = 0.5, max(self.frozen or [0])
        for n_frozen, epochs in groupby(self.frozen or []):
            end = epoch + len(list(epochs))
            if n_frozen:
                band = ax.axvspan(epoch, end, color=SHADE, alpha=0.05 + 0.3 * n_frozen / most, linewidth=0)
                if told:
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
    """Return the fitted net in an estimator: itself, the last step of a Pipeline, the best estimator of a search."""
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
