"""Fit members on all rows and on folds, as jobs of one pool, so that no core waits for the slowest member."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from .._coded import fit_model
from .._progress import SILENT, progress
from .._threads import run_parallel
from ._fit_together import fit_together
from ._fold_models import FoldModels
from ._members import Member, naming
from ._predictions import check_finite, predict_member

TRIES = 5  # number of attempts on a cluster whose workers die


@dataclass
class Job:
    """One fit of a member.

    Parameters
    ----------
    member : Member
    train, test : ndarray of int or None
        The rows to fit on and to predict; None to fit on all rows and predict none.
    who : str
        Name of the fit in errors.
    keep : bool
        True if the model is needed, not only its predictions.
    """

    member: Member
    train: np.ndarray | None
    test: np.ndarray | None
    who: str
    keep: bool


def fit_members(members, X, splits, *, refit=True, n_jobs=None, together=True, verbose=0):
    """Fit the members on all rows and on folds; nets of one architecture are trained together.

    Parameters
    ----------
    members : list of Member
    X : array-like
    splits : list of (ndarray, ndarray)
        Rows to fit on and rows to predict; empty if no out-of-fold predictions are needed.
    refit : bool
        If True, members are fitted on all rows; if False, a member is the average of its models of the folds.
    n_jobs : int or None
    together : bool
        If True, members may train their nets together.
    verbose : int, default=0

    Returns
    -------
    fitted : list of estimators
    predictions : list of list of ndarray
        For each member, its predictions for the test rows of each split.
    """
    jobs = [job for member in members if not member.frozen for job in make_jobs(member, splits, refit)]
    with progress(len(jobs), "members", "fit", verbose) as done:
        ready = fit_together(jobs, X, verbose) if together else {}  # independent of n_jobs, for equal results
        done.step(len(ready))
        alone = iter(fit_apart([(job, X) for number, job in enumerate(jobs) if number not in ready], n_jobs, done))
    results = {member.name: [] for member in members}
    for number, job in enumerate(jobs):
        results[job.member.name].append(finish(job, ready[number], X) if number in ready else next(alone))
    gathered = [gather(member, results[member.name], X, splits, refit) for member in members]
    return [fitted for fitted, _ in gathered], [predictions for _, predictions in gathered]


def make_jobs(member, splits, refit):
    """Return the fits of a member: one on all rows if ``refit``, then one per split."""
    who = f"member {member.name!r}"
    whole = [Job(member, None, None, who, True)] if refit else []
    names = [f"{who}, fold {number} of {len(splits)}" for number in range(1, len(splits) + 1)]
    return whole + [Job(member, *split, name, not refit) for split, name in zip(splits, names, strict=True)]


def fit_apart(calls, n_jobs, done=SILENT):
    """Return the results of :func:`fit_one`, distributed by joblib over threads, processes or machines.

    A Dask cluster repeats the calls of a worker that died, but not if X was lost with it: then X is sent again.
    """
    if not calls:
        return []
    in_turn = effective_n_jobs(n_jobs) == 1

    def report(n):
        done.move(done.total - len(calls) + n, calls[n - 1][0].who if in_turn else "")

    for _ in range(TRIES):
        try:
            return run_parallel(fit_one, calls, n_jobs, None if done is SILENT else report)
        except CancelledError as error:
            lost = error
    raise RuntimeError(f"the members could not be fitted, since workers of the cluster died {TRIES} times") from lost


def fit_one(job, X):
    """Fit a clone of the member, and return it and its predictions."""
    member, model = job.member, clone(job.member.estimator)
    classes = member.target.kind == "classes"
    with naming(job.who):
        if job.train is None:
            model = fit_model(model, X, member.y, member.params, classes=classes)
        else:
            X_train, y_train = _safe_split(model, X, member.y, job.train)
            params = _check_method_params(X, member.params, indices=job.train)
            model = fit_model(model, X_train, y_train, params, classes=classes)
    return finish(job, model, X)


def finish(job, model, X):
    """Return the fitted model if it is needed, and its predictions for the test rows."""
    if job.train is None:
        return model, None
    X_test, _ = _safe_split(model, X, job.member.y, job.test, job.train)
    return model if job.keep else None, predict_checked(job.member, model, X_test, job.who)


def gather(member, results, X, splits, refit):
    """Return the fitted member and its out-of-fold predictions."""
    if member.frozen:
        predictions = predict_checked(member, member.estimator, X, f"member {member.name!r}") if splits else None
        return member.estimator, [predictions[test] for _, test in splits]
    if refit:
        return results[0][0], [predictions for _, predictions in results[1:]]
    return FoldModels([model for model, _ in results], member.target), [predictions for _, predictions in results]


def predict_checked(member, model, X, who):
    """Return the predictions of a member's model; errors name the member."""
    with naming(who):
        predictions = predict_member(model, X, member.method, member.target)
    return check_finite(predictions, who, member.method) if member.finite else predictions
