"""What votes and stacks share: which members there are, what their fits get, and how they differ."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.validation import check_is_fitted

from .._naming import NamesItsMethods
from .._sample_weight import check_weights, weight_keyword
from .._warnings import SampleWeightIgnoredWarning, warn
from ._diversity import correlation, disagreement, distance, entropy, mutual_information, weighted_std
from ._members import Member, check_frozen, is_frozen, member_target
from ._target import Target, join_classes, read_classes
from ._votes import average

# Attributes that not every fit sets.
STALE = ("oof_predictions_", "contributions_", "weights_", "weights_accepted_", "temperatures_", "feature_names_in_")


class BaseEnsemble(NamesItsMethods):
    """Members, metadata and insight; a mixin before one of scikit-learn's ensembles."""

    # -- members -------------------------------------------------------------------------------------------------------

    def _validate_estimators(self):
        """The names and estimators that are not dropped, or an error that names the member at fault."""
        pairs = self.estimators
        check_pairs(pairs)
        names = [name for name, _ in pairs]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"estimators: names must be strings, got {names!r}")
        self._validate_names(names)
        active = [(name, estimator) for name, estimator in pairs if not is_dropped(estimator)]
        if not active:
            raise ValueError("estimators: all are dropped, at least one must be an estimator")
        for name, estimator in active:
            self._check_kind(name, estimator)
        return active

    def _check_kind(self, name, estimator):
        if isinstance(estimator, type):
            raise TypeError(
                f"estimators: member {name!r} must be an instance, such as {estimator.__name__}(), got the class"
            )
        wanted, fits = ("classifier", is_classifier) if is_classifier(self) else ("regressor", is_regressor)
        if not (hasattr(estimator, "fit") and fits(estimator)):
            raise ValueError(f"estimators: member {name!r} must be a {wanted}, got {estimator!r}")

    def _make_members(self, y, target, params, *, prefit, methods):
        """The members with all that their fits need; ``methods(name, estimator)`` says how each is asked."""
        members, verbose = [], getattr(self, "verbose", False)
        for position, (name, estimator) in enumerate(active := self._validate_estimators()):
            own_y, own_target = member_target(estimator, y, target)
            message = f"({position + 1} of {len(active)}) Processing {name}" if verbose else None
            frozen = prefit or is_frozen(estimator)
            method = methods(name, estimator)
            members.append(Member(name, estimator, own_target, method, own_y, params[name], frozen, message))
        check_frozen(members)
        return members

    def _read_classes(self, y, *, prefit):
        """y and its target; the classes that fitted members know besides are classes of the ensemble too."""
        y, target = read_classes(y)
        if target.kind == "classes":
            classes = target.classes
            for name, estimator in self._validate_estimators():
                if (prefit or is_frozen(estimator)) and is_classifier(estimator) and hasattr(estimator, "classes_"):
                    classes = join_classes(classes, estimator.classes_, name)
            target = Target("classes", classes)
        return y, target

    # -- metadata ------------------------------------------------------------------------------------------------------

    def _route(self, fit_params):
        """The parameters of each member's fit and of ``cv.split``, by name."""
        active = self._validate_estimators()
        if _routing_enabled():
            routed = process_routing(self, "fit", **fit_params)
            params = {name: routed[name].fit for name, _ in active}
            return {**params, "cv": (routed.get("cv") or {}).get("split", {})}
        unknown = sorted(fit_params.keys() - {"sample_weight", "groups"})
        if unknown:
            raise TypeError(
                f"{type(self).__name__}.fit takes X, y, sample_weight and groups, got {unknown} as well: with "
                "sklearn.set_config(enable_metadata_routing=True) members can ask for more"
            )
        groups = fit_params.get("groups")
        params = {"cv": {} if groups is None else {"groups": groups}}
        return params | self._spread_weights(active, fit_params.get("sample_weight"))

    def _spread_weights(self, active, sample_weight):
        if sample_weight is None:
            return {name: {} for name, _ in active}
        keywords = {name: weight_keyword(estimator) for name, estimator in active}
        deaf = [f"member {name!r}" for name, estimator in active if not (keywords[name] or is_frozen(estimator))]
        if deaf:
            self._warn_of_weights(deaf)
        return {name: {keyword: sample_weight} if keyword else {} for name, keyword in keywords.items()}

    def _warn_of_weights(self, deaf):
        warn(f"fitted without sample_weight, which they do not take: {', '.join(deaf)}", SampleWeightIgnoredWarning)

    def get_metadata_routing(self) -> MetadataRouter:
        """How metadata reach the members and the splitter.

        Returns
        -------
        routing : MetadataRouter
            Of ``fit``: what the members' ``fit`` and the splitter's ``split`` ask for.
        """
        check_pairs(self.estimators)
        router = MetadataRouter(owner=self)
        for name, estimator in self.estimators:
            router.add(**{name: estimator}, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        if hasattr(self.cv, "get_metadata_routing"):
            router.add(cv=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        return router

    # -- results -------------------------------------------------------------------------------------------------------

    def _keep(self, members, fitted, results):
        """Set all that was learned at once, so that an interrupted fit changes nothing."""
        fitted = list(fitted)
        by_name = {member.name: estimator for member, estimator in zip(members, fitted, strict=True)}
        for name in STALE:
            vars(self).pop(name, None)
        vars(self).update(results)
        self.named_estimators_ = Bunch(**{name: by_name.get(name, "drop") for name, _ in self.estimators})
        named = [estimator.feature_names_in_ for estimator in fitted if hasattr(estimator, "feature_names_in_")]
        if named:
            self.feature_names_in_ = named[0]
        self._names = [member.name for member in members]
        self._targets = [member.target for member in members]
        self.estimators_ = fitted

    # -- insight -------------------------------------------------------------------------------------------------------

    def predict_uncertainty(self, X) -> Bunch:
        """How unsure the members are about each row, and how far they differ.

        Parameters
        ----------
        X : array-like
            As in ``fit``.

        Returns
        -------
        uncertainty : Bunch
            For classifiers ``entropy`` and ``mutual_information`` in nats, (n,) each, or (n, labels) where rows have
            several labels. ``entropy`` is that of the members' mean; in a vote, that of ``predict_proba``, so of the
            geometric mean with ``voting="geometric"``. ``mutual_information`` is the entropy of the arithmetic mean of
            the members less the mean of their entropies: the part that comes from members that contradict each other.
            Both means have the weights of a vote. Members that only vote count as certain. For regressors ``std``, the
            standard deviation of the members (weighted in a vote), (n,), in the units of y.

        Notes
        -----
        Rows that are wrong stand out by the entropy; rows unlike the training data by the mutual information.
        """
        check_is_fitted(self)
        said = self._ask_members(X)
        if not is_classifier(self):
            return Bunch(std=weighted_std(said, self._mean_weights()))
        whole, between = entropy(self._pool(said)), mutual_information(said, self._mean_weights())
        shape = (-1,) if self._target.kind == "classes" else (-1, self._target.width)
        return Bunch(entropy=whole.reshape(shape), mutual_information=between.reshape(shape))

    def _pool(self, said):
        """The members' probabilities as one, (rows, classes)."""
        return average(said, self._mean_weights())

    def diversity(self, X=None) -> Bunch:
        """How members differ by pair.

        Parameters
        ----------
        X : array-like, default=None
            Rows to compare the members on; None: the out-of-fold predictions of ``fit``, where there are any.

        Returns
        -------
        diversity : Bunch
            ``names``, a list; ``disagreement`` (members, members), the share of rows (or labels) on which two
            classifiers differ, or the root mean squared difference of two regressors; ``correlation``
            (members, members) of all that they say, probabilities if there are any, NaN for a member that is constant.
        """
        check_is_fitted(self)
        said = self._oof_members() if X is None else self._ask_members(X)
        if said is None:
            raise ValueError(
                "diversity() without X needs out-of-fold predictions, and this fit made or kept none (store_oof=True "
                "keeps them): give it rows, diversity(X)"
            )
        pairs = disagreement(said.argmax(axis=-1)) if is_classifier(self) else distance(said)
        return Bunch(names=list(self._names), disagreement=pairs, correlation=correlation(said))


def check_pairs(pairs):
    """Refuse members without a name."""
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


def row_shares(sample_weight, covered):
    """How much each of the rows that are predicted out of fold counts in what is learned, of sum 1."""
    weight = check_weights(sample_weight, len(covered))
    shares = np.ones(covered.sum()) if weight is None else weight[covered]
    if not shares.any():
        raise ValueError("sample_weight must have a positive value among the rows that cv predicts, got zeros only")
    return shares / shares.sum()


def is_dropped(estimator):
    """Whether a member is left out."""
    return isinstance(estimator, str) and estimator == "drop"
