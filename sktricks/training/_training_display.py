"""TrainingDisplay: a plot of losses, scores, learning rates, gradient norms and frozen layers per epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Self

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._axes import check_axes, flat, set_figure_title, take_axes
from .._fit_text import shorten, width_of
from .._optional import import_optional
from ._base_net import BaseNet

FIELDS = ("losses", "validation_losses", "scores", "rates", "gradient_norms", "frozen")
MARKERS = "osD^vPX*<>"  # of the runs, which differ by more than their color
MOST_NUMBERS = 6  # of frozen layers in the legend
SHADE = "0.5"  # color of the bands of epochs with frozen layers; gray is visible on white and on black


class TrainingDisplay:
    """Plot of one or several trainings, with one panel per recorded value over the epochs.

    Create it with :meth:`from_estimator`, or with :meth:`from_estimators` for several runs in one picture. Gray bands
    mark the epochs in which :class:`FreezeLayers` or the strategy ``"gradual"`` kept layers frozen, and the
    legend has the numbers of these layers; with several runs there are no bands.

    Parameters
    ----------
    losses : list of float, or dict
        Training loss of each epoch. A dict holds one list per run, by the name of the run; the values below then are
        dicts as well, and may lack runs.
    validation_losses : list of float, or dict, default=None
        Validation loss of each epoch.
    scores : list of float, or dict, default=None
        Validation score of each epoch: accuracy, or the coefficient of determination.
    rates : list of float, or dict, default=None
        Learning rate of each epoch.
    gradient_norms : list of float, or dict, default=None
        Norm of the gradient in each epoch, as recorded by :class:`GradientNorms`.
    frozen : list of int, or dict, default=None
        Number of frozen layers in each epoch.
    score_name : str, default="validation score"
        Label of the panel of scores.
    name : str, default=None
        Name of a single run in the legend; the title of the figure for several runs, whose names are those in the
        dicts.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes

    See Also
    --------
    GradientNorms : Record the norm of the gradient for it.
    diagnose : Look for common faults of a net and its rows.

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
        name=None,
    ):
        self.losses = losses
        self.validation_losses = validation_losses
        self.scores = scores
        self.rates = rates
        self.gradient_norms = gradient_norms
        self.frozen = frozen
        self.score_name = score_name
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, name: str | None = None, axes=None, figure=None, **kwargs) -> Self:
        """Draw the training of a fitted net.

        Parameters
        ----------
        estimator : NetClassifier, NetRegressor, FineTuneClassifier, FineTuneRegressor, Pipeline or search
            A fitted net, a Pipeline whose last step is one, or a search whose best estimator is one.
        name : str, default=None
            Name of the run in the legend.
        axes : list of matplotlib Axes, default=None
            Axes to draw in, as in :meth:`plot`.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None creates a new one.
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
        check_axes(axes, figure)
        net = inner_net(estimator)
        values = {field: some for field, some in values_of(net).items() if some is not None}
        return cls(**values, score_name=name_score(net), name=name).plot(axes, figure=figure, **kwargs)

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any], *, name: str | None = None, axes=None, figure=None, **kwargs
    ) -> Self:
        """Draw the trainings of several fitted nets in one picture, each in a color of its own.

        Parameters
        ----------
        estimators : dict
            Fitted estimators as in :meth:`from_estimator`, by the names of the runs.
        name : str, default=None
            Name of the runs as a whole, the title of the figure.
        axes : list of matplotlib Axes, default=None
            Axes to draw in, as in :meth:`plot`.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.
        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : TrainingDisplay

        Raises
        ------
        TypeError
            If ``estimators`` is no dict, or an estimator contains no net.
        ValueError
            If ``estimators`` is empty.
        ImportError
            If matplotlib is not installed.
        """
        if not isinstance(estimators, Mapping):
            raise TypeError(
                f"estimators must be a dict from names to fitted estimators, got {type(estimators).__name__}"
            )
        if not estimators:
            raise ValueError("estimators must hold at least one fitted estimator, got none")
        nets = {str(name): inner_net(estimator) for name, estimator in estimators.items()}
        runs = {name: values_of(net) for name, net in nets.items()}
        values = {field: {name: run[field] for name, run in runs.items() if run[field] is not None} for field in FIELDS}
        names = {name_score(net) for net in nets.values()}
        score_name = names.pop() if len(names) == 1 else "validation score"
        return cls(**values, score_name=score_name, name=name).plot(axes, figure=figure, **kwargs)

    def plot(
        self, axes: Sequence | None = None, *, figure=None, name: str | None = None, title: str | None = None
    ) -> Self:
        """Draw the panels.

        Parameters
        ----------
        axes : list of matplotlib Axes, default=None
            Axes to draw in: one per panel, or the ``axes_`` of another display, which then shows both. None: new ones.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.
        name : str, default=None
            Name of the run, or of several runs as a whole. None: the name of the display.
        title : str, default=None
            Title of the figure. None: the name, if there are several runs.

        Returns
        -------
        self : object
            The display itself.

        Raises
        ------
        ValueError
            If ``axes`` are of another number than the panels, or the display that drew them lacks a panel.
        """
        name = self.name if name is None else name
        is_single = not isinstance(self.losses, Mapping)
        runs = self._runs(name or "")
        panels = self._panels(runs)
        check_axes(axes, figure)
        labels = [ax.get_ylabel() for ax in flat(axes)]
        if any(labels):
            self.axes_ = flat(axes)
            places = match_axes(self.axes_, labels, list(panels))
        else:
            n, what = len(panels), f"one each for {', '.join(panels)}"
            size = (6.4, 1.2 + 1.6 * n)
            self.axes_ = take_axes(axes, figure, range(n), (n, 1), size=size, what=what, sharex=True)
            places = dict(zip(panels, self.axes_, strict=True))
        if axes is None:
            self.axes_[-1].set_xlabel("epoch")
            self.axes_[-1].xaxis.get_major_locator().set_params(integer=True)
        n_before = len({line.get_gid() for line in self.axes_[0].lines})
        for panel, lines in panels.items():
            self._draw(places[panel], panel, lines, runs, n_before)
        set_figure_title(self.axes_, name if title is None and not is_single else title)
        self.figure_ = self.axes_[0].figure
        return self

    def _runs(self, name):
        """Return the values of each run by the names of FIELDS, by the name of the run; ``name`` for a single one."""
        if not isinstance(self.losses, Mapping):
            return {name: {field: getattr(self, field) for field in FIELDS}}
        values = {field: getattr(self, field) or {} for field in FIELDS}
        return {name: {field: some.get(name) for field, some in values.items()} for name in self.losses}

    def _panels(self, runs):
        """Return the lines of each panel by its label: tuples of the run, the kind of rows, and the values."""
        rows = {
            "loss": {"training": "losses", "validation": "validation_losses"},
            self.score_name: {"validation": "scores"},
            "learning rate": {"": "rates"},
            "gradient norm": {"": "gradient_norms"},
        }
        panels = {
            panel: [
                (name, kind, run[field]) for name, run in runs.items() for kind, field in kinds.items() if run[field]
            ]
            for panel, kinds in rows.items()
        }
        return {panel: lines for panel, lines in panels.items() if lines}

    def _draw(self, ax, panel, lines, runs, n_before):
        for name, kind, values in lines:
            n_epochs = len(runs[name]["losses"])
            first = n_epochs - len(values)  # earlier fits may have had no validation rows
            style = {"marker": "." if len(values) < 30 else "", "color": "C1" if kind == "validation" else "C0"}
            if name:
                number = n_before + list(runs).index(name)
                style = {"color": f"C{number % 10}", "linestyle": "--" if kind == "validation" else "-"}
                style |= {"marker": MARKERS[number % len(MARKERS)], "markersize": 4}
                style["markevery"] = max(1, len(values) // 10)
            label = ", ".join(filter(None, [name, kind]))
            (line,) = ax.plot(1 + first + np.arange(len(values)), values, label=label, **style)
            line.set_gid(name)
        ax.set_ylabel(panel)
        if len(runs) == 1 and not n_before:
            shade(ax, runs[next(iter(runs))]["frozen"])
        if any(runs) and panel == "loss":  # the colors of named runs are the same in all panels
            draw_legend_of_runs(ax)
        elif panel == "loss" and len(ax.get_legend_handles_labels()[1]) > 1:
            ax.legend()


def shade(ax, frozen):
    """Draw a band for epochs with frozen layers, darker for more layers; the first has the numbers in its label."""
    epoch, most = 0.5, max(frozen or [0])
    numbers = [n_frozen for n_frozen, _ in groupby(frozen or []) if n_frozen]
    label = f"{', '.join(map(str, numbers[:MOST_NUMBERS]))}{', …' * (len(numbers) > MOST_NUMBERS)} layers frozen"
    for n_frozen, epochs in groupby(frozen or []):
        end = epoch + len(list(epochs))
        if n_frozen:
            ax.axvspan(epoch, end, color=SHADE, alpha=0.05 + 0.3 * n_frozen / most, linewidth=0, label=label)
            label = "_frozen"  # not in the legend
        epoch = end


def draw_legend_of_runs(ax):
    """Draw a legend above the axes: the color and marker of each run, and the line style of each kind of rows."""
    make_line = import_optional("matplotlib.lines", "plot").Line2D
    runs = {line.get_gid(): (line.get_color(), line.get_marker()) for line in ax.lines if line.get_gid()}
    width = width_of(ax) / 2 - 40  # two columns, and room for the lines beside the names
    handles = [
        make_line([], [], color=color, marker=marker, markersize=4, label=shorten(name, width, "small"))
        for name, (color, marker) in runs.items()
    ]
    styles = {"training": "-", "validation": "--"}
    if any(line.get_linestyle() == "--" for line in ax.lines):
        handles += [make_line([], [], color="0.5", linestyle=style, label=kind) for kind, style in styles.items()]
    handles += [band for band in ax.patches if not band.get_label().startswith("_")]
    ax.legend(handles=handles, ncols=2, fontsize="small", frameon=False, loc="lower left", bbox_to_anchor=(0, 1))


def values_of(net):
    """Return the recorded values of a fitted net by the names of FIELDS; None for those that it does not have."""
    known = {
        "losses": net.loss_curve_,
        "validation_losses": net.validation_loss_curve_,
        "scores": net.validation_scores_,
        "rates": net.lr_curve_,
        "gradient_norms": net._curve("gradient_norm"),
        "frozen": [int(epoch.get("event_frozen", 0)) for epoch in net.net_.history],
    }
    return {field: values if field in ("losses", "rates") or any(values) else None for field, values in known.items()}


def name_score(net):
    """Return the name of the validation score of a net."""
    return "accuracy" if hasattr(net, "classes_") else "R²"


def match_axes(axes, labels, panels):
    """Return the axes of each panel, by its label, among axes with labels."""
    missing = [panel for panel in panels if panel not in labels]
    if missing:
        raise ValueError(
            f"axes must have one axes for each of the panels {', '.join(panels)}, got {len(axes)} axes with the labels "
            f"{', '.join(labels)}"
        )
    return {panel: axes[labels.index(panel)] for panel in panels}


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
