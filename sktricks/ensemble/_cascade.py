"""CascadeClassifier: a cheap member first, the others where it is unsure."""

from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.ensemble._base import _BaseHeterogeneousEnsemble
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._align import encode_labels
from ._base import BaseEnsemble, row_shares
from ._members import answer, answers, fit_members, naming
from ._oof import find_covered, join_folds, make_splits, whole
from ._weights import MixtureLogLoss, leave_one_out, uniform

ROUNDING = 1e-12


def running_means(probabilities):
    """The mean of the first members, of the first two, and so on; (members, rows, classes)."""
    return probabilities.cumsum(axis=0) / np.arange(1, len(probabilities) + 1)[:, None, None]


def choose_threshold(sure, cost, budget):
    """The lowest certainty from which on rows may be decided, and what that costs.

    Parameters
    ----------
    sure : ndarray of shape (rows,)
        How probable the most probable class is.
    cost : ndarray of shape (rows,)
        What deciding a row here costs: its share of all rows where only the later members are right, minus that where
        only the members so far are.
    budget : float
        What all decided rows together may cost.

    Returns
    -------
    threshold : float
        Infinity if no row may be decided.
    cost : float
    """
    order = np.argsort(-sure, kind="stable")
    total = cost[order].cumsum()
    last = np.append(sure[order][1:] != sure[order][:-1], True)[: len(order)]  # rows as sure as the next one go with it
    fits = np.flatnonzero(last & (total <= budget + ROUNDING))
    return (sure[order][fits[-1]], total[fits[-1]]) if len(fits) else (np.inf, 0.0)


def find_thresholds(probabilities, codes, shares, tolerance):
    """The thresholds of all members but the last, and the share of rows that goes beyond the first.

    Parameters
    ----------
    probabilities : ndarray of shape (members, rows, classes)
    codes : ndarray of shape (rows,)
    shares : ndarray of shape (rows,)
        How much each row counts, of sum 1.
    tolerance : float
        The accuracy that may be lost against the mean of all members; what is left of it is spread evenly over the
        members to come.
    """
    means = running_means(probabilities)
    right = (means.argmax(axis=2) == codes).astype(float)
    waiting, thresholds, left = np.ones(len(codes), dtype=bool), [], tolerance
    for stage in range(len(means) - 1):
        sure, cost = means[stage].max(axis=1), (right[-1] - right[stage]) * shares
        threshold, spent = choose_threshold(sure[waiting], cost[waiting], left / (len(means) - 1 - stage))
        thresholds.append(threshold)
        waiting &= sure < threshold
        left -= max(spent, 0.0)
    first = thresholds[0] if thresholds else -np.inf
    return np.array(thresholds), float(shares[means[0].max(axis=1) < first].sum())


class CascadeClassifier(BaseEnsemble, ClassifierMixin, _BaseHeterogeneousEnsemble):
    """A soft vote that asks its members one after the other, and each only where those before it are unsure.

    A row is decided as soon as the mean probabilities of the members so far hold some class likely enough. How likely,
    is learned from out-of-fold predictions, such that the accuracy falls by at most ``tolerance`` below that of the
    mean of all members.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Names and members with ``predict_proba``, the cheapest first; ``"drop"`` instead of a member leaves it out.
        Members in a :class:`sklearn.frozen.FrozenEstimator` are used as they are, and must not have seen the rows.
    tolerance : float, default=0.002
        The accuracy that may be given up for speed, at least 0.
    cv : int, splitter, iterable or None, default=None
        How out-of-fold predictions are made; None: five folds, stratified. As in :class:`VotingClassifier`.
    n_jobs : int, default=None
        Processes that fit members and folds; nets of one architecture are trained together in this one.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
    estimators_ : list of classifiers
        The fitted members that are not dropped.
    named_estimators_ : Bunch
        The same by name, dropped ones as ``"drop"``.
    thresholds_ : ndarray of shape (members - 1,)
        From which probability on each member but the last decides a row; infinity where it never does.
    escalated_fraction_ : float
        The share of the rows of ``fit`` that, out of fold, the first member leaves to others.
    oof_predictions_ : ndarray of shape (members, n, classes)
        NaN where the splitter predicts no row.
    contributions_ : ndarray of shape (members,)
        By how much the out-of-fold log loss of the mean of all members grows without each.
    n_features_in_, feature_names_in_
        Those of the members.

    Raises
    ------
    ValueError
        For members without ``predict_proba``, several labels a row, missing ``groups``, names that are used twice.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sktricks.ensemble import CascadeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> members = [("bayes", GaussianNB()), ("forest", RandomForestClassifier(20, random_state=0))]
    >>> cascade = CascadeClassifier(members).fit(X, y)
    >>> cascade.escalated_fraction_ < 0.5
    True
    """

    _parameter_constraints: dict = {
        "estimators": [list],
        "tolerance": [Interval(Real, 0, 1, closed="left")],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
    }

    def __init__(self, estimators: list, *, tolerance: float = 0.002, cv=None, n_jobs: int | None = None):
        self.estimators = estimators
        self.tolerance = tolerance
        self.cv = cv
        self.n_jobs = n_jobs

    @property
    def n_features_in_(self) -> int:
        """Columns of X, as the first member counts them."""
        if "estimators_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted and has no n_features_in_")
        return self.estimators_[0].n_features_in_

    @_fit_context(prefer_skip_nested_validation=False)
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
        (X,) = indexable(X)
        all_fitted = all(member.frozen for member in members)
        splits = whole(X) if all_fitted else make_splits(self.cv, X, y, target, params["cv"])
        covered = find_covered(splits, len(y))
        fitted, said = fit_members(members, X, splits, n_jobs=self.n_jobs)
        oof = np.stack([join_folds(one, splits, len(y)) for one in said])
        shares = row_shares(fit_params.get("sample_weight"), covered)
        learned = self._learn(oof[:, covered], encode_labels(y[covered], target.classes), shares)
        self._keep(members, fitted, {"classes_": target.classes, "_target": target, "oof_predictions_": oof, **learned})
        return self

    def _learn(self, oof, codes, shares):
        thresholds, escalated = find_thresholds(oof, codes, shares, self.tolerance)
        contributions = leave_one_out(MixtureLogLoss(oof, codes, shares), uniform(len(oof)))
        return {"thresholds_": thresholds, "escalated_fraction_": escalated, "contributions_": contributions}

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
        rows = X
        for stage, (name, member) in enumerate(zip(self._names, self.estimators_, strict=True)):
            with naming(f"member {name!r}"):
                said = answer(member, rows, "predict_proba", self._target)
            if stage == 0:
                total, mean, waiting = said.copy(), said.copy(), np.arange(len(said))
            else:
                total[waiting] += said
                mean[waiting] = total[waiting] / (stage + 1)
            waiting = waiting[mean[waiting].max(axis=1) < [*self.thresholds_, -np.inf][stage]]
            if not len(waiting):
                break
            rows = _safe_indexing(X, waiting)
        return mean

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
        """
        check_is_fitted(self)
        return self._ask_members(X)

    def _ask_members(self, X):
        methods = ["predict_proba"] * len(self.estimators_)
        return np.stack(answers(self.estimators_, self._names, X, methods, self._targets))

    def _oof_members(self):
        return self.oof_predictions_[:, ~np.isnan(self.oof_predictions_[0, :, 0])]

    def _mean_weights(self):
        return None
