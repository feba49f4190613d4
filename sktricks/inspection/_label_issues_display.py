"""LabelIssuesDisplay: a figure of the rows with the most suspicious labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._axes import check_axes
from ._label_issues import find_label_issues, image_shape_of
from ._pictures import check_n_rows, draw_rows, find_rows


class LabelIssuesDisplay:
    """A figure of the rows with the most suspicious labels, with the given and the predicted label.

    Make one with :meth:`from_estimator`, :meth:`from_predictions` or :meth:`from_issues`. Label issues come first, with
    red and bold titles. Images are shown unchanged; photos are read from their files at a legible size, with the file
    name below. Rows of a table are shown as bars, which are the deviations of the most unusual values from the mean in
    standard deviations.

    Parameters
    ----------
    rows : ndarray of shape (n, height, width, channels) or (n, features), or list of ndarray
        Images, from 0 (black) to 1 (white), or standardized rows of a table. A list holds images of several sizes.
    issues : pandas.DataFrame
        The rows of the result of :func:`find_label_issues` that are shown.
    names : list of str, default=None
        The names of the columns of a table.
    files : list of str, default=None
        The name of the file of each image.
    name : str, default=None
        Name of the estimator, the title of the figure.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes
        One for each row.

    See Also
    --------
    find_label_issues : The result as a table.
    PredictionsDisplay : The rows with the largest losses of a fitted classifier.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktricks import LabelIssuesDisplay, find_label_issues
    >>> X, y = load_digits(return_X_y=True)
    >>> issues = find_label_issues(LogisticRegression(), X[:300] / 16, y[:300])
    >>> display = LabelIssuesDisplay.from_issues(X[:300], issues, image_shape=8)  # doctest: +SKIP
    """

    def __init__(self, *, rows, issues, names=None, files=None, name=None):
        self.rows = rows
        self.issues = issues
        self.names = names
        self.files = files
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        cv: Any = 5,
        groups: ArrayLike | None = None,
        n_rows: int = 12,
        image_shape: int | tuple | None = None,
        name: str | None = None,
        axes=None,
        figure=None,
        **kwargs,
    ) -> Self:
        """Find label issues with copies of an estimator, and draw the most suspicious rows.

        Parameters
        ----------
        estimator : classifier
            As in :func:`find_label_issues`.
        X : array-like of shape (n, ...)
            As in :func:`find_label_issues`.
        y : array-like of shape (n,)
            As in :func:`find_label_issues`.
        cv, groups : optional
            As in :func:`find_label_issues`.
        n_rows : int, default=12
            The largest number of rows.
        image_shape : int or tuple, default=None
            (height, width), (height, width, channels) or the side of a square, of images that come as rows. None:
            that of the estimator.
        name : str, default=None
            Name of the estimator, the title of the figure.
        axes : list of matplotlib Axes, default=None
            Axes to draw in, one for each row. None: new ones.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.
        **kwargs : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        display : LabelIssuesDisplay
            The display, drawn.
        """
        check_axes(axes, figure)  # before the estimators are fitted
        issues = find_label_issues(estimator, X, y, cv=cv, groups=groups)
        shape = image_shape_of(estimator) if image_shape is None else image_shape
        how = {"name": name, "axes": axes, "figure": figure, **kwargs}
        return cls.from_issues(X, issues, n_rows=n_rows, image_shape=shape, **how)

    @classmethod
    def from_predictions(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        pred_probs: ArrayLike,
        *,
        n_rows: int = 12,
        image_shape: int | tuple | None = None,
        name: str | None = None,
        axes=None,
        figure=None,
        **kwargs,
    ) -> Self:
        """Find label issues by out-of-fold probabilities, and draw the most suspicious rows.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            As in :func:`find_label_issues`.
        y : array-like of shape (n,)
            As in :func:`find_label_issues`.
        pred_probs : array-like of shape (n, classes)
            As in :func:`find_label_issues`.
        n_rows, image_shape, name, axes, figure, **kwargs : optional
            As in :meth:`from_estimator`.

        Returns
        -------
        display : LabelIssuesDisplay
            The display, drawn.
        """
        issues = find_label_issues(None, X, y, pred_probs=pred_probs)
        how = {"name": name, "axes": axes, "figure": figure, **kwargs}
        return cls.from_issues(X, issues, n_rows=n_rows, image_shape=image_shape, **how)

    @classmethod
    def from_issues(
        cls,
        X: ArrayLike,
        issues: Any,
        *,
        n_rows: int = 12,
        image_shape: int | tuple | None = None,
        name: str | None = None,
        axes=None,
        figure=None,
        **kwargs,
    ) -> Self:
        """Draw the most suspicious rows.

        Parameters
        ----------
        X : array-like
            The rows of ``issues``, in the same order.
        issues : pandas.DataFrame
            The result of :func:`find_label_issues`.
        n_rows, image_shape, name, axes, figure, **kwargs : optional
            As in :meth:`from_estimator`.

        Returns
        -------
        display : LabelIssuesDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If X and ``issues`` differ in length, or ``n_rows`` is less than 1.
        TypeError
            If ``issues`` is not a table of :func:`find_label_issues`.
        """
        check_n_rows(n_rows)
        if "label_quality" not in getattr(issues, "columns", ()):
            raise TypeError(f"issues must be the table of find_label_issues, got {type(issues).__name__}")
        n = len(X)  # type: ignore[arg-type]
        if n != len(issues):
            raise ValueError(f"issues must have a row for each row of X, {n}, got {len(issues)}: pass all of them")
        suspicion = np.lexsort((issues["label_quality"], ~np.asarray(issues["is_label_issue"], dtype=bool)))
        chosen = suspicion[:n_rows]
        rows, names, files = find_rows(X, chosen, image_shape)
        display = cls(rows=rows, issues=issues.iloc[chosen], names=names, files=files, name=name)
        return display.plot(axes, figure=figure, **kwargs)

    def plot(
        self,
        axes: Sequence | None = None,
        *,
        figure=None,
        n_columns: int = 4,
        name: str | None = None,
        title: str | None = None,
    ) -> Self:
        """Draw the rows.

        Parameters
        ----------
        axes : list of matplotlib Axes, default=None
            Axes to draw in, one for each row. None: new ones.
        figure : matplotlib Figure or SubFigure, default=None
            Figure to draw in. None: a new figure.
        n_columns : int, default=4
            Rows of X shown side by side.
        name : str, default=None
            Name of the estimator. None: the name of the display.
        title : str, default=None
            The title of the figure. None: the name.

        Returns
        -------
        self : object
            The display itself.
        """
        title = (self.name if name is None else name) if title is None else title
        titles = [
            [f"given {issue.given_label} ({issue.label_quality:.0%}),", f"predicted {issue.predicted_label}"]
            for issue in self.issues.itertuples()
        ]
        how = {"axes": axes, "figure": figure, "n_columns": n_columns, "title": title}
        how |= {"names": self.names, "files": self.files, "wrong": self.issues["is_label_issue"]}
        self.figure_, self.axes_ = draw_rows(self.rows, titles, **how)
        return self
