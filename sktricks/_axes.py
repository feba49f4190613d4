"""Return the axes that Displays draw in: those passed by the caller, or those of a new figure."""

from __future__ import annotations

import numpy as np

from ._optional import import_optional


def check_axes(axes=None, figure=None, name="axes"):
    """Raise an error unless matplotlib is installed, and axes and figure are None or of its types.

    Call it before the long computation of a Display.

    Parameters
    ----------
    axes : matplotlib Axes, or array-like of them, default=None
    figure : matplotlib Figure or SubFigure, default=None
    name : str, default="axes"
        The name of the parameter ``axes`` in errors.
    """
    import_optional("matplotlib", "plot")
    if figure is not None and not isinstance(figure, import_optional("matplotlib.figure", "plot").FigureBase):
        raise TypeError(f"figure must be a matplotlib Figure or SubFigure, got {type(figure).__name__}")
    if axes is not None and figure is not None:
        raise ValueError(f"{name} and figure cannot be combined: got both")
    Axes = import_optional("matplotlib.axes", "plot").Axes
    for one in [] if axes is None else [axes] if name == "ax" else flat(axes):
        if not isinstance(one, Axes):
            expected = "a matplotlib Axes" if name == "ax" else "a list of matplotlib Axes"
            raise TypeError(f"{name} must be {expected}, got {type(one).__name__}")


def flat(axes):
    """Return an array of axes of any shape as a list; an empty list for None."""
    return [] if axes is None else np.asarray(axes, dtype=object).ravel().tolist()


def take_ax(ax, size):
    """Return the Axes to draw in: the given one, or that of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
    size : tuple of float
        Width and height of a new figure, in inches.
    """
    if ax is None:
        return open_figure(size).subplots()
    check_axes(ax, name="ax")
    return ax


def take_axes(axes, figure, places, shape, *, size, what, **grid):
    """Return one Axes per panel: the given ones, or those of a grid in the given figure or in a new one.

    Parameters
    ----------
    axes : array-like of matplotlib Axes, or None
    figure : matplotlib Figure or SubFigure, or None
    places : sequence of int
        The cell of each panel in a new grid, line by line; other cells stay empty.
    shape : tuple of int
        Lines and columns of a new grid.
    size : tuple of float
        Width and height of a new figure, in inches.
    what : str
        A description of the panels, for the error about their number.
    **grid
        Keyword arguments of ``figure.subplots``.

    Returns
    -------
    axes : list of matplotlib Axes
    """
    check_axes(axes, figure)
    if axes is not None:
        given = flat(axes)
        if len(given) != len(places):
            raise ValueError(f"axes must have {len(places)} Axes, {what}, got {len(given)}")
        return given
    cells = (open_figure(size) if figure is None else figure).subplots(*shape, squeeze=False, **grid).ravel()
    for place in set(range(len(cells))) - set(places):
        cells[place].set_axis_off()
    return [cells[place] for place in places]


def open_figure(size):
    """Return a new pyplot figure with this width and height in inches."""
    return import_optional("matplotlib.pyplot", "plot").figure(figsize=size, layout="constrained")


def set_figure_title(axes, title, **style):
    """Set the title of the figure of some axes, if a title is given; otherwise keep the caller's."""
    if title:
        axes[0].figure.suptitle(title, **style)
