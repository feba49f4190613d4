"""The base class of votes, stacks and cascades: members, arguments of their fits, and measures of diversity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import Bunch, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.validation import check_is_fitted

from .._naming import RenamedMethodsMixin
from .._project import LinksToDocs
from .._sample_weight import check_weights, weight_keyword
from .._warnings import SampleWeightIgnoredWarning, warn
from ._diversity import correlation, disagreement, distance, entropy, mutual_information, weighted_std
from ._fits import fit_members
from ._members import Member, check_frozen, check_kind, is_dropped, is_frozen, member_target
from ._oof import find_covered, make_splits, one_split
from ._predictions import predict_members
from ._target import Target, join_classes, read_classes
from ._votes import average

# Attributes that are not set by every fit.
STALE = ("oof_predictions_", "contributions_", "weights_", "weights_accepted_", "temperatures_", "feature_names_in_")


@dataclass
class FittedMembers:
    """Members, their fitted estimators, and their out-of-fold predictions.

    Parameters
    ----------
    members : list of Member
    estimators : list of estimators
    splits : list of (ndarray, ndarray)
        Training and test rows; empty if nothing was predicted out of fold.
    predictions : list of list of ndarray
        For each member, its predictions for the test rows of each split.
    covered : ndarray of shape (n,) or None
        True for rows that are predicted out of fold.
    """

    members: list
    estimators: list
    splits: list
    predictions: list
    covered: np.ndarray | None


class BaseEnsemble(RenamedMethodsMixin, LinksToDocs):
    """Mixin for ensembles of members, to be listed before one of scikit-learn's ensemble classes.

    Subclasses define these hooks:

    - ``_method(name, estimator) -> str``: the method that returns a member's predictions;
    - ``predict_members(X) -> ndarray``: the predictions of all members.

    They may override these:

    - ``_member_outputs(X) -> ndarray``: the predictions compared by measures of diversity, (members, rows, classes)
      or (members, rows);
    - ``_oof_outputs() -> ndarray or None``: the same for the rows of ``fit``, out of fold;
    - ``_mean_weights() -> ndarray or None``: the weights of the members in their mean;
    - ``_pool(outputs) -> ndarray``: that mean, (rows, classes).
    """

    estimators: list
    cv: Any
    verbose: int
    _target: Target

    # -- members -------------------------------------------------------------------------------------------------------

    def _validate_estimators(self):
        """Return the names and estimators that are not dropped; errors name the member."""
        check_pairs(self.estimators)
        names = [name for name, _ in self.estimators]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"estimators: names must be strings, got {names!r}")
        self._validate_names(names)
        active = [(name, estimator) for name, estimator in self.estimators if not is_dropped(estimator)]
        if not active:
            raise ValueError("estimators must have at least one member that is not dropped, got only dropped ones")
        for name, estimator in active:
            self._check_kind(name, estimator)
        return active

    def _check_kind(self, name, estimator):
        check_kind(self, estimator, f"estimators: member {name!r}")

    def _make_members(self, y, target, params, prefit):
        """Return the members with the arguments of their fits."""
        members = []
        for name, estimator in self._validate_estimators():
            own_y, own_target = member_target(estimator, y, target)
            frozen, method = prefit or is_frozen(estimator), self._method(name, estimator)
            members.append(Member(name, estimator, own_target, method, own_y, params[name], frozen))
        check_frozen(members)
        return members

    def _read_classes(self, y, *, prefit=False):
        """Return y and its target, whose classes include those known only to fitted members."""
        y, target = read_classes(y)
        if target.kind == "classes":
            classes = target.classes
            for name, estimator in self._validate_estimators():
                if (prefit or is_frozen(estimator)) and is_classifier(estimator) and hasattr(estimator, "classes_"):
                    classes = join_classes(classes, estimator.classes_, name)
            target = Target("classes", classes)
        return y, target

    def _fit_members(self, X, y, target, params, *, prefit=False, refit=True, out_of_fold=True):
        """Fit the members; if ``out_of_fold``, also predict each row by models that were not fitted on it."""
        members, splits, covered = self._make_members(y, target, params, prefit), [], None
        if out_of_fold:
            (X,) = indexable(X)
            all_fitted = all(member.frozen for member in members)
            splits = one_split(X) if all_fitted else make_splits(self.cv, X, y, target, params["cv"])
            covered = find_covered(splits, len(y))
        fitted, predictions = fit_members(members, X, splits, refit=refit, n_jobs=self.n_jobs, verbose=self.verbose)
        return FittedMembers(members, fitted, splits, predictions, covered)

    def _keep(self, fit, results):
        """Set all fitted attributes at once, so that an interrupted fit changes nothing."""
        by_name = {member.name: estimator for member, estimator in zip(fit.members, fit.estimators, strict=True)}
        for name in STALE:
            vars(self).pop(name, None)
        vars(self).update(results)
        self.named_estimators_ = Bunch(**{name: by_name.get(name, "drop") for name, _ in self.estimators})
        named = [one.feature_names_in_ for one in fit.estimators if hasattr(one, "feature_names_in_")]
        if named:
            self.feature_names_in_ = named[0]
        self._names = [member.name for member in fit.members]
        self._targets = [member.target for member in fit.members]
        self.estimators_ = fit.estimators

    # -- metadata ------------------------------------------------------------------------------------------------------

    def _route(self, fit_params):
        """Return the arguments of each member's fit and of ``cv.split``, by name."""
        active = self._validate_estimators()
        if _routing_enabled():
            routed = process_routing(self, "fit", **fit_params)
            params = {name: routed[name].fit for name, _ in active}
            return {**params, "cv": (routed.get("cv") or {}).get("split", {})}
        unknown = sorted(fit_params.keys() - {"sample_weight", "groups"})
        if unknown:
            raise TypeError(
                f"{type(self).__name__}.fit takes X, y, sample_weight and groups, got {unknown} as well: call "
                "sklearn.set_config(enable_metadata_routing=True) to pass other metadata to members"
            )
        groups = fit_params.get("groups")
        params = {"cv": {} if groups is None else {"groups": groups}}
        return params | self._spread_weights(active, fit_params.get("sample_weight"))

    def _spread_weights(self, active, sample_weight):
        """Return the arguments with sample weights for each member, by its name."""
        if sample_weight is None:
            return {name: {} for name, _ in active}
        keywords = {name: weight_keyword(estimator) for name, estimator in active}
        unweighted = [f"member {name!r}" for name, estimator in active if not (keywords[name] or is_frozen(estimator))]
        if unweighted:
            warn_of_unweighted(unweighted)
        return {name: {keyword: sample_weight} if keyword else {} for name, keyword in keywords.items()}

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata to the members and the splitter.

        Returns
        -------
        routing : MetadataRouter
            ``fit`` passes on the metadata requested by ``fit`` of the members and by ``split`` of the splitter.
        """
        check_pairs(self.estimators)
        router = MetadataRouter(owner=self)
        for name, estimator in self.estimators:
            router.add(**{name: estimator}, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        if hasattr(self.cv, "get_metadata_routing"):
            router.add(cv=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        return router

    # -- predictions and insight ---------------------------------------------------------------------------------------

    def _predict_members(self, X, method, *, finite=True):
        """Return the predictions of each member; ``method`` is one name for all, or a list with one per member."""
        check_is_fitted(self)
        methods = [method] * len(self.estimators_) if isinstance(method, str) else method
        how = {"finite": finite, "verbose": self.verbose}
        return predict_members(self.estimators_, self._names, X, methods, self._targets, **how)

    def _member_outputs(self, X):
        return self._target.flatten(self.predict_members(X))

    def _oof_outputs(self):
        return None

    def _mean_weights(self):
        return None

    def _pool(self, outputs):
        return average(outputs, self._mean_weights())

    def predict_uncertainty(self, X) -> Bunch:
        """Return measures of uncertainty for each row.

        Parameters
        ----------
        X : array-like
            As in ``fit``.

        Returns
        -------
        uncertainty : Bunch
            For classifiers, ``entropy`` and ``mutual_information`` in nats, (n,) each, or (n, labels) for multilabel
            targets. ``entropy`` is that of the members' mean; in a vote, that of ``predict_proba`` (with
            ``voting="geometric"``, of the geometric mean). ``mutual_information`` is the entropy of the members'
            arithmetic mean minus the mean of their entropies: the part that is due to disagreement. Both means are
            weighted in a vote. Members of a hard vote are treated as certain. For regressors, ``std``, the (weighted)
            standard deviation of the members, (n,), in the units of y.

        Notes
        -----
        The entropy indicates rows that are predicted incorrectly; the mutual information indicates rows unlike the
        training data.
        """
        check_is_fitted(self)
        outputs = self._member_outputs(X)
        if not is_classifier(self):
            return Bunch(std=weighted_std(outputs, self._mean_weights()))
        shape = (-1,) if self._target.kind == "classes" else (-1, self._target.width)
        return Bunch(
            entropy=entropy(self._pool(outputs)).reshape(shape),
            mutual_information=mutual_information(outputs, self._mean_weights()).reshape(shape),
        )

    def diversity(self, X=None) -> Bunch:
        """Return measures of the difference of each pair of members.

        Parameters
        ----------
        X : array-like, default=None
            Rows on which the members are compared; None uses the out-of-fold predictions of ``fit``, if there are any.

        Returns
        -------
        diversity : Bunch
            ``names``, a list; ``disagreement`` (members, members), the fraction of rows (or labels) on which two
            classifiers differ, or the root mean squared difference of two regressors; ``correlation``
            (members, members) of all predictions, probabilities if there are any; NaN for a member that is constant.
        """
        check_is_fitted(self)
        outputs = self._oof_outputs() if X is None else self._member_outputs(X)
        if outputs is None:
            raise ValueError(
                "diversity() without X requires out-of-fold predictions, but fit made or stored none (see store_oof): "
                "pass rows, diversity(X)"
            )
        pairs = disagreement(outputs.argmax(axis=-1)) if is_classifier(self) else distance(outputs)
        return Bunch(names=list(self._names), disagreement=pairs, correlation=correlation(outputs))


def check_pairs(pairs):
    """Raise an error unless ``estimators`` is a list of pairs (name, estimator)."""
    if not pairs:
        raise ValueError("estimators must be a non-empty list of pairs (name, estimator), got an empty list")
    for position, pair in enumerate(pairs):
        if isinstance(pair, tuple | list) and len(pair) == 2:
            continue
        got, example = repr(pair), "('name', estimator)"
        if hasattr(pair, "get_params"):
            got = type(pair).__name__
            example = f"({got.lower()!r}, {got}())"
        raise ValueError(
            f"estimators must be a list of pairs (name, estimator), got {got} at position {position}: "
            f"name each member, as in {example}"
        )


def warn_of_unweighted(names):
    """Warn that members are fitted without sample weights."""
    warn(f"fitted without sample_weight, which they do not take: {', '.join(names)}", SampleWeightIgnoredWarning)


def normalized_weights(sample_weight, covered):
    """Return the weights, with sum 1, of the rows that are predicted out of fold, (rows,)."""
    weight = check_weights(sample_weight, len(covered))
    weight = np.ones(covered.sum()) if weight is None else weight[covered]
    if not weight.any():
        raise ValueError("sample_weight must have a positive value among the rows that cv predicts, got only zeros")
    return weight / weight.sum()
