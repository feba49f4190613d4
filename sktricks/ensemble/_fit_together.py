"""Fits that are handed to the members' own ``_fit_many``, which trains alike nets at once.

What an estimator must have for it is a function ``_fit_many(fits)`` that takes a list of :class:`Fit` and returns for
each the fitted estimator, or ``NotImplemented`` where it is better fitted by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params


@dataclass
class Fit:
    """A fit among others.

    Parameters
    ----------
    estimator : estimator
        Unfitted; it is the one that is fitted.
    data : callable
        Gives X and y when they are wanted, so that not all folds need be in memory at once.
    params : dict
        What ``fit`` gets besides.
    naming : callable
        Makes a context in which an error is told whose it is.
    """

    estimator: object
    data: Callable
    params: dict
    naming: Callable


def fit_together(jobs, X, naming):
    """Those of the jobs that can be done at once, done.

    Parameters
    ----------
    jobs : list of (Member, ndarray or None, str)
        Whom to fit on which rows, None being all, and whose an error is.
    X : array-like
    naming : callable
        From a text to a context.

    Returns
    -------
    fitted : dict
        Estimators by the number of the job.
    """
    select = cache(lambda number: X if jobs[number][1] is None else _safe_indexing(X, jobs[number][1]))
    first = {}  # members that are fitted on the same rows share them
    fits, numbers = {}, {}
    for number, (member, rows, who) in enumerate(jobs):
        fit_many = getattr(member.estimator, "_fit_many", None)
        if fit_many is None or member.message is not None:  # a verbose ensemble tells the time of each
            continue
        place = first.setdefault(id(rows), number)
        fit = Fit(
            clone(member.estimator),
            partial(_read, select, place, member, rows),
            _check_method_params(X, member.params, indices=rows),
            partial(naming, who),
        )
        fits.setdefault(fit_many, []).append(fit)
        numbers.setdefault(fit_many, []).append(number)
    fitted = {}
    for fit_many, own in fits.items():
        if len(own) > 1:
            done = zip(numbers[fit_many], fit_many(own), strict=True)
            fitted |= {number: model for number, model in done if model is not NotImplemented}
    return fitted


def _read(select, place, member, rows):
    return select(place), member.y if rows is None else _safe_indexing(member.y, rows)
