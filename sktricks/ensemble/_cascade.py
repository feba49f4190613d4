"""CascadeClassifier: a cheap member first, the others where it is unsure."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.ensemble._base import _BaseHeterogeneousEnsemble
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._labels import encode_labels
from .._typing import fit_context
from .._warnings import SmallToleranceWarning, warn
from ._base_ensemble import BaseEnsemble, row_shares
from ._learned_weights import MixtureLogLoss, leave_one_out, normalize, uniform
from ._members import answer, answers, check_finite, finite_rows, fit_members, naming
from ._oof import find_covered, join_folds, make_splits, whole

ROUNDING = 1e-12


def running_means(probabilities, known):
    """The mean of the first members, of the first two, and so on; (members, rows, classes).

    ``known`` (members, rows) tells which rows a member has probabilities for; the others do not count in the mean.
    """
    total = np.where(known[..., None], probabilities, 0).cumsum(axis=0)
    return total / np.maximum(known.cumsum(axis=0), 1)[..., None]


def choose_threshold(sure, cost, budget, row):
    """The certainty from which on rows may be decided, and what that costs at most.

    Rows are taken in the order of their certainty until their cost plus its standard error exceeds the budget for the
    first time. The lowest threshold that fits these rows would lose more on others, since it was chosen where chance
    was kind. The standard error counts one more costly row than was seen, so that it is never 0.

    Parameters
    ----------
    sure : ndarray of shape (rows,)
        The probability of the most probable class.
    cost : ndarray of shape (rows,)
        What deciding a row here costs: its weight where only the later members are right, minus its weight where only
        the members so far are, else 0. All weights sum to 1.
    budget : float
        What all decided rows together may cost.
    row : float
        The weight of one row.

    Returns
    -------
    threshold : float
        Infinity if no row may be decided.
    bound : float
        The cost and its standard error, at least 0; 0 if no row may be decided.
    """
    order = np.argsort(-sure, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True)[: len(order)])  # equally sure rows go together
    costs = cost[order]
    bounds = (costs.cumsum() + np.sqrt((costs**2).cumsum() + row**2))[ends]
    n_fits = int(np.append(bounds > budget + ROUNDING, True).argmax())
    if n_fits == 0:
        return np.inf, 0.0
    return sure[order][ends[n_fits - 1]], max(bounds[n_fits - 1], 0.0)


def find_thresholds(probabilities, codes, shares, tolerance):
    """The thresholds of all members but the last, and the fraction of rows that goes beyond the first.

    Parameters
    ----------
    probabilities : ndarray of shape (members, rows, classes)
        Rows with NaN or infinity are never decided at that member.
    codes : ndarray of shape (rows,)
    shares : ndarray of shape (rows,)
        The weight of each row, of sum 1.
    tolerance : float
        The accuracy that may be lost against the mean of all members; what is left of it is spread evenly over the
        members to come.
    """
    known = np.isfinite(probabilities).all(axis=2)
    means, row = running_means(probabilities, known), shares @ shares
    right = (means.argmax(axis=2) == codes).astype(float)
    sure = np.where(known, means.max(axis=2), -np.inf)
    waiting, thresholds, left = np.ones(len(codes), dtype=bool), [], tolerance
    for stage in range(len(means) - 1):
        open_ = waiting & known[stage]
        cost = (right[-1] - right[stage]) * shares
        threshold, spent = choose_threshold(sure[stage][open_], cost[open_], left / (len(means) - 1 - stage), row)
        thresholds.append(threshold)
        waiting &= sure[stage] < threshold
        left -= spent
    first = thresholds[0] if thresholds else -np.inf
    return np.array(thresholds), float(shares[sure[0] < first].sum())


class CascadeClassifier(BaseEnsemble, ClassifierMixin, _BaseHeterogeneousEnsemble):
    """A soft vote that asks its members one after the other, and each only where those before it are unsure.

    A row is decided as soon as the mean probabilities of the members so far exceed the threshold of the last one asked.
    The thresholds are learned from out-of-fold predictions: on new rows, the accuracy is expected to be at most
    ``tolerance`` below that of the mean of all members. Therefore the loss measured out of fold, plus its standard
    error, stays within ``tolerance``.

    A row for which a member returns NaN goes on to the next one and does not count in the mean; for the last member
    this is an error. Labels that a member refuses are handled as in :class:`VotingClassifier`.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Names and members with ``predict_proba``, the cheapest first; ``"drop"`` instead of a member leaves it out.
        Members in a :class:`sklearn.frozen.FrozenEstimator` are used as they are, and must not have seen the rows.
    tolerance : float, default=0.002
        The accuracy that may be given up for speed, at least 0. It has to be measurable: each member but the last needs
        ``1 / tolerance`` rows, 500 by default. With fewer, no row is decided early, and a warning says so.
    cv : int, splitter, iterable or None, default=None
        How out-of-fold predictions are made; None: five folds, stratified. As in :class:`VotingClassifier`.
    n_jobs : int, default=None
        Processes that fit members and folds; nets of one architecture are trained together in this one.
    store_oof : bool, default=True
        Whether to keep ``oof_predictions_``. False saves memory and makes a smaller pickle.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
    estimators_ : list of classifiers
        The fitted members that are not dropped.
    named_estimators_ : Bunch
        The same by name, dropped ones as ``"drop"``.
    thresholds_ : ndarray of shape (members - 1,)
        The probability from which on each member but the last decides a row; infinity if it never does.
    escalated_fraction_ : float
        The fraction of the rows of ``fit`` that, out of fold, the first member leaves to others.
    oof_predictions_ : ndarray of shape (members, n, classes)
        NaN where the splitter predicts no row. Only with ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        By how much the out-of-fold log loss of the mean of all members grows without each, over the rows for which
        all members have probabilities.
    n_features_in_, feature_names_in_
        Those of the members.

    Raises
    ------
    ValueError
        For members without ``predict_proba``, a last member with NaN in its probabilities, several labels per row,
        missing ``groups``, names that are used twice.

    Warns
    -----
    SmallToleranceWarning
        If there are too few rows to decide any early.

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
        "store_oof": ["boolean"],
    }

    def __init__(
        self,
        estimators: list,
        *,
        tolerance: float = 0.002,
        cv=None,
        n_jobs: int | None = None,
        store_oof: bool = True,
    ):
        self.estimators = estimators
        self.tolerance = tolerance
        self.cv = cv
        self.n_jobs = n_jobs
        self.store_oof = store_oof

    @property
    def n_features_in_(self) -> int:
        """Columns of X, as the first member counts them."""
        if "estimators_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted and has no n_features_in_")
        return self.estimators_[0].n_features_in_

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members, and learn from which probability on each may decide.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Whatever the members take, images included.
        y : array-like of shape (n,)
            Labels of any kind.
        **fit_params : dict
            As in :class:`VotingClassifier`.

        Returns
        -------
        self : object
        """
        y, target = self._read_classes(y, prefit=False)
        if target.kind != "classes":
            raise ValueError(f"{type(self).__name__} takes one class a row, y has {target.width} labels")
        check_consistent_length(X, y)
        params = self._route(fit_params)
        members = self._make_members(y, target, params, prefit=False, methods=self._method)
        for member in members[:-1]:
            member.finite = False
        (X,) = indexable(X)
        all_fitted = all(member.frozen for member in members)
        splits = whole(X) if all_fitted else make_splits(self.cv, X, y, target, params["cv"])
        covered = find_covered(splits, len(y))
        fitted, said = fit_members(members, X, splits, n_jobs=self.n_jobs)
        oof = np.stack([join_folds(one, splits, len(y)) for one in said])
        shares = row_shares(fit_params.get("sample_weight"), covered)
        learned = self._learn(oof[:, covered], encode_labels(y[covered], target.classes), shares)
        learned |= {"oof_predictions_": oof} if self.store_oof else {}
        self._keep(members, fitted, {"classes_": target.classes, "_target": target, **learned})
        return self

    def _learn(self, oof, codes, shares):
        thresholds, escalated = find_thresholds(oof, codes, shares, self.tolerance)
        self._warn_of_few_rows(thresholds, shares)
        full = np.isfinite(oof).all(axis=(0, 2))
        loss = MixtureLogLoss(oof[:, full], codes[full], normalize(shares[full]))
        contributions = leave_one_out(loss, uniform(len(oof))) if full.any() else np.full(len(oof), np.nan)
        return {"thresholds_": thresholds, "escalated_fraction_": escalated, "contributions_": contributions}

    def _warn_of_few_rows(self, thresholds, shares):
        n_rows, needed = 1 / (shares @ shares), len(thresholds) / self.tolerance if self.tolerance else 0
        if n_rows < needed and np.isinf(thresholds).all():
            warn(
                f"tolerance={self.tolerance} is too small to be measured on {n_rows:.0f} rows, so no row is decided "
                f"before the last member: fit on at least {np.ceil(needed):.0f} rows, or raise tolerance",
                SmallToleranceWarning,
            )

    def _method(self, name, estimator):
        if not hasattr(estimator, "predict_proba"):
            raise ValueError(f"estimators: member {name!r} has no predict_proba, which a cascade needs: {estimator!r}")
        return "predict_proba"

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """The mean probabilities of the members that each row needed.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        proba : ndarray of shape (n, classes)
            In the order of ``classes_``.
        """
        check_is_fitted(self)
        (X,) = indexable(X)
        rows, last = X, len(self.estimators_) - 1
        for stage, (name, member) in enumerate(zip(self._names, self.estimators_, strict=True)):
            with naming(f"member {name!r}"):
                said = answer(member, rows, "predict_proba", self._target)
            if stage == last:
                check_finite(said, f"member {name!r}, the last of the cascade", "predict_proba")
            if stage == 0:
                total, asked, waiting = np.zeros_like(said), np.zeros((len(said), 1), said.dtype), np.arange(len(said))
            known = finite_rows(said)
            counted = waiting[known]
            total[counted] += said[known]
            asked[counted] += 1
            threshold = -np.inf if stage == last else self.thresholds_[stage]
            decided = known.copy()
            decided[known] = (total[counted] / asked[counted]).max(axis=1) >= threshold
            waiting = waiting[~decided]
            if not len(waiting):
                break
            rows = _safe_indexing(X, waiting)
        return total / asked

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable class by the members that each row needed.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        y : ndarray of shape (n,)
        """
        likely = self.predict_proba(X)
        return self.classes_[likely.argmax(axis=1)]

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """The probabilities of all members for all rows.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        proba : ndarray of shape (members, n, classes)
            With NaN where a member returns NaN.
        """
        check_is_fitted(self)
        return self._ask_members(X, finite=False)

    def _ask_members(self, X, finite=True):
        methods = ["predict_proba"] * len(self.estimators_)
        return np.stack(answers(self.estimators_, self._names, X, methods, self._targets, finite=finite))

    def _oof_members(self):
        oof = vars(self).get("oof_predictions_")
        return None if oof is None else oof[:, np.isfinite(oof).all(axis=(0, 2))]

    def _mean_weights(self):
        return None
