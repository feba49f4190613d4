"""NetEnsembleClassifier and NetEnsembleRegressor: several nets of one kind, trained together in less time."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
    is_classifier,
)
from sklearn.ensemble._base import _set_random_states
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing

from .._progress import progress
from .._typing import fit_context
from ._base_ensemble import BaseEnsemble
from ._fits import fit_members
from ._members import Member, check_kind, naming
from ._target import Target, read_classes

INPUT_ATTRIBUTES = ("n_features_in_", "feature_names_in_", "image_shape_")  # attributes taken from the members


class BaseNetEnsemble(BaseEnsemble):
    """Base class of ensembles of nets that differ only in their random state."""

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "mode": [StrOptions({"batched", "snapshot", "loop"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator, n_members=8, *, mode="batched", n_jobs=None, verbose=0, random_state=None):
        self.estimator = estimator
        self.n_members = n_members
        self.mode = mode
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        for name in ("input_tags", "target_tags", "classifier_tags", "regressor_tags"):
            if getattr(inner, name) is not None:
                setattr(tags, name, getattr(inner, name))
        return tags

    # -- fitting -------------------------------------------------------------------------------------------------------

    def _fit(self, X, y, target, fit_params, **results):
        self._check_estimator()
        params = process_routing(self, "fit", **fit_params)["estimator"].fit if _routing_enabled() else fit_params
        rng = check_random_state(self.random_state)
        fit = self._fit_snapshots if self.mode == "snapshot" else self._fit_nets
        names = [f"net{number}" for number in range(self.n_members)]
        fitted = fit(X, y, target, params, rng, names)
        for name in INPUT_ATTRIBUTES:
            vars(self).pop(name, None)
        vars(self).update(results, _target=target, estimators_=fitted)
        vars(self).update({name: getattr(fitted[0], name) for name in INPUT_ATTRIBUTES if hasattr(fitted[0], name)})
        self._names, self._targets = names, [target] * self.n_members
        return self

    def _check_estimator(self):
        check_kind(self, self.estimator, "estimator")
        if is_classifier(self) and not hasattr(self.estimator, "predict_proba"):
            raise ValueError(f"estimator must have predict_proba, got {self.estimator!r}")
        names = self.estimator.get_params()
        if not any(name.rpartition("__")[2] == "random_state" for name in names):
            raise ValueError(
                f"estimator must have a parameter random_state, in which members differ, got {self.estimator!r}"
            )

    def _fit_nets(self, X, y, target, params, rng, names):
        """Fit independent members on the same rows."""
        members = []
        for name in names:
            model = clone(self.estimator)
            _set_random_states(model, rng)
            members.append(Member(name, model, target, y=y, params=params))
        how = {"n_jobs": self.n_jobs, "together": self.mode == "batched", "verbose": self.verbose}
        return fit_members(members, X, [], **how)[0]

    def _fit_snapshots(self, X, y, target, params, rng, names):
        """Train one net in one cycle per member, and return a copy after each cycle."""
        model = clone(self.estimator)
        _set_random_states(model, rng)
        epochs = self._epochs_per_cycle(model)
        before = {name: getattr(model, name) for name in ("max_epochs", "warm_start")}
        model.set_params(max_epochs=epochs, warm_start=True)
        fitted = []
        with progress(self.n_members, "members", "cycle", self.verbose) as done:
            for number in range(self.n_members):
                with naming(f"cycle {number + 1} of {self.n_members}"):
                    model.fit(X, y, **params)
                fitted.append(deepcopy(model).set_params(**before))
                done.step()
        return fitted

    def _epochs_per_cycle(self, model):
        params = model.get_params(deep=False)
        if not {"max_epochs", "warm_start"} <= params.keys():
            raise ValueError(
                "mode='snapshot' requires an estimator with the parameters max_epochs and warm_start, such as "
                f"NetClassifier, got {model!r}"
            )
        epochs = params["max_epochs"]
        if not isinstance(epochs, Integral) or epochs < self.n_members:
            raise ValueError(
                f"mode='snapshot' divides the epochs among n_members={self.n_members} cycles, and requires at least as "
                f"many epochs, got max_epochs={epochs!r}"
            )
        return epochs // self.n_members

    def get_metadata_routing(self):
        """Return the routing of metadata to the members.

        Returns
        -------
        routing : MetadataRouter
            ``fit`` passes on the metadata requested by ``fit`` of the estimator.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)


class NetEnsembleClassifier(BaseNetEnsemble, ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """The mean of nets with different initial weights and batches, trained together (deep ensembles [1]_).

    Several nets together are more accurate than one, and their disagreement shows which predictions are uncertain.
    Trained together, several small nets take little more time than one.

    Parameters
    ----------
    estimator : classifier
        A :class:`~sktricks.NetClassifier` or :class:`~sktricks.FineTuneClassifier`; or any classifier with
        probabilities and a ``random_state``. Each member is a clone with its own random state. With a ``module``
        instance, all members start from the same weights: pass the module's class instead.
    n_members : int, default=8
        Number of nets, at least 1.
    mode : {"batched", "snapshot", "loop"}, default="batched"
        - ``"batched"`` trains all members at once with batched matrix products: for tables, and for heads on a frozen
          backbone, which encodes each image once for all. Members for which this is impossible or slower are fitted
          one after the other: large nets, and nets with convolutions, BatchNorm, dropout, ``callbacks``
          or ``early_stopping``. The members are the same up to rounding.
        - ``"loop"`` always fits them one after the other, in ``n_jobs`` processes.
        - ``"snapshot"`` trains a single net for the estimator's ``max_epochs``, in ``n_members`` cycles, and keeps a
          copy at the end of each cycle, when the learning rate is near zero [2]_. It takes as much time as one net, of
          any kind, but its members differ less. Cycles should have at least about ten epochs.
    n_jobs : int, default=None
        Number of processes that fit the members that are not trained together.
    verbose : int, default=0
        0: silent. 1: bars of the members, and of the epochs of those that train together. 2: lines in the log instead.
    random_state : int, RandomState instance or None, default=None
        Seed of the members' random states.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The sorted labels. For multilabel targets, a list with the pair (0, 1) for each label.
    estimators_ : list of classifiers
        The fitted members.
    n_features_in_, feature_names_in_, image_shape_
        As in the members.

    Raises
    ------
    ValueError
        If the estimator is not a classifier, or lacks probabilities or a ``random_state``; in ``"snapshot"``, if it
        lacks ``max_epochs`` or ``warm_start``, or has fewer epochs than members.

    See Also
    --------
    VotingClassifier : Average members of several kinds, and learn their weights.

    References
    ----------
    .. [1] B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and scalable predictive uncertainty estimation using
       deep ensembles", NeurIPS 2017.
    .. [2] G. Huang, Y. Li, G. Pleiss, Z. Liu, J. E. Hopcroft, K. Q. Weinberger, "Snapshot ensembles: train 1, get M for
       free", ICLR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, NetEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> nets = NetEnsembleClassifier(NetClassifier(max_epochs=20), n_members=4, random_state=0).fit(X, y)
    >>> nets.predict_proba(X[:5]).shape
    (5, 3)
    >>> nets.predict_members(X[:5]).shape
    (4, 5, 3)
    >>> bool(nets.score(X, y) > 0.9)
    True
    """

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows or images, in any form that the estimator accepts.
        y : array-like of shape (n,) or (n, labels)
            Labels of any kind, or 0 and 1 per label for multilabel targets.
        **fit_params : dict
            Further arguments of each member's ``fit``, such as ``sample_weight``; with metadata routing, those that it
            requests.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        y, target = read_classes(y)
        return self._fit(X, y, target, fit_params, classes_=target.classes)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each row; for multilabel targets, 0 or 1 per label.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,) or (n, labels)
            Predicted labels.
        """
        proba = self.predict_proba(X)
        if self._target.kind == "multilabel":
            return (proba > 0.5).astype(int)
        return self._target.decode(proba.argmax(axis=1))

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the mean of the members' probabilities.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        proba : ndarray of shape (n, classes) or (n, labels)
            In the order of ``classes_``; for multilabel targets, the probability of each label.
        """
        return self.predict_members(X).mean(axis=0)

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Return the probabilities of each member.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        proba : ndarray of shape (members, n, classes) or (members, n, labels)
            Predicted values, in the order of the members.
        """
        return np.stack(self._predict_members(X, "predict_proba"))


class NetEnsembleRegressor(BaseNetEnsemble, RegressorMixin, MetaEstimatorMixin, BaseEstimator):
    """The mean of nets with different initial weights and batches, trained together.

    Parameters
    ----------
    estimator : regressor
        A :class:`~sktricks.NetRegressor` or :class:`~sktricks.FineTuneRegressor`, or any regressor with a
        ``random_state``.
    n_members, mode, n_jobs, verbose, random_state : optional
        As in :class:`NetEnsembleClassifier`.

    Attributes
    ----------
    estimators_ : list of regressors
        The fitted members.
    n_features_in_, feature_names_in_, image_shape_
        As in the members.

    Raises
    ------
    ValueError
        As :class:`NetEnsembleClassifier`.

    See Also
    --------
    NetEnsembleClassifier : The same for classes, with the description of all parameters.
    VotingRegressor : The mean of different regressors.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sktricks import NetEnsembleRegressor, NetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> nets = NetEnsembleRegressor(NetRegressor(max_epochs=20), n_members=4, random_state=0).fit(X, y)
    >>> nets.predict(X[:5]).shape, nets.predict_uncertainty(X[:5]).std.shape
    ((5,), (5,))
    """

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params) -> Self:
        """Fit the members.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to train on.
        y : array-like of shape (n,) or (n, outputs)
            Values to predict.
        **fit_params : dict
            As in :class:`NetEnsembleClassifier`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, Target("values"), fit_params)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the mean of the members' values.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        y : ndarray of shape (n,) or (n, outputs)
            Predicted values.
        """
        return self.predict_members(X).mean(axis=0)

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Return the values of each member.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.

        Returns
        -------
        values : ndarray of shape (members, n) or (members, n, outputs)
            Predicted values, in the order of the members.
        """
        return np.stack(self._predict_members(X, "predict"))
