"""StackingClassifier and StackingRegressor: a final estimator is fitted on out-of-fold predictions."""

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
from ._base_stacking import BaseStacking, final_has
from ._member_columns import columns_to_codes, columns_to_votes
from ._predictions import predict_member
from ._target import Target

METHODS = ["predict_proba", "decision_function", "predict"]  # the most informative first


class StackingClassifier(BaseStacking, ensemble.StackingClassifier):
    """A stack of classifiers with a final classifier that is fitted on their out-of-fold predictions [1]_.

    A successor of :class:`sklearn.ensemble.StackingClassifier`: for the shared parameters, predictions are the same.
    The deliberate differences:

    - Members and the final estimator are fitted on the original labels; members are aligned by their ``classes_``.
      Members and final estimators that reject the labels, as XGBoost does unless they are 0..K-1, are fitted on
      codes, as in :class:`VotingClassifier`. Regressors among the members are fitted on the codes of the classes.
    - A :class:`sklearn.frozen.FrozenEstimator` raises an error unless ``cv="prefit"``, which states that the members
      were not fitted on the given rows: otherwise its predictions would mislead the final estimator.
    - For multilabel targets, ``predict_proba`` returns the probability of each label, (n, labels), and the default
      final estimator is one logistic regression per label.
    - Members and final estimators without a ``sample_weight`` argument are fitted without weights, with a warning.
      With metadata routing, members and final estimator request them; the default final estimator always does.
    - All fits of members, on folds and on all rows, run in one pool of jobs.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Names and members; ``"drop"`` in place of a member drops it.
    final_estimator : classifier, default=None
        None means a logistic regression.
    cv : int, splitter, iterable, "prefit" or None, default=None
        The splits for out-of-fold predictions; None means five stratified folds. Splitters that require ``groups`` get
        those of ``fit``. Any splitter can be used whose training and test rows are disjoint: rows that are predicted
        several times get the mean or the majority; rows that are never predicted are not used in the final fit, with a
        warning. ``"prefit"`` means that the members are already fitted, on other rows.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}, default="auto"
        The method that returns the predictions; ``"auto"`` means the first of these that a member has.
    n_jobs : int, default=None
        Number of processes that fit members and folds; nets of the same architecture are trained together in this
        process.
    passthrough : bool, columns or callable, default=False
        Columns of X that are passed to the final estimator as well: all, or some given by names, indices, a slice or a
        mask; or a callable that computes (n, columns) from X, which may be images.
    verbose : int, default=0
        0: silent. 1: bars of fits, and of members in predictions for more than 100 rows. 2: a line in the log per fit
        instead, with the time so far.
    refit : bool, default=True
        If True, members are fitted again on all rows. If False, a member is the average of its models of the folds,
        which saves one fit and keeps the models that made the out-of-fold predictions.
    store_oof : bool, default=True
        If True, ``oof_predictions_`` is kept. False saves memory and makes pickles smaller.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted labels. For multilabel targets, a list with the pair (0, 1) for each label.
    estimators_ : list of estimators
        The fitted members that are not dropped; with ``refit=False``, each contains its models in ``estimators``.
    named_estimators_ : Bunch
        The fitted members by name; dropped ones are ``"drop"``.
    final_estimator_ : classifier
    stack_method_ : list of str
        The method that returns each member's predictions.
    oof_predictions_ : ndarray of shape (n, columns)
        The columns of members' predictions on which the final estimator was fitted. NaN for rows that the splitter does
        not predict. Only with ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        Increase of the loss (log loss, or the error rate of a final estimator without probabilities) if the final
        estimator is fitted without each member, measured by two-fold cross-validation. NaN if it cannot be computed.
    weights_ : ndarray of shape (members,)
        The importance of each member for the final estimator, with sum 1: from its feature importances, or its
        coefficients times the columns' standard deviation. Only if it has one of these.
    n_features_in_, feature_names_in_
        As in the members.

    Raises
    ------
    ValueError
        If there is a FrozenEstimator without ``cv="prefit"``, members lack ``stack_method`` or predict NaN, ``groups``
        are missing, names are not unique, or ``passthrough`` does not fit X.

    See Also
    --------
    VotingClassifier : Learn only one weight per member, which requires fewer rows.

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
            tags.transformer_tags.preserves_dtype = []  # transform returns the dtype of the labels
        return tags

    def _check_kind(self, name, estimator):
        if isinstance(estimator, type) or not (hasattr(estimator, "fit") and is_regressor(estimator)):
            super()._check_kind(name, estimator)

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members on all rows and on folds, and the final estimator on their out-of-fold predictions.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows or images, in any form that the members accept.
        y : array-like of shape (n,) or (n, labels)
            Labels of any kind, or 0 and 1 per label for multilabel targets.
        **fit_params : dict
            ``sample_weight`` (n,), passed to the members and the final estimator if they accept it; ``groups`` (n,) for
            ``cv``. With metadata routing, everything that members, splitter and final estimator request.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        y, target = self._read_classes(y, prefit=self._is_prefit())
        return self._fit(X, y, target, fit_params, classes_=target.classes)

    def _default_final(self, target):
        if target.kind != "multilabel":
            return LogisticRegression()
        one = LogisticRegression()
        return MultiOutputClassifier(one.set_fit_request(sample_weight=True) if _routing_enabled() else one)

    def _method(self, name, estimator):
        methods = METHODS if self.stack_method == "auto" else [self.stack_method]
        for method in ["predict"] if is_regressor(estimator) else methods:
            if hasattr(estimator, method):
                return method
        raise ValueError(
            f"estimators: member {name!r} must have {' or '.join(methods)} for stack_method={self.stack_method!r}, "
            f"got {estimator!r}"
        )

    def _stack_blocks(self, blocks):
        return columns_to_votes(blocks, self.stack_method_, self._target)

    @available_if(final_has("predict_proba"))
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the final estimator's probabilities.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        proba : ndarray of shape (n, classes) or (n, labels)
            In the order of ``classes_``; for multilabel targets, the probability of each label.
        """
        check_is_fitted(self)
        return predict_member(self.final_estimator_, self.transform(X), "predict_proba", self._target)

    @available_if(final_has("decision_function"))
    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the final estimator's decision values.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        values : ndarray of shape (n,), (n, classes) or (n, labels)
            Scores of the classes; with two classes, of the second one.
        """
        check_is_fitted(self)
        return self.final_estimator_.decision_function(self.transform(X))

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Return the predictions of each member.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        predictions : ndarray
            Probabilities if these are the columns of all members, (members, n, classes) or (members, n, labels);
            otherwise the labels, (members, n) or (members, n, labels). For a regressor, the class with the
            nearest code.
        """
        check_is_fitted(self)
        if set(self.stack_method_) == {"predict_proba"}:
            return self._target.restore(self._member_outputs(X))
        predictions = self._predict_members(X, "predict")
        if self._target.kind == "multilabel":
            return np.stack(predictions)
        codes = [columns_to_codes(one[:, None], "predict", self._target) for one in predictions]
        return self._target.decode(np.stack(codes))


class StackingRegressor(BaseStacking, ensemble.StackingRegressor):
    """A stack of regressors with a final regressor that is fitted on their out-of-fold predictions [1]_ [2]_.

    A successor of :class:`sklearn.ensemble.StackingRegressor`; :class:`StackingClassifier` lists the differences.

    Parameters
    ----------
    estimators : list of (str, regressor)
        Names and members; ``"drop"`` in place of a member drops it.
    final_estimator : regressor, default=None
        None for a ridge regression that chooses its penalty.
    cv, n_jobs, passthrough, verbose, refit, store_oof : optional
        As in :class:`StackingClassifier`; ``cv=None`` is five folds.

    Attributes
    ----------
    estimators_, named_estimators_, final_estimator_, stack_method_, weights_, n_features_in_, feature_names_in_
        As in :class:`StackingClassifier`.
    oof_predictions_ : ndarray of shape (n, members)
        The columns of members' predictions on which the final estimator was fitted. Only with ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        Increase of the squared error if the final estimator is fitted without each member.

    Raises
    ------
    ValueError
        As :class:`StackingClassifier`.

    See Also
    --------
    StackingClassifier : The same for classes, with the description of all parameters.
    VotingRegressor : The mean of the members.

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
        """Fit the members on all rows and on folds, and the final estimator on their out-of-fold predictions.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to train on.
        y : array-like of shape (n,)
            Values to predict.
        **fit_params : dict
            As in :class:`StackingClassifier`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, column_or_1d(y, warn=True), Target("values"), fit_params)

    def _default_final(self, target):
        return RidgeCV()

    def _method(self, name, estimator):
        return "predict"

    def _stack_blocks(self, blocks):
        return np.stack([block[:, 0] for block in blocks])

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
        return self._member_outputs(X)
