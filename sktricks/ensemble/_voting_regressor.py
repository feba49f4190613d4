"""VotingRegressor: the mean or the median of regressors, with optionally learned weights."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import ensemble
from sklearn.utils._param_validation import StrOptions

from .._threads import column_or_1d
from .._typing import fit_context
from ._base_voting import BaseVoting
from ._learned_weights import LOSSES, PARTS
from ._scoring import StoredRegressor, scorer_loss
from ._target import Target
from ._votes import average, weighted_median


class VotingRegressor(BaseVoting, ensemble.VotingRegressor):
    """The mean or the median of regressors, with equal, given or learned weights.

    A successor of :class:`sklearn.ensemble.VotingRegressor`: for the shared parameters, predictions are the same.
    Members in a :class:`sklearn.frozen.FrozenEstimator` are not fitted again; members without a ``sample_weight``
    argument are fitted without weights, with a warning.

    Parameters
    ----------
    estimators : list of (str, regressor)
        Names and members; ``"drop"`` in place of a member drops it.
    weights : array-like of shape (members,), {"greedy", "simplex", "nnls"} or None, default=None
        As in :class:`VotingClassifier`; weights are learned with the squared error.
    n_jobs : int, default=None
        Number of processes that fit members and folds; nets of the same architecture are trained together in this
        process.
    verbose : bool or int, default=False
        0: silent. 1: bars of fits, and of members in predictions for more than 100 rows. 2: a line in the log per fit
        instead, with the time so far.
    average : {"mean", "median"}, default="mean"
        The weighted mean, or the weighted median, on which a single member with a large error has little influence.
    prefit : bool, default=False
        If True, the members are already fitted, on other rows than those passed to ``fit``.
    cv : int, splitter, iterable or None, default=None
        The splits for out-of-fold predictions, if weights are learned; None means five folds.
    scoring : str, callable or None, default=None
        The scorer by which ``"greedy"`` selects; None means the squared error.
    store_oof : bool, default=True
        If True, ``oof_predictions_`` is kept. False saves memory and makes pickles smaller.

    Attributes
    ----------
    estimators_, named_estimators_, weights_, weights_accepted_, n_features_in_, feature_names_in_
        As in :class:`VotingClassifier`.
    oof_predictions_ : ndarray of shape (members, n)
        The out-of-fold predictions used to learn weights. NaN for rows that the splitter does not predict.
        Only with learned weights and ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        Increase of the out-of-fold squared error without each member. Only with learned weights.

    Raises
    ------
    ValueError
        As :class:`VotingClassifier`.

    See Also
    --------
    VotingClassifier : The same for classes, with the description of all parameters.
    StackingRegressor : A regressor that learns from the members' predictions.

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
        verbose: bool | int = False,
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
        """Fit the members, and learn weights if requested.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to train on.
        y : array-like of shape (n,)
            Values to predict.
        **fit_params : dict
            As in :class:`VotingClassifier`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, column_or_1d(y, warn=True), Target("values"), fit_params)

    def _check_options(self):
        self._check_scoring()
        if self.average == "median" and isinstance(self.weights, str) and self.weights != "greedy":
            raise ValueError(
                f"weights={self.weights!r} cannot be combined with average='median': use 'greedy' or numbers"
            )

    def _method(self, name, estimator):
        return "predict"

    def _learn(self, oof, y, row_weights, target, fixed):
        values, y = np.stack(oof), y.astype(np.float64)
        score = scorer_loss(self.scoring, StoredRegressor(), lambda weights: self._blend(values, weights), y)
        data, parts = (values, y, row_weights), np.arange(len(y)) % PARTS
        return self._learn_weights(LOSSES[self.average], data, parts, fixed, score)

    def _blend(self, values, weights):
        return average(values, weights) if self.average == "mean" else weighted_median(values, weights)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the weighted mean or median of the members.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,)
            Predicted values.
        """
        return self._blend(self.predict_members(X), self.weights_)

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Return the predictions of each member.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        values : ndarray of shape (members, n)
            Predicted values, in the order of the members.
        """
        return np.stack(self._predict_members(X, "predict"))

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the predictions of the members as columns.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to transform.

        Returns
        -------
        values : ndarray of shape (n, members)
            The columns.
        """
        return self.predict_members(X).T
