"""Fit several members at once with their function ``_fit_many``, which trains nets of the same architecture together.

An estimator supports this with a function ``_fit_many(fits)``: it takes a list of :class:`Fit` and returns for each the
fitted estimator, or ``NotImplemented`` if the estimator must be fitted separately.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from ._members import naming


@dataclass
class Fit:
    """One of several fits.

    Parameters
    ----------
    estimator : estimator
        Not fitted; the fit changes this object.
    data : callable
        Returns X and y on demand, so that not all folds are in memory at once.
    params : dict
        Further arguments of ``fit``.
    naming : callable
        Returns a context in which errors name the fit.
    verbose : int, default=0
        That of the ensemble.
    """

    estimator: object
    data: Callable
    params: dict
    naming: Callable
    verbose: int = 0


def fit_together(jobs, X, verbose=0):
    """Run the jobs that can be run together.

    Parameters
    ----------
    jobs : list of Job
    X : array-like
    verbose : int, default=0

    Returns
    -------
    fitted : dict
        Estimators by the index of the job.
    """
    select = cache(lambda number: X if jobs[number].train is None else _safe_indexing(X, jobs[number].train))
    first = {}  # members that are fitted on the same rows share the arrays
    groups = defaultdict(dict)
    for number, job in enumerate(jobs):
        fit_many = getattr(job.member.estimator, "_fit_many", None)
        if fit_many is None:
            continue
        groups[fit_many][number] = Fit(
            clone(job.member.estimator),
            partial(_read, select, first.setdefault(id(job.train), number), job),
            _check_method_params(X, job.member.params, indices=job.train),
            partial(naming, job.who),
            verbose,
        )
    fitted = {}
    for fit_many, fits in groups.items():
        if len(fits) > 1:
            models = zip(fits, fit_many(list(fits.values())), strict=True)
            fitted |= {number: model for number, model in models if model is not NotImplemented}
    return fitted


def _read(select, first, job):
    """Return X and y of a job; X is selected once for all jobs on the same rows."""
    y = job.member.y
    return select(first), y if job.train is None else _safe_indexing(y, job.train)
