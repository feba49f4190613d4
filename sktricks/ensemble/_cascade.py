"""CascadeClassifier: a fast member first, the others only for rows about which it is uncertain."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.ensemble._base import _BaseHeterogeneousEnsemble
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _num_samples, check_consistent_length, check_is_fitted

from .._progress import FEW, progress
from .._typing import fit_context
from .._warnings import SmallToleranceWarning, warn
from ._base_ensemble import BaseEnsemble, normalized_weights
from ._learned_weights import MixtureLogLoss, leave_one_out, normalize, uniform
from ._members import naming
from ._oof import join_folds
from ._predictions import check_finite, finite_rows, predict_member

ROUNDING = 1e-12


def running_means(probabilities, known):
    """Return the mean of the first member, of the first two, and so on, (members, rows, classes).

    ``known`` (members, rows) is True if a member has probabilities for a row; only those are averaged.
    """
    total = np.where(known[..., None], probabilities, 0).cumsum(axis=0)
    return total / np.maximum(known.cumsum(axis=0), 1)[..., None]


def choose_threshold(confidence, cost, budget, row_weight):
    """Return the confidence from which rows may be decided, and a bound on their cost.

    Rows are taken in the order of their confidence until their cost plus its standard error first exceeds the budget.
    The lowest possible threshold would overfit these rows, and cost more on others. The standard error includes one
    additional costly row, so that it is never 0.

    Parameters
    ----------
    confidence : ndarray of shape (rows,)
        The probability of the most probable class.
    cost : ndarray of shape (rows,)
        The cost of deciding a row at this stage: its weight if only the later members are correct, minus its weight if
        only the members so far are correct, otherwise 0. All weights sum to 1.
    budget : float
        The maximum total cost of all decided rows.
    row_weight : float
        The weight of one row.

    Returns
    -------
    threshold : float
        Infinity if no row may be decided.
    bound : float
        The cost plus its standard error, at least 0; 0 if no row may be decided.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True)[: len(order)])  # ties are decided together
    costs = cost[order]
    bounds = (costs.cumsum() + np.sqrt((costs**2).cumsum() + row_weight**2))[ends]
    n_fits = int(np.append(bounds > budget + ROUNDING, True).argmax())
    if n_fits == 0:
        return np.inf, 0.0
    return ordered[ends[n_fits - 1]], max(bounds[n_fits - 1], 0.0)


def find_thresholds(probabilities, codes, row_weights, tolerance):
    """Return the thresholds of all members except the last, and the fraction of rows not decided by the first.

    Parameters
    ----------
    probabilities : ndarray of shape (members, rows, classes)
        Rows with NaN or infinity are never decided at that member.
    codes : ndarray of shape (rows,)
    row_weights : ndarray of shape (rows,)
        Weights of the rows, with sum 1.
    tolerance : float
        The accuracy that may be lost compared with the mean of all members; at each stage, the remainder is divided
        equally among the remaining members.
    """
    known = np.isfinite(probabilities).all(axis=2)
    means, row_weight = running_means(probabilities, known), row_weights @ row_weights
    right = (means.argmax(axis=2) == codes).astype(float)
    confidence = np.where(known, means.max(axis=2), -np.inf)
    waiting, thresholds, n_stages = np.ones(len(codes), dtype=bool), [], len(means) - 1
    for stage in range(n_stages):
        rows, budget = waiting & known[stage], tolerance / (n_stages - stage)
        cost = (right[-1] - right[stage]) * row_weights
        threshold, spent = choose_threshold(confidence[stage][rows], cost[rows], budget, row_weight)
        thresholds.append(threshold)
        waiting &= confidence[stage] < threshold
        tolerance -= spent
    first = thresholds[0] if thresholds else -np.inf
    return np.array(thresholds), float(row_weights[confidence[0] < first].sum())


class CascadeClassifier(BaseEnsemble, ClassifierMixin, _BaseHeterogeneousEnsemble):
    """A soft vote in which each member predicts only the rows about which the previous members are uncertain.

    A row is decided as soon as the highest mean probability of the members so far reaches the threshold of the last of
    them. The thresholds are learned from out-of-fold predictions, such that the loss of accuracy compared with the mean
    of all members, plus its standard error, is at most ``tolerance``. On new rows, the loss is therefore expected to
    stay below ``tolerance``.

    If a member returns NaN for a row, the row is passed to the next member, and the NaN is ignored in the mean; for the
    last member, NaN raises an error. Labels that a member rejects are handled as in :class:`VotingClassifier`.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Names and members with ``predict_proba``, the fastest first; ``"drop"`` in place of a member drops it. Members
        in a :class:`sklearn.frozen.FrozenEstimator` are not fitted again, and must not have been fitted on the rows.
    tolerance : float, default=0.002
        The accuracy that may be lost for speed, at least 0. It must be measurable, which requires
        ``1 / tolerance`` rows for each member except the last, 500 by default. With fewer rows, no row is decided
        early, and a :class:`SmallToleranceWarning` is issued.
    cv : int, splitter, iterable or None, default=None
        The splits for out-of-fold predictions, as in :class:`VotingClassifier`; None means five stratified folds.
    n_jobs : int, default=None
        Number of processes that fit members and folds; nets of the same architecture are trained together in this
        process.
    verbose : int, default=0
        0: silent. 1: bars of fits, and of members in predictions for more than 100 rows. 2: a line in the log per fit
        instead, with the time so far.
    store_oof : bool, default=True
        If True, ``oof_predictions_`` is kept. False saves memory and makes pickles smaller.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
    estimators_ : list of classifiers
        The fitted members that are not dropped.
    named_estimators_ : Bunch
        The fitted members by name; dropped ones are ``"drop"``.
    thresholds_ : ndarray of shape (members - 1,)
        The lowest probability at which each member except the last decides a row; infinity if it never does.
    escalated_fraction_ : float
        The fraction of the rows of ``fit`` that the first member does not decide out of fold.
    oof_predictions_ : ndarray of shape (members, n, classes)
        NaN for rows that the splitter does not predict. Only with ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        Increase of the out-of-fold log loss of the mean of all members without each member, over the rows for which all
        members have probabilities.
    n_features_in_, feature_names_in_
        As in the members.

    Raises
    ------
    ValueError
        If members lack ``predict_proba``, the last member predicts NaN, y is multilabel, ``groups`` are missing, or
        names are not unique.

    Warns
    -----
    SmallToleranceWarning
        If there are too few rows to decide any early.

    See Also
    --------
    VotingClassifier : Use all members for every row.
    EnsembleDisplay : Draw how many rows each member decides.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sktricks.ensemble import CascadeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> members = [("bayes", GaussianNB()), ("forest", RandomForestClassifier(20, random_state=0))]
    >>> cascade = CascadeClassifier(members, tolerance=0.02).fit(X, y)
    >>> cascade.escalated_fraction_ < 0.5
    True
    """

    _parameter_constraints: dict = {
        "estimators": [list],
        "tolerance": [Interval(Real, 0, 1, closed="left")],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
        "store_oof": ["boolean"],
    }

    def __init__(
        self,
        estimators: list,
        *,
        tolerance: float = 0.002,
        cv=None,
        n_jobs: int | None = None,
        verbose: int = 0,
        store_oof: bool = True,
    ):
        self.estimators = estimators
        self.tolerance = tolerance
        self.cv = cv
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.store_oof = store_oof

    @property
    def n_features_in_(self) -> int:
        """Number of columns of X, according to the first member."""
        if "estimators_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted and has no n_features_in_")
        return self.estimators_[0].n_features_in_

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members, and learn the thresholds at which they decide rows.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows or images, in any form that the members accept.
        y : array-like of shape (n,)
            Labels of any kind.
        **fit_params : dict
            As in :class:`VotingClassifier`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        labels, target = self._read_classes(y)
        if target.kind != "classes":
            raise ValueError(f"{type(self).__name__} requires one class per row in y, got {target.width} labels")
        check_consistent_length(X, labels)
        fit = self._fit_members(X, labels, target, self._route(fit_params))
        oof = np.stack([join_folds(predictions, fit.splits, len(labels)) for predictions in fit.predictions])
        row_weights = normalized_weights(fit_params.get("sample_weight"), fit.covered)
        learned = self._learn(oof[:, fit.covered], target.encode(labels[fit.covered]), row_weights)
        learned |= {"oof_predictions_": oof} if self.store_oof else {}
        self._keep(fit, {"classes_": target.classes, "_target": target, **learned})
        return self

    def _make_members(self, y, target, params, prefit):
        members = super()._make_members(y, target, params, prefit)
        for member in members[:-1]:
            member.finite = False
        return members

    def _learn(self, oof, codes, row_weights):
        thresholds, escalated = find_thresholds(oof, codes, row_weights, self.tolerance)
        self._warn_of_few_rows(thresholds, row_weights)
        full = np.isfinite(oof).all(axis=(0, 2))
        loss = MixtureLogLoss(oof[:, full], codes[full], normalize(row_weights[full]))
        contributions = leave_one_out(loss, uniform(len(oof))) if full.any() else np.full(len(oof), np.nan)
        return {"thresholds_": thresholds, "escalated_fraction_": escalated, "contributions_": contributions}

    def _warn_of_few_rows(self, thresholds, row_weights):
        n_rows, needed = 1 / (row_weights @ row_weights), len(thresholds) / self.tolerance if self.tolerance else 0
        if n_rows < needed and np.isinf(thresholds).all():
            warn(
                f"tolerance={self.tolerance} is too small to be measured on {n_rows:.0f} rows, so no row is decided "
                f"before the last member: fit on at least {np.ceil(needed):.0f} rows, or raise tolerance",
                SmallToleranceWarning,
            )

    def _method(self, name, estimator):
        if not hasattr(estimator, "predict_proba"):
            raise ValueError(f"estimators: member {name!r} must have predict_proba for a cascade, got {estimator!r}")
        return "predict_proba"

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the mean probabilities of the members used for each row.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        proba : ndarray of shape (n, classes)
            In the order of ``classes_``.
        """
        check_is_fitted(self)
        (X,) = indexable(X)
        n = _num_samples(X)
        with progress(n, "predict", "row", self.verbose if n > FEW else 0) as done:
            return self._ask_in_turn(X, done)

    def _ask_in_turn(self, X, done):
        """Return the mean probabilities; ``done`` counts the rows that are decided."""
        rows, last = X, len(self.estimators_) - 1
        for stage, (name, member) in enumerate(zip(self._names, self.estimators_, strict=True)):
            with naming(f"member {name!r}"):
                proba = predict_member(member, rows, "predict_proba", self._target)
            if stage == last:
                check_finite(proba, f"member {name!r}, the last of the cascade", "predict_proba")
            if stage == 0:
                total, waiting = np.zeros_like(proba), np.arange(len(proba))
                times = np.zeros((len(proba), 1), proba.dtype)
            known = finite_rows(proba)
            counted = waiting[known]
            total[counted] += proba[known]
            times[counted] += 1
            threshold = -np.inf if stage == last else self.thresholds_[stage]
            decided = known.copy()
            decided[known] = (total[counted] / times[counted]).max(axis=1) >= threshold
            waiting = waiting[~decided]
            done.move(len(total) - len(waiting), name)
            if not len(waiting):
                break
            rows = _safe_indexing(X, waiting)
        return total / times

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class by the members that each row needed.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,)
            Predicted labels.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Return the probabilities of all members for all rows.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        proba : ndarray of shape (members, n, classes)
            NaN for rows for which a member returns NaN.
        """
        return np.stack(self._predict_members(X, "predict_proba", finite=False))

    def _member_outputs(self, X):
        return np.stack(self._predict_members(X, "predict_proba"))

    def _oof_outputs(self):
        oof = vars(self).get("oof_predictions_")
        return None if oof is None else oof[:, np.isfinite(oof).all(axis=(0, 2))]
