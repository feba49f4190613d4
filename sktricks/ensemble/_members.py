"""Members: what each is fitted with, what it answers, and whose fault an error is.

All fits of an ensemble, those on all rows and those on folds, are jobs of one pool, so that no core waits for the
slowest member.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import indexable
from sklearn.utils._user_interface import _print_elapsed_time
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, check_is_fitted

from .._coded import fit_model
from .._errors import DivergenceError
from .._labels import align_columns, encode_labels
from .._threads import run_parallel
from ._fit_together import fit_together
from ._target import Target, decision_columns, positive_probabilities
from ._votes import hard_vote

TRIES = 5  # of a cluster whose workers die


@dataclass
class Member:
    """A member and all that its fits need."""

    name: str
    estimator: object
    target: Target
    method: str = "predict"
    y: object = None
    params: dict = field(default_factory=dict)
    frozen: bool = False
    message: str | None = None
    finite: bool = True  # False: rows without a finite prediction are not an error


@contextmanager
def naming(who):
    """Errors keep their type and text, and say in a note whose they are; that a training diverged they say first."""
    try:
        yield
    except DivergenceError as error:
        error.args = (f"{who}: {error}",)
        raise
    except Exception as error:
        error.add_note(f"This happened in {who}.")
        raise


def check_frozen(members):
    """Refuse members that are to be used as they are and are not fitted."""
    for member in members:
        if member.frozen:
            try:
                check_is_fitted(member.estimator)
            except NotFittedError as error:
                raise NotFittedError(
                    f"estimators: member {member.name!r} is used as it is and is not fitted. Where the ensemble is "
                    "cloned, as in a search or a cross-validation, plain members lose their fit: wrap them in "
                    "sklearn.frozen.FrozenEstimator"
                ) from error


def is_frozen(estimator):
    """Whether a fit leaves the estimator as it is."""
    return isinstance(estimator, FrozenEstimator)


# -- answers -----------------------------------------------------------------------------------------------------------


def answer(estimator, X, method, target):
    """What a fitted member answers, in the terms of the ensemble.

    Returns
    -------
    answer : ndarray
        (n,) values or codes of classes from ``predict``, (n, labels) of several labels; (n, classes) or (n, labels)
        from ``predict_proba``; (n, columns) from ``decision_function``.
    """
    output = getattr(estimator, method)(X)
    own = getattr(estimator, "classes_", None)
    if method == "predict":
        return _read_predictions(output, target)
    if target.kind == "multilabel":
        return positive_probabilities(output, own) if method == "predict_proba" else np.asarray(output)
    if target.kind == "values":
        return np.asarray(output)
    if method == "predict_proba":
        return align_columns(np.asarray(output), own, target.classes)
    return decision_columns(np.asarray(output), own, target.classes)


def _read_predictions(output, target):
    output = output.toarray() if issparse(output) else np.asarray(output)
    if target.kind == "classes":
        return encode_labels(output, target.classes, "the output of predict")
    if target.kind == "multilabel":
        return (output > 0.5).astype(np.intp)  # some give floats, some booleans
    return output[:, 0] if output.ndim == 2 and output.shape[1] == 1 else output


def answers(estimators, names, X, methods, targets, *, finite=True):
    """Return the answers of all members, a list; errors name the member, also those for values that are not finite."""
    (X,) = indexable(X)  # sparse formats without rows, which scikit-learn converts in fit too
    found = []
    for estimator, name, method, target in zip(estimators, names, methods, targets, strict=True):
        who = f"member {name!r}"
        with naming(who):
            said = answer(estimator, X, method, target)
        found.append(check_finite(said, who, method) if finite else said)
    return found


def check_finite(said, who, method):
    """Return an answer as it is, unless some of its rows hold NaN or infinity, which is an error."""
    with np.errstate(all="ignore"):
        if said.dtype.kind != "f" or np.isfinite(said.sum()):  # one pass; only a sum that is not finite needs a look
            return said
    wrong = ~finite_rows(said)
    if wrong.any():
        raise ValueError(
            f"{who}: {method} must return finite values, got NaN or infinity in {wrong.sum()} of {len(wrong)} rows, "
            f"the first being row {wrong.argmax()}; repair this member or drop it"
        )
    return said


def finite_rows(said):
    """Return which rows of an answer hold neither NaN nor infinity, (rows,) bool."""
    return np.isfinite(said).reshape(len(said), -1).all(axis=1)


class FoldModels(BaseEstimator):
    """The models of a member, one a fold, as one that averages them; classes are voted for.

    Parameters
    ----------
    estimators : list of estimators
        Fitted.
    target : Target
        What they predict.

    Attributes
    ----------
    classes_ : ndarray or list
        Those of the ensemble.
    """

    def __init__(self, estimators, target):
        self.estimators = estimators
        self.target = target

    def __sklearn_is_fitted__(self):
        return True

    def __getattr__(self, name):
        if name in ("n_features_in_", "feature_names_in_"):
            return getattr(self.estimators[0], name)
        if name == "classes_" and self.target.kind != "values":
            return self.target.classes
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _ask(self, X, method):
        return np.stack([answer(one, X, method, self.target) for one in self.estimators])

    def predict(self, X):
        """The class that most models vote for, or the mean of their values."""
        said = self._ask(X, "predict")
        if self.target.kind == "values":
            return said.mean(axis=0)
        if self.target.kind == "multilabel":
            return (said.mean(axis=0) > 0.5).astype(np.intp)
        return self.target.decode(hard_vote(said, self.target.width))

    def predict_proba(self, X):
        """The mean probabilities."""
        return self._ask(X, "predict_proba").mean(axis=0)

    def decision_function(self, X):
        """The mean decision values; (n,) of two classes."""
        values = self._ask(X, "decision_function").mean(axis=0)
        return values[:, 0] if values.shape[1] == 1 else values


# -- fits --------------------------------------------------------------------------------------------------------------


def fit_members(members, X, splits, *, refit=True, n_jobs=None, together=True):
    """Fit the members on all rows and on folds; those that are nets of one architecture in one go.

    Parameters
    ----------
    members : list of Member
    X : array-like
    splits : list of (ndarray, ndarray)
        Rows to fit on and rows to predict; an empty list where nothing is wanted out of fold.
    refit : bool
        Whether a member is fitted on all rows, or is the average of its fold models.
    n_jobs : int or None
    together : bool
        Whether members may be fitted in one go.

    Returns
    -------
    fitted : list of estimators
    predictions : list of list of ndarray
        For each member its answers to the rows that each split holds out.
    """
    wanted = [None, *range(len(splits))] if refit else list(range(len(splits)))
    jobs = [(member, number) for member in members if not member.frozen for number in wanted]
    rows = [(None, None) if number is None else splits[number] for _, number in jobs]
    whose = [f"member {member.name!r}{_place(number, splits)}" for member, number in jobs]
    keep = not refit
    ready = {}
    if together:  # the same ones whatever n_jobs
        fits = [(member, train, who) for (member, _), (train, _), who in zip(jobs, rows, whose, strict=True)]
        ready = fit_together(fits, X, naming)
    calls = [(jobs[k][0], X, rows[k], whose[k], keep) for k in range(len(jobs)) if k not in ready]
    alone = iter(_fit_elsewhere(calls, n_jobs))
    by_member = {member.name: [] for member in members}
    for k, (member, _) in enumerate(jobs):
        result = _result(ready[k], member, X, rows[k], whose[k], keep) if k in ready else next(alone)
        by_member[member.name].append(result)
    return zip(*[_gather(member, by_member[member.name], X, splits, refit) for member in members], strict=True)


def _fit_elsewhere(calls, n_jobs):
    """The results of calls of :func:`_fit_one` that joblib spreads over threads, processes or machines.

    A cluster of Dask's repeats the calls of a worker that died, but cannot where X was lost with it: it is sent again.
    """
    for _ in range(TRIES):
        try:
            return run_parallel(_fit_one, calls, n_jobs)
        except CancelledError as error:
            lost = error
    raise RuntimeError(f"workers of the cluster died in {TRIES} tries to fit the members, and X with them") from lost


def _gather(member, results, X, splits, refit):
    """The fitted member and its predictions out of fold."""
    if member.frozen:
        said = _ask(member, member.estimator, X, f"member {member.name!r}") if splits else None
        return member.estimator, [said[test] for _, test in splits]
    if refit:
        return results[0][0], [said for _, said in results[1:]]
    return FoldModels([model for model, _ in results], member.target), [said for _, said in results]


def _place(number, splits):
    return "" if number is None else f", fold {number + 1} of {len(splits)}"


def _fit_one(member, X, rows, who, keep):
    """Fit a clone on all rows or, of a split, on some, and see what comes of it."""
    model, (train, _) = clone(member.estimator), rows
    classes = member.target.kind == "classes"
    with naming(who):
        if train is None:
            with _print_elapsed_time("Ensemble", member.message):
                model = fit_model(model, X, member.y, member.params, classes=classes)
        else:
            X_train, y_train = _safe_split(model, X, member.y, train)
            params = _check_method_params(X, member.params, indices=train)
            model = fit_model(model, X_train, y_train, params, classes=classes)
    return _result(model, member, X, rows, who, keep)


def _result(model, member, X, rows, who, keep):
    """The model, if it is wanted, and its answers to the rows of a split that it was not fitted on."""
    train, test = rows
    if train is None:
        return model, None
    X_test, _ = _safe_split(model, X, member.y, test, train)
    return model if keep else None, _ask(member, model, X_test, who)


def _ask(member, model, X, who):
    """Return the answer of a member, or of its model of a fold."""
    with naming(who):
        said = answer(model, X, member.method, member.target)
    return check_finite(said, who, member.method) if member.finite else said


def member_target(estimator, y, target):
    """y and target as a member sees them: regressors among classifiers get the codes of the classes, as values."""
    if target.kind != "classes" or not is_regressor(estimator):
        return y, target
    return encode_labels(y, target.classes), Target("values")
