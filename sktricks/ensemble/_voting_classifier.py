"""VotingClassifier: the majority or the mean of classifiers, with weights that may be learned."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import ensemble
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_feature_names_in, _num_samples, check_is_fitted

from .._labels import encode_labels
from .._typing import fit_context
from ._base_voting import BaseVoting
from ._learned_weights import (
    PARTS,
    ErrorRate,
    GeometricLogLoss,
    MixtureLogLoss,
    fit_temperature,
    greedy,
    leave_one_out,
    normalize,
)
from ._members import answers
from ._oof import compact_votes, join_folds, join_votes, spread_out
from ._scoring import ScorerLoss, StoredClassifier
from ._votes import (
    TINY,
    as_questions,
    average,
    count_votes,
    find_ties,
    geometric,
    hard_vote,
    one_hot,
    split_ties,
    stack_probabilities,
    temper,
)

# By which loss members are judged, and which one a convex solver minimises.
LOSSES = {
    "hard": (ErrorRate, MixtureLogLoss),
    "soft": (MixtureLogLoss, MixtureLogLoss),
    "geometric": (GeometricLogLoss, GeometricLogLoss),
}


class VotingClassifier(BaseVoting, ensemble.VotingClassifier):
    """Classifiers that vote, or whose probabilities are averaged, with equal, given or learned weights.

    A successor of :class:`sklearn.ensemble.VotingClassifier`: for the parameters that both have, ``predict``,
    ``predict_proba`` and the soft ``transform`` are the same. What differs on purpose:

    - Members see the labels as they came, and are aligned by their ``classes_``. Members that were fitted elsewhere
      count as they should, be their labels strings, their classes in any order or only some of all.
    - A member that refuses its labels with a ValueError, as XGBoost's do unless they are 0..K-1, is fitted on codes
      instead, and its predictions are mapped back to labels. In ``estimators_`` it is then wrapped: the wrapper
      predicts labels, has the member's public attributes, and holds the member in ``estimator_``. If codes fail too,
      the first error is raised.
    - Members in a :class:`sklearn.frozen.FrozenEstimator` are used as they are; ``prefit=True`` freezes all.
    - A hard vote has ``predict_proba``, the fractions of the votes, and its ``transform`` returns labels, not codes.
    - Rows may have several labels (an indicator matrix of 0 and 1); each label is then a vote of its own, ties being 0.
    - Members that take no ``sample_weight`` are fitted without it, with a warning.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Names and members; ``"drop"`` instead of a member leaves it out.
    voting : {"hard", "soft", "geometric"}, default="hard"
        ``"hard"`` counts the members' votes; ``"soft"`` takes the mean of their probabilities, ``"geometric"`` the
        geometric mean, in which one member that holds a class impossible is not outvoted.
    weights : array-like of shape (members,), {"greedy", "simplex", "nnls"} or None, default=None
        Numbers, at least 0, of which only the proportions matter; None: equal ones. Or learned from out-of-fold
        predictions, and then of sum 1:

        - ``"greedy"`` selects members with replacement [1]_ by ``scoring``, else by the log loss, or in a hard vote
          by the error rate;
        - ``"simplex"`` minimises the log loss over all weights of sum 1;
        - ``"nnls"`` minimises the squared error of the probabilities with weights at least 0 [2]_.

        Learned weights stay only if, on out-of-fold predictions that they were not learned from, they lower the log
        loss by more than twice its standard error and do not raise the error rate; in a hard vote, if they lower the
        error rate by as much. Else all are equal. Weights that a scorer selects stay in any case.
    n_jobs : int, default=None
        Processes that fit members and folds; nets of one architecture are trained together in this one.
    flatten_transform : bool, default=True
        Whether ``transform`` of probabilities is (n, members * classes), or (members, n, classes).
    verbose : bool, default=False
        Whether to print the time that each member took.
    tie_break : {"first", "probability"}, default="first"
        In a hard vote, the class that wins a tie: the first one, or the one that is more probable in the weighted mean
        of the members' probabilities. With ``"probability"``, the tied classes split their joint fraction in
        ``predict_proba`` in favor of the more probable ones, by less than the gap to the next fraction.
    prefit : bool, default=False
        Whether the members are fitted already. They are then used as they are, and what is learned is learned from the
        given rows, which they must not have seen.
    cv : int, splitter, iterable or None, default=None
        How out-of-fold predictions are made, where something is learned; None: five folds, stratified. Splitters that
        need ``groups`` get those of ``fit``. Any splitter will do, those that predict rows several times or not at
        all included. With some members frozen, the rows must be new to these.
    calibration : {"temperature"} or None, default=None
        ``"temperature"`` gives each member a temperature [3]_, which makes its probabilities milder or sharper, where
        that lowers the log loss of out-of-fold predictions that it was not fitted on, by more than the standard error.
    scoring : str, callable or None, default=None
        What ``"greedy"`` selects by: a scorer's name, or a callable ``scorer(estimator, X, y)``. Scorers see no
        sample weights.
    store_oof : bool, default=True
        Whether to keep ``oof_predictions_``. False saves memory and makes a smaller pickle; with thousands of classes
        the array is large.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted labels, those that only fitted members know included. Of several labels a row, a list of a pair
        (0, 1) for each.
    estimators_ : list of classifiers
        The fitted members that are not dropped.
    named_estimators_ : Bunch
        The same by name, dropped ones as ``"drop"``.
    weights_ : ndarray of shape (members,)
        The weights in use: ones, the given ones, or the learned ones.
    weights_accepted_ : bool
        Whether the learned weights are in use. False: they did not help on held-out predictions, and all are equal.
        Only with learned weights.
    oof_predictions_ : ndarray of shape (members, n, classes) or (members, n, labels)
        The out-of-fold predictions that weights, temperatures and contributions were learned from, before
        temperatures: probabilities, or in a hard vote votes. NaN where the splitter predicts no row. Only if something
        is learned, and with ``store_oof=True``.
    contributions_ : ndarray of shape (members,)
        By how much the out-of-fold loss (log loss, in a hard vote the error rate) grows without each member; negative
        where a member does harm, NaN for a single member. Only where something is learned.
    temperatures_ : ndarray of shape (members,)
        1 for a member whose temperature was refused, since it did not help on held-out predictions: its probabilities
        are used unchanged. Only with ``calibration``.
    n_features_in_, feature_names_in_
        Those of the members.

    Raises
    ------
    ValueError
        For weights that are too few, negative or all zero; members that are no classifiers, have no probabilities
        where these are needed, or return NaN; names that are used twice; missing ``groups``; options that exclude each
        other.

    See Also
    --------
    StackingClassifier : Learns more than a weight for each member.

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
        verbose: bool = False,
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
        """Fit the members, and learn what is to be learned.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Whatever the members take, images included.
        y : array-like of shape (n,) or (n, labels)
            Labels of any kind; or 0 and 1 for each of several labels.
        **fit_params : dict
            ``sample_weight`` (n,), handed to the members that take it and used in what is learned; ``groups`` (n,) for
            ``cv``. With metadata routing, whatever members and splitter ask for.

        Returns
        -------
        self : object
        """
        y, target = self._read_classes(y, prefit=self.prefit)
        return self._fit(X, y, target, fit_params, classes_=target.classes)

    # -- learning ------------------------------------------------------------------------------------------------------

    def _check_options(self):
        self._check_scoring()
        hard = self.voting == "hard"
        if self.calibration is not None and hard:
            raise ValueError(
                f"calibration={self.calibration!r} needs probabilities: voting='soft' or 'geometric', got 'hard'"
            )
        if self.tie_break != "first" and not hard:
            raise ValueError(f"tie_break={self.tie_break!r} is for voting='hard', got {self.voting!r}")
        if isinstance(self.weights, str) and self.weights == "nnls" and self.voting == "geometric":
            raise ValueError(
                "weights='nnls' learns the weights of a mean; voting='geometric' takes 'greedy', 'simplex' or numbers"
            )

    def _learns(self):
        return super()._learns() or self.calibration is not None

    def _method(self, name, estimator):
        needed = self.voting != "hard" or self.tie_break == "probability"
        if needed and not hasattr(estimator, "predict_proba"):
            why = f"voting={self.voting!r}" if self.voting != "hard" else f"tie_break={self.tie_break!r}"
            raise ValueError(f"estimators: member {name!r} has no predict_proba, which {why} needs: {estimator!r}")
        return "predict" if self.voting == "hard" else "predict_proba"

    def _join(self, said, splits, n, target):
        if self.voting == "hard" and target.kind == "classes":
            return join_votes(said, splits, n, target.width)
        return join_folds(said, splits, n)

    def _learn(self, oof, y, shares, target, fixed):
        """Temperatures, weights and contributions from the rows that are predicted out of fold."""
        results, parts, options = {}, np.arange(len(y)) % PARTS, None
        if target.kind == "multilabel":
            members, codes = as_questions(np.stack(oof)), y.ravel()
            shares, parts = np.repeat(shares / target.width, target.width), np.repeat(parts, target.width)
        elif self.voting == "hard":
            members, codes, options = compact_votes(oof, encode_labels(y, target.classes))
        else:
            members, codes = np.stack(oof), encode_labels(y, target.classes)
        if self.calibration is not None:
            found = [fit_temperature(one, codes, shares, parts) for one in members]
            results["temperatures_"] = np.array(found)
            members = temper(members, found)

        def losses_of(rows):
            own = members[:, rows], codes[rows], normalize(shares[rows])
            return [one(*own) for one in LOSSES[self.voting]]

        loss, _ = losses_of(slice(None))
        if not isinstance(self.weights, str):
            return results | {"contributions_": leave_one_out(loss, fixed)}
        if self.scoring is not None:
            weights, accepted = greedy(self._score(members, y, target, options), len(members)), True
        else:
            judges = [loss, *self._mistakes(members, codes, shares)]
            truth = one_hot(codes, members.shape[-1])
            weights, accepted = self._find_weights(losses_of, judges, members, truth, shares, parts)
        results |= {"weights_": weights, "weights_accepted_": accepted}
        return results | {"contributions_": leave_one_out(loss, weights)}

    def _mistakes(self, members, codes, shares):
        """The error rate, where it is not the loss already."""
        if self.voting == "hard":
            return []
        return [ErrorRate(members if self.voting == "soft" else np.log(np.clip(members, TINY, None)), codes, shares)]

    def _score(self, members, y, target, options):
        def blend(weights):
            blended = self._blend(members, weights)
            return self._shape(blended if options is None else spread_out(blended, options, target.width), target)

        return ScorerLoss(get_scorer(self.scoring), StoredClassifier(target), blend, y)

    # -- prediction ----------------------------------------------------------------------------------------------------

    def _ask(self, X, method):
        return answers(self.estimators_, self._names, X, [method] * len(self.estimators_), self._targets)

    def _votes(self, X):
        """The codes that members vote for, (members, n) or, of several labels, (members, n * labels)."""
        return np.stack([said.ravel() for said in self._ask(X, "predict")])

    def _probabilities(self, X):
        """The probabilities of the members, (members, n, classes), or of questions, (members, n * labels, 2)."""
        said = self._ask(X, "predict_proba")
        said = self._as_members(stack_probabilities(said) if self._target.kind == "classes" else np.stack(said))
        return temper(said, self.temperatures_) if hasattr(self, "temperatures_") else said

    def _as_members(self, said):
        return as_questions(said) if self._target.kind == "multilabel" else said

    def _n_options(self):
        return 2 if self._target.kind == "multilabel" else self._target.width

    def _blend(self, members, weights):
        if self.voting == "geometric":
            return geometric(members, weights)
        return average(members, weights).astype(members.dtype, copy=False)  # float32 is no more exact as float64

    def _shape(self, blend, target):
        """(n, classes), or of several labels the probability of each, (n, labels)."""
        return blend if target.kind == "classes" else blend[:, 1].reshape(-1, target.width)

    def _pool(self, said):
        return self._blend(said, self._mean_weights())

    def _ask_members(self, X):
        return one_hot(self._votes(X), self._n_options()) if self.voting == "hard" else self._probabilities(X)

    def _winners(self, X):
        if self.voting != "hard":
            return self._blend(self._probabilities(X), self.weights_).argmax(axis=1)
        if self.tie_break == "first":
            return hard_vote(self._votes(X), self._n_options(), self.weights_)
        return self._fractions(X).argmax(axis=1)

    def _fractions(self, X):
        """Return the fractions of the votes, (n, classes) or of questions (n * labels, 2), with ties split."""
        fractions = count_votes(self._votes(X), self._n_options(), self.weights_) / self.weights_.sum()
        return fractions if self.tie_break == "first" else self._settle(X, fractions)

    def _settle(self, X, fractions):
        """Split ties by the probabilities of the rows that have one."""
        n = _num_samples(X)
        tied = find_ties(fractions).sum(axis=1) > 1
        rows = np.flatnonzero(tied.reshape(n, -1).any(axis=1))
        if len(rows):
            (X,) = indexable(X)  # sparse formats without rows
            likely = average(self._probabilities(_safe_indexing(X, rows)), self.weights_)
            of_rows = fractions.reshape(n, -1, fractions.shape[1])
            of_rows[rows] = split_ties(of_rows[rows].reshape(likely.shape), likely).reshape(of_rows[rows].shape)
        return fractions

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The class with most votes, or the most probable one.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        y : ndarray of shape (n,) or (n, labels)
        """
        check_is_fitted(self)
        winners = self._winners(X)
        return self._target.decode(
            winners if self._target.kind == "classes" else winners.reshape(-1, self._target.width)
        )

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """The mean of the members' probabilities; in a hard vote, the fractions of the votes.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        proba : ndarray of shape (n, classes) or (n, labels)
            In the order of ``classes_``; of several labels, the probability of each.
        """
        check_is_fitted(self)
        hard = self.voting == "hard"
        blend = self._fractions(X) if hard else self._blend(self._probabilities(X), self.weights_)
        return self._shape(blend, self._target)

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """What each member says.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        said : ndarray
            In a hard vote the labels, (members, n) or (members, n, labels); else the probabilities,
            (members, n, classes) or (members, n, labels), after temperatures.
        """
        check_is_fitted(self)
        if self.voting == "hard":
            return np.stack([self._target.decode(said) for said in self._ask(X, "predict")])
        return np.stack([self._shape(one, self._target) for one in self._probabilities(X)])

    def transform(self, X: ArrayLike) -> np.ndarray:
        """What each member says, as columns.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        columns : ndarray
            In a hard vote the labels, (n, members); else the probabilities, (n, members * classes), or
            (members, n, classes) with ``flatten_transform=False``. Several labels are as many columns a member.
        """
        said = self.predict_members(X)
        if self.voting != "hard" and not self.flatten_transform:
            return said
        return said.T if said.ndim == 2 else np.hstack(said)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only checked.

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        if self.voting != "hard" and not self.flatten_transform:
            raise ValueError("get_feature_names_out needs flatten_transform=True: columns of a matrix have names")
        _check_feature_names_in(self, input_features, generate_names=False)
        prefix = type(self).__name__.lower()
        if self.voting == "hard" and self._target.kind == "classes":
            return np.array([f"{prefix}_{name}" for name in self._names], dtype=object)
        columns = range(self._target.width)
        return np.array([f"{prefix}_{name}{column}" for name in self._names for column in columns], dtype=object)
