"""What a stack of classifiers and one of regressors share."""

from __future__ import annotations

import numpy as np
from sklearn.base import TransformerMixin, clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.metadata_routing import MethodMapping, _routing_enabled, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_method_params,
    check_consistent_length,
    check_is_fitted,
)

from .._coded import fit_model
from .._sample_weight import weight_keyword
from ._base_ensemble import BaseEnsemble, row_shares
from ._final import lean_on_members, leave_members_out
from ._members import answers, fit_members, is_frozen, naming
from ._oof import find_covered, join_folds, join_votes, make_splits, whole
from ._passthrough import join_columns, pass_through, passed_names
from ._votes import as_questions, one_hot

METHODS = ["predict_proba", "decision_function", "predict"]  # in the order of what they tell


def final_has(method):
    """Whether the final estimator, fitted or not, has a method."""

    def check(stack):
        final = vars(stack).get("final_estimator_", stack.final_estimator)
        return final is None or hasattr(final, method)

    return check


class BaseStacking(BaseEnsemble, TransformerMixin):
    """Members whose predictions, made out of fold, are what a final estimator learns from."""

    _parameter_constraints: dict = {
        "passthrough": ["boolean", callable, str, int, slice, "array-like"],
        "refit": ["boolean"],
        "store_oof": ["boolean"],
    }

    def _fit(self, X, y, target, fit_params, **results):
        check_consistent_length(X, y)
        self._check_consent()
        params = self._route(fit_params)
        final = self._make_final(target)
        members = self._make_members(y, target, params, prefit=self._is_prefit(), methods=self._method)
        (X,) = indexable(X)
        splits = whole(X) if self._is_prefit() else make_splits(self.cv, X, y, target, params["cv"])
        covered = find_covered(splits, len(y))
        passed = pass_through(X, self.passthrough)
        fitted, said = fit_members(members, X, splits, refit=self.refit, n_jobs=self.n_jobs)
        blocks = [join_answers(member, one, splits, len(y)) for member, one in zip(members, said, strict=True)]
        results |= {
            "_target": target,
            "_n_feature_outs": [block.shape[1] for block in blocks],
            "_n_passed": 0 if passed is None else passed.shape[1],
            "stack_method_": [member.method for member in members],
        }
        oof = np.hstack(blocks)
        results |= {"oof_predictions_": oof} if self.store_oof else {}
        features = _safe_indexing(join_columns(oof, passed), covered)
        final_params = _check_method_params(X, params["final_estimator_"], indices=np.flatnonzero(covered))
        shares = row_shares(fit_params.get("sample_weight"), covered)
        context = (results["_n_feature_outs"], y[covered], target, shares, final_params)
        self._keep(members, fitted, results | fit_final(final, features, *context))
        return self

    # -- parameters ----------------------------------------------------------------------------------------------------

    def _is_prefit(self):
        return isinstance(self.cv, str) and self.cv == "prefit"

    def _check_consent(self):
        """Fitted members are wanted with ``cv="prefit"``, and with nothing else."""
        if self._is_prefit():
            if not self.refit:
                raise ValueError("refit=False keeps the models of the folds, and cv='prefit' makes none")
            return
        for name, estimator in self._validate_estimators():
            last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
            if is_frozen(last):
                raise ValueError(
                    f"estimators: member {name!r} is a FrozenEstimator, which cv={self.cv!r} cannot fit anew in each "
                    "fold: what it says of rows that it has seen would mislead the final estimator. With cv='prefit' "
                    "you say that X and y are rows that no member has seen"
                )

    def _make_final(self, target):
        if isinstance(self.final_estimator, type):
            kind = self.final_estimator.__name__
            raise TypeError(f"final_estimator must be an instance, such as {kind}(), got the class")
        final = self._default_final(target) if self.final_estimator is None else clone(self.final_estimator)
        wanted, fits = ("classifier", is_classifier) if is_classifier(self) else ("regressor", is_regressor)
        if not fits(final):
            raise ValueError(f"final_estimator must be a {wanted}, got {final!r}")
        return final

    def _choose_method(self, name, estimator, wanted):
        """The method that a member is asked by."""
        methods = METHODS if wanted == "auto" else [wanted]
        for method in methods:
            if hasattr(estimator, method):
                return method
        raise ValueError(
            f"estimators: member {name!r} has no {' or '.join(methods)}, which stack_method={wanted!r} needs: "
            f"{estimator!r}"
        )

    # -- metadata ------------------------------------------------------------------------------------------------------

    def _route(self, fit_params):
        params = super()._route(fit_params)
        if _routing_enabled():
            final_params = process_routing(self, "fit", **fit_params)["final_estimator_"].fit
            return {**params, "final_estimator_": final_params}
        weight, final = fit_params.get("sample_weight"), self.final_estimator
        keyword = None if weight is None else "sample_weight" if final is None else weight_keyword(final)
        if weight is not None and keyword is None:
            self._warn_of_weights(["final_estimator"])
        return {**params, "final_estimator_": {keyword: weight} if keyword else {}}

    def get_metadata_routing(self):
        """How metadata reach the members, the splitter and the final estimator.

        Returns
        -------
        routing : MetadataRouter
            Of ``fit``: what the ``fit`` of members and final estimator and the splitter's ``split`` ask for; the
            default final estimator asks for ``sample_weight``. Of ``predict``: what the final estimator's ``predict``
            asks for.
        """
        router = super().get_metadata_routing()
        final = self.final_estimator
        if final is None and _routing_enabled():  # as in scikit-learn, the default one gets the weights of the rows
            final = LogisticRegression().set_fit_request(sample_weight=True)
        mapping = MethodMapping().add(caller="fit", callee="fit").add(caller="predict", callee="predict")
        return router.add(final_estimator_=final, method_mapping=mapping)

    # -- prediction ----------------------------------------------------------------------------------------------------

    def _ask(self, X):
        """The members' columns, a list of (n, columns)."""
        said = answers(self.estimators_, self._names, X, self.stack_method_, self._targets)
        members = zip(said, self.stack_method_, self._targets, strict=True)
        return [as_columns(one, method, target) for one, method, target in members]

    def fit_transform(self, X, y=None, **fit_params):
        """``fit``, then ``transform`` of the same rows: what the fitted members say, not what was said out of fold.

        Parameters
        ----------
        X, y, **fit_params
            As in ``fit``.

        Returns
        -------
        columns : ndarray or sparse matrix of shape (n, columns)
        """
        return self.fit(X, y, **fit_params).transform(X)

    def transform(self, X):
        """What the final estimator sees: the members' predictions, and what is passed through.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        columns : ndarray or sparse matrix of shape (n, columns)
        """
        check_is_fitted(self)
        return join_columns(np.hstack(self._ask(X)), pass_through(X, self.passthrough))

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X, if it came without.

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        prefix, names = type(self).__name__.lower(), []
        for name, width in zip(self._names, self._n_feature_outs, strict=True):
            names += [f"{prefix}_{name}"] if width == 1 else [f"{prefix}_{name}{column}" for column in range(width)]
        plain = self.passthrough is False
        of_X = _check_feature_names_in(self, input_features, generate_names=not plain)
        if not plain:
            names += passed_names(self.passthrough, of_X, self._n_passed)
        return np.array(names, dtype=object)

    @available_if(final_has("predict"))
    def predict(self, X, **predict_params):
        """What the final estimator predicts.

        Parameters
        ----------
        X : array-like of shape (n, ...)
        **predict_params : dict
            Handed to the final estimator's ``predict``, such as ``return_std``; with metadata routing, what it asks
            for.

        Returns
        -------
        y : ndarray of shape (n,) or (n, labels)
        """
        check_is_fitted(self)
        if _routing_enabled():
            predict_params = process_routing(self, "predict", **predict_params)["final_estimator_"].predict
        return self.final_estimator_.predict(self.transform(X), **predict_params)

    # -- insight -------------------------------------------------------------------------------------------------------

    def _mean_weights(self):
        return None

    def _oof_members(self):
        oof = vars(self).get("oof_predictions_")
        if oof is None:
            return None
        blocks = np.split(oof[~np.isnan(oof[:, 0])], np.cumsum(self._n_feature_outs)[:-1], axis=1)
        return self._as_members(blocks)

    def _ask_members(self, X):
        return self._as_members(self._ask(X))


def fit_final(final, features, widths, y, target, shares, params):
    """Fit the final estimator, and see what each member is to it; the attributes that come of it."""
    with naming("final_estimator"):
        final = fit_model(final, features, y, params, classes=target.kind == "classes")
    lean = lean_on_members(final, features, widths)
    return {
        "final_estimator_": final,
        "contributions_": leave_members_out(final, features, widths, y, target, shares, params),
        **({} if lean is None else {"weights_": lean}),
    }


def join_answers(member, said, splits, n):
    """A member's out-of-fold answers as columns (n, columns); classes that are predicted several times are voted."""
    if member.method != "predict" or member.target.kind == "values":
        joined = join_folds(said, splits, n)
    elif member.target.kind == "multilabel":
        shares = join_folds(said, splits, n)
        joined = np.where(np.isnan(shares), np.nan, shares > 0.5)
    else:
        votes = join_votes(said, splits, n, member.target.width)
        joined = np.where(np.diff(votes.indptr) == 0, np.nan, np.asarray(votes.argmax(axis=1)).ravel())
    return as_columns(joined, member.method, member.target)


def as_columns(said, method, target):
    """An answer as columns; of two probabilities the second one says all."""
    if said.ndim == 1:
        return said[:, None]
    if method == "predict_proba" and target.kind == "classes" and target.width == 2:
        return said[:, 1:]
    return said


def columns_to_probabilities(columns, target):
    """Probabilities (n, classes), or of questions (n * labels, 2), from a member's columns."""
    if target.kind == "multilabel":
        return as_questions(columns)
    return np.hstack([1 - columns, columns]) if target.width == 2 else columns


def columns_to_codes(columns, method, target):
    """The classes that a member's columns mean: (n,), or of several labels (n * labels,)."""
    if target.kind == "multilabel":
        return (columns > (0 if method == "decision_function" else 0.5)).astype(np.intp).ravel()
    if method == "predict":  # codes; of a regressor the nearest one
        return np.clip(np.rint(columns[:, 0]), 0, target.width - 1).astype(np.intp)
    if columns.shape[1] == 1:
        return (columns[:, 0] > (0 if method == "decision_function" else 0.5)).astype(np.intp)
    if columns.shape[1] != target.width:
        raise ValueError(f"{columns.shape[1]} decision values by pair do not tell which of {target.width} classes")
    return columns.argmax(axis=1)


def columns_to_votes(blocks, methods, target):
    """Members as (members, rows, classes): probabilities if all have them, else votes."""
    if all(method == "predict_proba" for method in methods):
        return np.stack([columns_to_probabilities(block, target) for block in blocks])
    codes = [columns_to_codes(block, method, target) for block, method in zip(blocks, methods, strict=True)]
    return one_hot(np.stack(codes), 2 if target.kind == "multilabel" else target.width)
