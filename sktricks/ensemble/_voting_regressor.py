"""VotingRegressor: the mean or the median of regressors, with weights that may be learned."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import ensemble
from sklearn.metrics import get_scorer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from .._threads import column_or_1d
from .._typing import fit_context
from ._base_voting import BaseVoting
from ._learned_weights import PARTS, MedianSquaredError, SquaredError, greedy, leave_one_out, normalize
from ._members import answers
from ._oof import join_folds
from ._scoring import ScorerLoss, StoredRegressor
from ._target import Target
from ._votes import average, weighted_median


class VotingRegressor(BaseVoting, ensemble.VotingRegressor):
    """The mean or the median of regressors, with equal, given or learned weights.

    A successor of :class:`sklearn.ensemble.VotingRegressor`: for the parameters that both have, predictions are the
    same. Members in a :class:`sklearn.frozen.FrozenEstimator` are used as they are; members that take no
    ``sample_weight`` are fitted without it, with a warning.

    Parameters
    ----------
    estimators : list of (str, regressor)
        Names and members; ``"drop"`` instead of a member leaves it out.
    weights : array-like of shape (members,), {"greedy", "simplex", "nnls"} or None, default=None
        As in :class:`VotingClassifier`; what is learned lowers the squared error.
    n_jobs : int, default=None
        Processes that fit members and folds; nets of one architecture are trained together in this one.
    verbose : bool, default=False
        Whether to print the time that each member took.
    average : {"mean", "median"}, default="mean"
        The weighted mean; or the weighted median, which one member that is far off hardly moves.
    prefit : bool, default=False
        Whether the members are fitted already, on other rows than those of ``fit``.
    cv : int, splitter, iterable or None, default=None
        How out-of-fold predictions are made, where weights are learned; None: five folds.
    scoring : str, callable or None, default=None
        What ``"greedy"`` selects by, instead of the squared error.
    store_oof : bool, default=True
        Whether to keep ``oof_predictions_``. False saves memory and makes a smaller pickle.

    Attributes
    ----------
    estimators_, named_estimators_, weights_, weights_accepted_, n_features_in_, feature_names_in_
        As in :class:`VotingClassifier`.
    oof_predictions_ : ndarray of shape (members, n)
        The out-of-fold predictions that weights were learned from. NaN where the splitter predicts no row. Only with
        learned weights and ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        By how much the out-of-fold squared error grows without each member. Only with learned weights.

    Raises
    ------
    ValueError
        As :class:`VotingClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from sktricks.ensemble import VotingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> members = [("line", Ridge(alpha=0.1)), ("mean", DummyRegressor())]
    >>> VotingRegressor(members, weights="simplex").fit(X, y).weights_.round(1)
    array([1., 0.])
    """

    _parameter_constraints: dict = {
        **ensemble.VotingRegressor._parameter_constraints,
        **BaseVoting._parameter_constraints,
        "average": [StrOptions({"mean", "median"})],
    }

    def __init__(
        self,
        estimators: list,
        *,
        weights: ArrayLike | str | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
        average: str = "mean",
        prefit: bool = False,
        cv=None,
        scoring=None,
        store_oof: bool = True,
    ):
        self.estimators = estimators
        self.weights = weights
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.average = average
        self.prefit = prefit
        self.cv = cv
        self.scoring = scoring
        self.store_oof = store_oof

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members, and learn their weights where they are to be learned.

        Parameters
        ----------
        X : array-like of shape (n, ...)
        y : array-like of shape (n,)
        **fit_params : dict
            As in :class:`VotingClassifier`.

        Returns
        -------
        self : object
        """
        return self._fit(X, column_or_1d(y, warn=True), Target("values"), fit_params)

    def _check_options(self):
        self._check_scoring()
        if self.average == "median" and isinstance(self.weights, str) and self.weights != "greedy":
            raise ValueError(
                f"weights={self.weights!r} learns the weights of a mean; average='median' takes 'greedy' or numbers"
            )

    def _method(self, name, estimator):
        return "predict"

    def _join(self, said, splits, n, target):
        return join_folds(said, splits, n)

    def _learn(self, oof, y, shares, target, fixed):
        oof, y = np.stack(oof), y.astype(np.float64)
        kind = SquaredError if self.average == "mean" else MedianSquaredError

        def losses_of(rows):
            return [kind(oof[:, rows], y[rows], normalize(shares[rows]))] * 2

        loss, _ = losses_of(slice(None))
        if self.scoring is None:
            weights, accepted = self._find_weights(losses_of, [loss], oof, y, shares, np.arange(len(y)) % PARTS)
        else:
            weights, accepted = greedy(self._score(oof, y), len(oof)), True
        return {"weights_": weights, "weights_accepted_": accepted, "contributions_": leave_one_out(loss, weights)}

    def _score(self, values, y):
        return ScorerLoss(get_scorer(self.scoring), StoredRegressor(), lambda weights: self._blend(values, weights), y)

    def _blend(self, values, weights):
        return average(values, weights) if self.average == "mean" else weighted_median(values, weights)

    def _as_members(self, said):
        return said

    def _ask_members(self, X):
        methods = ["predict"] * len(self.estimators_)
        return np.stack(answers(self.estimators_, self._names, X, methods, self._targets))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The weighted mean or median of the members.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        y : ndarray of shape (n,)
        """
        return self._blend(self.predict_members(X), self.weights_)

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """What each member predicts.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        values : ndarray of shape (members, n)
        """
        check_is_fitted(self)
        return self._ask_members(X)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """What each member predicts, as columns.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        values : ndarray of shape (n, members)
        """
        return self.predict_members(X).T
