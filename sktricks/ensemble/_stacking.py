"""StackingClassifier and StackingRegressor: a final estimator that learns from what members say out of fold."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import ensemble
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._threads import column_or_1d
from .._typing import fit_context
from ._base_stacking import BaseStacking, columns_to_codes, columns_to_votes, final_has
from ._members import answer, answers
from ._target import Target


class StackingClassifier(BaseStacking, ensemble.StackingClassifier):
    """Classifiers, and a final one that learns from their out-of-fold predictions [1]_.

    A successor of :class:`sklearn.ensemble.StackingClassifier`: for the parameters that both have, predictions are the
    same. What differs on purpose:

    - Members and the final estimator see the labels as they came; members are aligned by their ``classes_``. Members
      and final estimators that refuse their labels, as XGBoost's do unless they are 0..K-1, are fitted on codes, as in
      :class:`VotingClassifier`. Regressors among the members see the codes of the classes.
    - A :class:`sklearn.frozen.FrozenEstimator` is refused unless ``cv="prefit"``, which says that the given rows are
      new to the members: otherwise it would mislead the final estimator without a word.
    - Of several labels a row, ``predict_proba`` is the probability of each, (n, labels), and the default final
      estimator is one logistic regression a label.
    - Members and final estimators that take no ``sample_weight`` are fitted without it, with a warning. With metadata
      routing, members and final estimator ask for their own; the default final estimator always gets it.
    - Members, folds and the fits on all rows are jobs of one pool.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Names and members; ``"drop"`` instead of a member leaves it out.
    final_estimator : classifier, default=None
        None: a logistic regression.
    cv : int, splitter, iterable, "prefit" or None, default=None
        How out-of-fold predictions are made; None: five folds, stratified. Splitters that need ``groups`` get those of
        ``fit``. Any splitter will do: rows that are predicted several times get the mean, or the majority; rows that
        never are, are left out of the final fit, with a warning. ``"prefit"``: the members are fitted, on other rows.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}, default="auto"
        What members are asked for; ``"auto"``: the first of these that a member has.
    n_jobs : int, default=None
        Processes that fit members and folds; nets of one architecture are trained together in this one.
    passthrough : bool, columns or callable, default=False
        What of X the final estimator sees too: all columns, or some by names, positions, a slice or a mask; or a
        callable that makes (n, columns) of X, images included.
    verbose : int, default=0
        Whether to print the time that each member took.
    refit : bool, default=True
        Whether members are fitted once more on all rows. False: a member is the average of its models of the folds,
        which costs a fit less and predicts as it did out of fold.
    store_oof : bool, default=True
        Whether to keep ``oof_predictions_``. False saves memory and makes a smaller pickle.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted labels. Of several labels a row, a list of a pair (0, 1) for each.
    estimators_ : list of estimators
        The fitted members that are not dropped; with ``refit=False`` each holds its models in ``estimators``.
    named_estimators_ : Bunch
        The same by name, dropped ones as ``"drop"``.
    final_estimator_ : classifier
    stack_method_ : list of str
        What each member is asked for.
    oof_predictions_ : ndarray of shape (n, columns)
        The members' columns that the final estimator was fitted on, without what is passed through. NaN where the
        splitter predicts no row. Only with ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        By how much the loss (log loss, or the error rate of a final estimator without probabilities) grows if the final
        estimator does without each member, fitted on either half of the rows and judged on the other. NaN where it
        cannot be told.
    weights_ : ndarray of shape (members,)
        How much the final estimator leans on each member, of sum 1: by its importances, or its coefficients times what
        the columns vary. Only where it has such.
    n_features_in_, feature_names_in_
        Those of the members.

    Raises
    ------
    ValueError
        For a FrozenEstimator without ``cv="prefit"``, members without the method that is asked for or with NaN in their
        predictions, missing ``groups``, names that are used twice, a ``passthrough`` that does not fit X.

    See Also
    --------
    VotingClassifier : Learns one weight a member, from fewer rows.

    References
    ----------
    .. [1] D. H. Wolpert, "Stacked generalization", Neural Networks 5, 1992.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from sktricks.ensemble import StackingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> members = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2, random_state=0))]
    >>> stack = StackingClassifier(members, passthrough=[0, 1]).fit(X, y)
    >>> stack.oof_predictions_.shape, stack.transform(X).shape
    ((150, 6), (150, 8))
    >>> stack.score(X, y) > 0.9
    True
    """

    _parameter_constraints: dict = {
        **ensemble.StackingClassifier._parameter_constraints,
        **BaseStacking._parameter_constraints,
    }

    def __init__(
        self,
        estimators: list,
        final_estimator=None,
        *,
        cv=None,
        stack_method: str = "auto",
        n_jobs: int | None = None,
        passthrough=False,
        verbose: int = 0,
        refit: bool = True,
        store_oof: bool = True,
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.stack_method = stack_method
        self.n_jobs = n_jobs
        self.passthrough = passthrough
        self.verbose = verbose
        self.refit = refit
        self.store_oof = store_oof

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.stack_method == "predict":
            tags.transformer_tags.preserves_dtype = []  # transform then has the dtype of the labels
        return tags

    def _check_kind(self, name, estimator):
        if isinstance(estimator, type) or not (hasattr(estimator, "fit") and is_regressor(estimator)):
            super()._check_kind(name, estimator)

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members on all rows and on folds, and the final estimator on what they say out of fold.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Whatever the members take, images included.
        y : array-like of shape (n,) or (n, labels)
            Labels of any kind; or 0 and 1 for each of several labels.
        **fit_params : dict
            ``sample_weight`` (n,), handed to whatever takes it; ``groups`` (n,) for ``cv``. With metadata routing,
            whatever members, splitter and final estimator ask for.

        Returns
        -------
        self : object
        """
        y, target = self._read_classes(y, prefit=self._is_prefit())
        return self._fit(X, y, target, fit_params, classes_=target.classes)

    def _default_final(self, target):
        if target.kind != "multilabel":
            return LogisticRegression()
        one = LogisticRegression()
        return MultiOutputClassifier(one.set_fit_request(sample_weight=True) if _routing_enabled() else one)

    def _method(self, name, estimator):
        return "predict" if is_regressor(estimator) else self._choose_method(name, estimator, self.stack_method)

    def _as_members(self, blocks):
        return columns_to_votes(blocks, self.stack_method_, self._target)

    @available_if(final_has("predict_proba"))
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """The final estimator's probabilities.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        proba : ndarray of shape (n, classes) or (n, labels)
            In the order of ``classes_``; of several labels, the probability of each.
        """
        check_is_fitted(self)
        return answer(self.final_estimator_, self.transform(X), "predict_proba", self._target)

    @available_if(final_has("decision_function"))
    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """The final estimator's decision values.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        values : ndarray of shape (n,), (n, classes) or (n, labels)
        """
        check_is_fitted(self)
        return self.final_estimator_.decision_function(self.transform(X))

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """What each member says.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        said : ndarray
            If all members are asked for probabilities, these, (members, n, classes) or (members, n, labels); else
            the labels, (members, n) or (members, n, labels); of a regressor the class of the nearest code.
        """
        check_is_fitted(self)
        if set(self.stack_method_) == {"predict_proba"}:
            likely = self._ask_members(X)
            several = self._target.kind == "multilabel"
            return likely[..., 1].reshape(len(likely), -1, self._target.width) if several else likely
        methods = ["predict"] * len(self.estimators_)
        said = answers(self.estimators_, self._names, X, methods, self._targets)
        if self._target.kind == "multilabel":
            return np.stack(said)
        codes = [columns_to_codes(one[:, None], "predict", self._target) for one in said]
        return self._target.decode(np.stack(codes))


class StackingRegressor(BaseStacking, ensemble.StackingRegressor):
    """Regressors, and a final one that learns from their out-of-fold predictions [1]_ [2]_.

    A successor of :class:`sklearn.ensemble.StackingRegressor`; what differs is told in :class:`StackingClassifier`.

    Parameters
    ----------
    estimators : list of (str, regressor)
        Names and members; ``"drop"`` instead of a member leaves it out.
    final_estimator : regressor, default=None
        None: a ridge regression that chooses its penalty.
    cv, n_jobs, passthrough, verbose, refit, store_oof
        As in :class:`StackingClassifier`; ``cv=None`` are five folds.

    Attributes
    ----------
    estimators_, named_estimators_, final_estimator_, stack_method_, weights_, n_features_in_, feature_names_in_
        As in :class:`StackingClassifier`.
    oof_predictions_ : ndarray of shape (n, members)
        The members' columns that the final estimator was fitted on, without what is passed through. Only with
        ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        By how much the squared error grows if the final estimator does without each member.

    Raises
    ------
    ValueError
        As :class:`StackingClassifier`.

    References
    ----------
    .. [1] D. H. Wolpert, "Stacked generalization", Neural Networks 5, 1992.
    .. [2] L. Breiman, "Stacked regressions", Machine Learning 24, 1996.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from sktricks.ensemble import StackingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> stack = StackingRegressor([("line", Ridge(0.1)), ("near", KNeighborsRegressor(20))]).fit(X, y)
    >>> bool((stack.contributions_ > 0).all())
    True
    """

    _parameter_constraints: dict = {
        **ensemble.StackingRegressor._parameter_constraints,
        **BaseStacking._parameter_constraints,
    }

    def __init__(
        self,
        estimators: list,
        final_estimator=None,
        *,
        cv=None,
        n_jobs: int | None = None,
        passthrough=False,
        verbose: int = 0,
        refit: bool = True,
        store_oof: bool = True,
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.passthrough = passthrough
        self.verbose = verbose
        self.refit = refit
        self.store_oof = store_oof

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members on all rows and on folds, and the final estimator on what they say out of fold.

        Parameters
        ----------
        X : array-like of shape (n, ...)
        y : array-like of shape (n,)
        **fit_params : dict
            As in :class:`StackingClassifier`.

        Returns
        -------
        self : object
        """
        return self._fit(X, column_or_1d(y, warn=True), Target("values"), fit_params)

    def _default_final(self, target):
        return RidgeCV()

    def _method(self, name, estimator):
        return "predict"

    def _as_members(self, blocks):
        return np.stack([block[:, 0] for block in blocks])

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
