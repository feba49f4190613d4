"""VotingClassifier: the majority or the mean of classifiers, with optionally learned weights."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import ensemble
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_feature_names_in, _num_samples, check_is_fitted

from .._typing import fit_context
from ._base_voting import BaseVoting
from ._learned_weights import LOSSES, PARTS, fit_temperature
from ._oof import compact_votes, join_folds, join_votes, spread_out
from ._scoring import StoredClassifier, scorer_loss
from ._votes import (
    apply_temperatures,
    average,
    count_votes,
    find_ties,
    geometric,
    hard_vote,
    one_hot,
    split_ties,
    stack_probabilities,
)


class VotingClassifier(BaseVoting, ensemble.VotingClassifier):
    """A vote of classifiers, or the mean of their probabilities, with equal, given or learned weights.

    A successor of :class:`sklearn.ensemble.VotingClassifier`: for the shared parameters, ``predict``,
    ``predict_proba`` and the soft ``transform`` return the same. The deliberate differences:

    - Members are fitted on the original labels, and their predictions are aligned by their ``classes_``. This holds
      for members that were fitted elsewhere as well, with string labels, with classes in any order, or with only some
      of the classes.
    - A member that rejects the labels with a ValueError, as XGBoost does unless they are 0..K-1, is fitted on codes,
      and its predictions are mapped back to labels. ``estimators_`` then contains a wrapper that predicts labels, has
      the member's public attributes, and contains the member as ``estimator_``. If fitting on codes fails as well, the
      first error is raised.
    - Members in a :class:`sklearn.frozen.FrozenEstimator` are not fitted again; ``prefit=True`` freezes all.
    - A hard vote has ``predict_proba``, the fractions of the votes, and its ``transform`` returns labels, not codes.
    - Multilabel targets (an indicator matrix of 0 and 1) are supported: each label is voted on separately; a tie is 0.
    - Members without a ``sample_weight`` argument are fitted without weights, with a warning.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Names and members; ``"drop"`` in place of a member drops it.
    voting : {"hard", "soft", "geometric"}, default="hard"
        ``"hard"`` counts the members' votes; ``"soft"`` takes the mean of their probabilities; ``"geometric"`` takes
        the geometric mean, in which a class that one member considers impossible cannot win.
    weights : array-like of shape (members,), {"greedy", "simplex", "nnls"} or None, default=None
        Non-negative numbers, of which only the proportions matter; None means equal weights. Or a method that learns
        weights with sum 1 from out-of-fold predictions:

        - ``"greedy"`` selects members with replacement [1]_ by ``scoring`` or, by default, by the log loss (in a hard
          vote by the error rate);
        - ``"simplex"`` minimizes the log loss over all weights with sum 1;
        - ``"nnls"`` minimizes the squared error of the probabilities with non-negative weights [2]_.

        Weights are learned only where they help on held-out predictions: they must lower the log loss by more than
        twice its standard error and not raise the error rate; in a hard vote, they must lower the error rate by as
        much. Otherwise, all weights are equal. Weights selected by a scorer are always accepted.
    n_jobs : int, default=None
        Number of processes that fit members and folds; nets of the same architecture are trained together in this
        process.
    flatten_transform : bool, default=True
        If True, ``transform`` returns probabilities as (n, members * classes); if False, as (members, n, classes).
    verbose : bool or int, default=False
        0: silent. 1: bars of fits, and of members in predictions for more than 100 rows. 2: a line in the log per fit
        instead, with the time so far.
    tie_break : {"first", "probability"}, default="first"
        The class that wins a tie in a hard vote: the first one, or the one with the largest weighted mean of the
        members' probabilities. With ``"probability"``, ``predict_proba`` shifts the fractions of tied classes slightly
        towards the more probable ones, by less than the gap to the next fraction.
    prefit : bool, default=False
        If True, the members are already fitted and not fitted again. Weights and temperatures are learned from the
        given rows, on which the members must not have been fitted.
    cv : int, splitter, iterable or None, default=None
        The splits for out-of-fold predictions, if anything is learned; None means five stratified folds. Splitters that
        require ``groups`` get those of ``fit``. Any splitter can be used whose training and test rows are disjoint,
        even if it predicts rows several times or not at all. Frozen members must not have been fitted on the rows.
    calibration : {"temperature"} or None, default=None
        ``"temperature"`` fits a temperature [3]_ per member, which makes its probabilities less or more extreme. It is
        used only if it lowers the log loss of held-out predictions by more than the standard error.
    scoring : str, callable or None, default=None
        The scorer by which ``"greedy"`` selects: a name, or a callable ``scorer(estimator, X, y)``. Scorers do not
        receive sample weights.
    store_oof : bool, default=True
        If True, ``oof_predictions_`` is kept. False saves memory and makes pickles smaller; with thousands of classes,
        the array is large.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted labels, including those known only to fitted members. For multilabel targets, a list with the pair
        (0, 1) for each label.
    estimators_ : list of classifiers
        The fitted members that are not dropped.
    named_estimators_ : Bunch
        The fitted members by name; dropped ones are ``"drop"``.
    weights_ : ndarray of shape (members,)
        The weights used: ones, the given weights, or the learned weights.
    weights_accepted_ : bool
        True if the learned weights are used; False if they did not help on held-out predictions, so that all are equal.
        Only with learned weights.
    oof_predictions_ : ndarray of shape (members, n, classes) or (members, n, labels)
        The out-of-fold predictions, before temperature scaling, from which weights, temperatures and contributions were
        learned: probabilities, or votes in a hard vote. NaN for rows that the splitter does not predict. Only if
        anything is learned, and with ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        Increase of the out-of-fold loss (log loss; in a hard vote the error rate) without each member: negative for a
        harmful member, NaN for a single member. Only if anything is learned.
    temperatures_ : ndarray of shape (members,)
        The temperatures; 1 for a member whose temperature did not help on held-out predictions. Only with
        ``calibration``.
    n_features_in_, feature_names_in_
        As in the members.

    Raises
    ------
    ValueError
        If weights are too few, negative or all zero; if members are not classifiers, lack required probabilities, or
        return NaN; if names are not unique, ``groups`` are missing, or options cannot be combined.

    See Also
    --------
    StackingClassifier : Learn more than one weight per member.

    References
    ----------
    .. [1] R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble selection from libraries of models", ICML 2004.
    .. [2] L. Breiman, "Stacked regressions", Machine Learning 24, 1996.
    .. [3] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from sktricks.ensemble import VotingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> members = [("bayes", GaussianNB()), ("stump", DecisionTreeClassifier(max_depth=1))]
    >>> vote = VotingClassifier(members, voting="soft", weights="simplex").fit(X, y)
    >>> vote.weights_.round(1)
    array([1., 0.])
    >>> vote.predict(X[:3])
    array([0, 0, 0])
    """

    _parameter_constraints: dict = {
        **ensemble.VotingClassifier._parameter_constraints,
        **BaseVoting._parameter_constraints,
        "voting": [StrOptions({"hard", "soft", "geometric"})],
        "tie_break": [StrOptions({"first", "probability"})],
        "calibration": [StrOptions({"temperature"}), None],
    }

    def __init__(
        self,
        estimators: list,
        *,
        voting: str = "hard",
        weights: ArrayLike | str | None = None,
        n_jobs: int | None = None,
        flatten_transform: bool = True,
        verbose: bool | int = False,
        tie_break: str = "first",
        prefit: bool = False,
        cv=None,
        calibration: str | None = None,
        scoring=None,
        store_oof: bool = True,
    ):
        self.estimators = estimators
        self.voting = voting
        self.weights = weights
        self.n_jobs = n_jobs
        self.flatten_transform = flatten_transform
        self.verbose = verbose
        self.tie_break = tie_break
        self.prefit = prefit
        self.cv = cv
        self.calibration = calibration
        self.scoring = scoring
        self.store_oof = store_oof

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members, and learn weights and temperatures if requested.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows or images, in any form that the members accept.
        y : array-like of shape (n,) or (n, labels)
            Labels of any kind, or 0 and 1 per label for multilabel targets.
        **fit_params : dict
            ``sample_weight`` (n,), passed to the members that accept it and used for learning; ``groups`` (n,) for
            ``cv``. With metadata routing, everything that members and splitter request.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        y, target = self._read_classes(y, prefit=self.prefit)
        return self._fit(X, y, target, fit_params, classes_=target.classes)

    # -- learning ------------------------------------------------------------------------------------------------------

    def _check_options(self):
        self._check_scoring()
        hard = self.voting == "hard"
        if self.calibration is not None and hard:
            raise ValueError(f"calibration={self.calibration!r} requires voting='soft' or 'geometric', got 'hard'")
        if self.tie_break != "first" and not hard:
            raise ValueError(f"tie_break={self.tie_break!r} requires voting='hard', got {self.voting!r}")
        if isinstance(self.weights, str) and self.weights == "nnls" and self.voting == "geometric":
            raise ValueError(
                "weights='nnls' cannot be combined with voting='geometric': use 'greedy', 'simplex' or numbers"
            )

    def _learns(self):
        return super()._learns() or self.calibration is not None

    def _method(self, name, estimator):
        needed = self.voting != "hard" or self.tie_break == "probability"
        if needed and not hasattr(estimator, "predict_proba"):
            why = f"voting={self.voting!r}" if self.voting != "hard" else f"tie_break={self.tie_break!r}"
            raise ValueError(f"estimators: member {name!r} must have predict_proba for {why}, got {estimator!r}")
        return "predict" if self.voting == "hard" else "predict_proba"

    def _join(self, predictions, splits, n, target):
        if self.voting == "hard" and target.kind == "classes":
            return join_votes(predictions, splits, n, target.width)
        return join_folds(predictions, splits, n)

    def _learn(self, oof, y, row_weights, target, fixed):
        results, parts, options = {}, np.arange(len(y)) % PARTS, None
        if target.kind == "multilabel":
            members, codes = target.flatten(np.stack(oof)), y.ravel()
            row_weights, parts = np.repeat(row_weights / target.width, target.width), np.repeat(parts, target.width)
        elif self.voting == "hard":
            members, codes, options = compact_votes(oof, target.encode(y))
        else:
            members, codes = np.stack(oof), target.encode(y)
        if self.calibration is not None:
            temperatures = [fit_temperature(one, codes, row_weights, parts) for one in members]
            results["temperatures_"] = np.array(temperatures)
            members = apply_temperatures(members, temperatures)

        def predict(weights):
            blend = self._blend(members, weights)
            return target.restore(blend if options is None else spread_out(blend, options, target.width))

        score = scorer_loss(self.scoring, StoredClassifier(target), predict, y)
        data = members, codes, row_weights
        return results | self._learn_weights(LOSSES[self.voting], data, parts, fixed, score)

    # -- prediction ----------------------------------------------------------------------------------------------------

    def _votes(self, X):
        """Return the members' votes as codes, (members, n) or, for multilabel targets, (members, n * labels)."""
        return np.stack([codes.ravel() for codes in self._predict_members(X, "predict")])

    def _probabilities(self, X):
        """Return the members' probabilities, (members, n, classes) or, if multilabel, (members, n * labels, 2)."""
        members = self._predict_members(X, "predict_proba")
        if self._target.kind == "classes":
            members = stack_probabilities(members)
        members = self._target.flatten(np.asarray(members))
        return apply_temperatures(members, self.temperatures_) if hasattr(self, "temperatures_") else members

    def _blend(self, members, weights):
        if self.voting == "geometric":
            return geometric(members, weights)
        return average(members, weights).astype(members.dtype, copy=False)  # float64 would suggest a false precision

    def _pool(self, outputs):
        return self._blend(outputs, self.weights_)

    def _member_outputs(self, X):
        return one_hot(self._votes(X), self._target.n_options) if self.voting == "hard" else self._probabilities(X)

    def _mean(self, X):
        """Return the mean probabilities or the fractions of the votes, (n, classes) or (n * labels, 2)."""
        if self.voting != "hard":
            return self._pool(self._probabilities(X))
        fractions = count_votes(self._votes(X), self._target.n_options, self.weights_) / self.weights_.sum()
        return fractions if self.tie_break == "first" else self._split_ties(X, fractions)

    def _split_ties(self, X, fractions):
        """Break ties by the probabilities, which are predicted only for rows with ties."""
        n = _num_samples(X)
        tied = find_ties(fractions).sum(axis=1) > 1
        rows = np.flatnonzero(tied.reshape(n, -1).any(axis=1))
        if len(rows):
            (X,) = indexable(X)  # converts sparse formats that cannot be indexed by row
            mean = average(self._probabilities(_safe_indexing(X, rows)), self.weights_)
            of_rows = fractions.reshape(n, -1, fractions.shape[1])
            of_rows[rows] = split_ties(of_rows[rows].reshape(mean.shape), mean).reshape(of_rows[rows].shape)
        return fractions

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the class with most votes, or the most probable class.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,) or (n, labels)
            Predicted labels.
        """
        check_is_fitted(self)
        if self.voting == "hard" and self.tie_break == "first":
            return self._target.decode(hard_vote(self._votes(X), self._target.n_options, self.weights_))
        return self._target.decode(self._mean(X).argmax(axis=1))

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the mean of the members' probabilities; in a hard vote, the fractions of the votes.

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
        return self._target.restore(self._mean(X))

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Return the predictions of each member.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        predictions : ndarray
            In a hard vote the labels, (members, n) or (members, n, labels); otherwise the probabilities after
            temperatures, (members, n, classes) or (members, n, labels).
        """
        check_is_fitted(self)
        if self.voting == "hard":
            return np.stack([self._target.decode(codes) for codes in self._predict_members(X, "predict")])
        return self._target.restore(self._probabilities(X))

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the predictions of the members as columns.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to transform.

        Returns
        -------
        columns : ndarray
            In a hard vote the labels, (n, members); otherwise the probabilities, (n, members * classes), or
            (members, n, classes) with ``flatten_transform=False``. For multilabel targets, one column per label and
            member.
        """
        members = self.predict_members(X)
        if self.voting != "hard" and not self.flatten_transform:
            return members
        return members.T if members.ndim == 2 else np.hstack(list(members))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only validated.

        Returns
        -------
        names : ndarray of str objects
            Names of the columns.
        """
        check_is_fitted(self)
        if self.voting != "hard" and not self.flatten_transform:
            raise ValueError("get_feature_names_out requires flatten_transform=True, got False")
        _check_feature_names_in(self, input_features, generate_names=False)
        one_column = self.voting == "hard" and self._target.kind == "classes"
        columns = [""] if one_column else range(self._target.width)
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}_{name}{column}" for name in self._names for column in columns], dtype=object)
