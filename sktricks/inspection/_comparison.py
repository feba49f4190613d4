"""Comparison: the scores of several estimators on the same folds, printed as a table."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from .._optional import import_optional
from ._corrected_interval import corrected_interval


@dataclass(frozen=True)
class Compared:
    """The results of one estimator in a :class:`Comparison`.

    Attributes
    ----------
    name : str
    scores : ndarray of shape (n_folds,)
        NaN if the estimator failed.
    fit_time, score_time : float
        Mean seconds per fold.
    size : int
        Bytes of the pickled estimator of the first fold; -1 if it failed or cannot be pickled.
    error : str
        The reason if the estimator failed, otherwise empty.

    See Also
    --------
    compare : Compare estimators on the same folds.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktricks import compare
    >>> X, y = load_iris(return_X_y=True)
    >>> result = compare({"linear": LogisticRegression(max_iter=500)}, X, y, cv=3).results[0]
    >>> result.name, result.scores.shape
    ('linear', (3,))
    """

    name: str
    scores: np.ndarray
    fit_time: float = np.nan
    score_time: float = np.nan
    size: int = -1
    error: str = ""


@dataclass(frozen=True)
class Comparison:
    """The result of :func:`compare`; ``print`` shows it as a table, best first.

    Attributes
    ----------
    results : list of Compared
        One per estimator, in descending order of the mean score; those that failed come last.
    scoring : str
        The name of the score, of which a larger value is better.
    test_fraction : float
        Number of test rows divided by the number of training rows, a mean over the folds.

    See Also
    --------
    compare : Cross-validate several estimators on the same folds.
    ComparisonDisplay : A figure of a comparison.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from sktricks import compare
    >>> X, y = load_iris(return_X_y=True)
    >>> comparison = compare({"tree": DecisionTreeClassifier(), "neighbors": KNeighborsClassifier()}, X, y)
    >>> comparison.best
    'neighbors'
    >>> [result.name for result in comparison.results]
    ['neighbors', 'tree', 'DummyClassifier']
    """

    results: list[Compared]
    scoring: str
    test_fraction: float

    @property
    def best(self) -> str:
        """The name of the estimator with the best mean score."""
        return self.results[0].name

    def difference(self, result: Compared) -> tuple[float, float, float]:
        """Return the mean difference of an estimator to the best one, and the limits of its 95 % interval.

        Parameters
        ----------
        result : Compared
            One of the results.

        Returns
        -------
        mean, low, high : float
            Negative if the estimator is worse. If the interval contains 0, the difference is not significant. The
            limits are NaN for the best estimator itself.
        """
        differences, low, high = result.scores - self.results[0].scores, np.nan, np.nan
        if result is not self.results[0]:
            low, high = corrected_interval(differences, self.test_fraction)
        return float(np.mean(differences)), float(low), float(high)

    def to_frame(self):
        """Return the table as a DataFrame.

        Returns
        -------
        frame : pandas.DataFrame
            One row per estimator, with its name as the index. Columns: ``test_score`` (the mean over folds),
            ``test_score_se`` (its standard error, corrected for shared training rows), ``difference``,
            ``difference_low`` and ``difference_high`` (to the best, with a 95 % interval), ``fit_time`` and
            ``score_time`` (mean seconds per fold), ``size`` (bytes) and ``error``.
        """
        frame = import_optional("pandas", "images").DataFrame([self._cells(result) for result in self.results])
        return frame.set_index("estimator")

    def _cells(self, result):
        mean, low, high = self.difference(result)
        return {
            "estimator": result.name,
            "test_score": float(np.mean(result.scores)),
            "test_score_se": standard_error(result.scores, self.test_fraction),
            "difference": mean,
            "difference_low": low,
            "difference_high": high,
            "fit_time": result.fit_time,
            "score_time": result.score_time,
            "size": result.size if result.size >= 0 else np.nan,
            "error": result.error,
        }

    def _texts(self):
        """Return the header and the cells of the table, and the errors to print below it."""
        named = [(" ".join(result.name.split()), result) for result in self.results]  # a row of the table is one line
        header = ["", self.scoring, "difference to the best", "fit, s", "score, s", "size"]
        table, errors = [], []
        for name, result in named:
            if result.error:
                table.append([name, "failed", "", "", "", ""])
                errors.append(f"{name} failed: {result.error}")
                continue
            cells = self._cells(result)
            table.append(
                [
                    name,
                    f"{cells['test_score']:.4g} ± {cells['test_score_se']:.2g}",
                    as_interval(cells["difference"], cells["difference_low"], cells["difference_high"]),
                    f"{result.fit_time:.3g}",
                    f"{result.score_time:.3g}",
                    as_size(result.size),
                ]
            )
        return header, table, errors

    def __str__(self):
        header, table, errors = self._texts()
        widths = [max(map(len, column)) for column in zip(header, *table, strict=True)]
        lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in (header, *table)]
        return "\n".join([*lines, *errors])

    def _repr_html_(self):
        header, table, errors = self._texts()
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in table
        )
        head = "".join(f"<th style='text-align:left'>{html.escape(cell)}</th>" for cell in header)
        failed = "".join(f"<p>{html.escape(error)}</p>" for error in errors)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{failed}"


def standard_error(scores, test_fraction):
    """Return the standard error of the mean score, corrected as in :func:`corrected_interval`."""
    n_folds = len(scores)
    return float(np.sqrt((1 / n_folds + test_fraction) * np.var(scores, ddof=1))) if n_folds > 1 else np.nan


def as_interval(mean, low, high):
    """Return a difference and its interval as text; nothing for the best estimator."""
    if np.isnan(low):
        return "" if mean == 0 else f"{mean:+.3g}"
    return f"{mean:+.3g} [{low:+.3g}, {high:+.3g}]"


def as_size(n_bytes):
    """Return a number of bytes as text."""
    if n_bytes < 0:
        return "?"
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"
