"""The base class of stacks: their fit, and the columns for the final estimator."""

from __future__ import annotations

import numpy as np
from sklearn.base import TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
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
from ._base_ensemble import BaseEnsemble, normalized_weights, warn_of_unweighted
from ._final import contributions_to_final, member_importances
from ._member_columns import as_columns, join_columns_of_folds
from ._members import check_kind, is_frozen, naming
from ._passthrough import join_columns, pass_through, passed_names


def final_has(method):
    """Return a function that checks if the final estimator, fitted or not, has a method."""

    def check(stack):
        final = vars(stack).get("final_estimator_", stack.final_estimator)
        return final is None or hasattr(final, method)

    return check


class BaseStacking(BaseEnsemble, TransformerMixin):
    """Base class of stacks.

    In addition to the hooks of :class:`BaseEnsemble`, subclasses define:

    - ``_default_final(target)``: the default final estimator;
    - ``_stack_blocks(blocks) -> ndarray``: the members' columns as one array, as in ``_member_outputs``.
    """

    _parameter_constraints: dict = {
        "passthrough": ["boolean", callable, str, int, slice, "array-like"],
        "refit": ["boolean"],
        "store_oof": ["boolean"],
    }

    def _fit(self, X, y, target, fit_params, **results):
        check_consistent_length(X, y)
        self._check_frozen_members()
        params = self._route(fit_params)
        final = self._make_final(target)
        passed = pass_through(X, self.passthrough)
        fit = self._fit_members(X, y, target, params, prefit=self._is_prefit(), refit=self.refit)
        both = zip(fit.members, fit.predictions, strict=True)
        blocks = [join_columns_of_folds(member, one, fit.splits, len(y)) for member, one in both]
        widths, oof = [block.shape[1] for block in blocks], np.hstack(blocks)
        results |= {
            "_target": target,
            "_n_feature_outs": widths,
            "_n_passed": 0 if passed is None else passed.shape[1],
            "stack_method_": [member.method for member in fit.members],
        }
        results |= {"oof_predictions_": oof} if self.store_oof else {}
        rows = np.flatnonzero(fit.covered)
        features = _safe_indexing(join_columns(oof, passed), rows)
        final_params = _check_method_params(X, params["final_estimator_"], indices=rows)
        row_weights = normalized_weights(fit_params.get("sample_weight"), fit.covered)
        results |= fit_final(final, features, widths, y[fit.covered], target, row_weights, final_params)
        self._keep(fit, results)
        return self

    # -- parameters ----------------------------------------------------------------------------------------------------

    def _is_prefit(self):
        return isinstance(self.cv, str) and self.cv == "prefit"

    def _check_frozen_members(self):
        """Raise an error for frozen members without ``cv="prefit"``."""
        if self._is_prefit():
            if not self.refit:
                raise ValueError("refit=False cannot be combined with cv='prefit', which fits no folds: use refit=True")
            return
        for name, estimator in self._validate_estimators():
            last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
            if is_frozen(last):
                raise ValueError(
                    f"estimators: member {name!r} is a FrozenEstimator, which cv={self.cv!r} cannot fit again in each "
                    "fold; predictions for its own training rows would mislead the final estimator. If no member was "
                    "fitted on the rows of X and y, pass cv='prefit'"
                )

    def _make_final(self, target):
        if self.final_estimator is not None:
            check_kind(self, self.final_estimator, "final_estimator")
            return clone(self.final_estimator)
        return self._default_final(target)

    # -- metadata ------------------------------------------------------------------------------------------------------

    def _route(self, fit_params):
        params = super()._route(fit_params)
        if _routing_enabled():
            final_params = process_routing(self, "fit", **fit_params)["final_estimator_"].fit
            return {**params, "final_estimator_": final_params}
        weight, final = fit_params.get("sample_weight"), self.final_estimator
        if weight is None:
            return {**params, "final_estimator_": {}}
        keyword = "sample_weight" if final is None else weight_keyword(final)
        if keyword is None:
            warn_of_unweighted(["final_estimator"])
        return {**params, "final_estimator_": {keyword: weight} if keyword else {}}

    def get_metadata_routing(self):
        """Return the routing of metadata to the members, the splitter and the final estimator.

        Returns
        -------
        routing : MetadataRouter
            ``fit`` passes on the metadata requested by ``fit`` of the members and the final estimator and by ``split``
            of the splitter; the default final estimator requests ``sample_weight``. ``predict`` passes on those
            requested by ``predict`` of the final estimator.
        """
        router = super().get_metadata_routing()
        final = self.final_estimator
        if final is None and _routing_enabled():  # as in scikit-learn, the default final estimator gets sample weights
            final = LogisticRegression().set_fit_request(sample_weight=True)
        mapping = MethodMapping().add(caller="fit", callee="fit").add(caller="predict", callee="predict")
        return router.add(final_estimator_=final, method_mapping=mapping)

    # -- prediction ----------------------------------------------------------------------------------------------------

    def _member_blocks(self, X):
        """Return the columns of each member, a list of (n, columns)."""
        check_is_fitted(self)
        predictions = self._predict_members(X, self.stack_method_)
        members = zip(predictions, self.stack_method_, self._targets, strict=True)
        return [as_columns(one, method, target) for one, method, target in members]

    def fit_transform(self, X, y=None, **fit_params):
        """Fit, then transform the same rows by the fitted members, not by the out-of-fold predictions.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            As in ``fit``.
        y : array-like of shape (n,)
            As in ``fit``.
        **fit_params : dict
            As in ``fit``.

        Returns
        -------
        columns : ndarray or sparse matrix of shape (n, columns)
            The columns.
        """
        return self.fit(X, y, **fit_params).transform(X)

    def transform(self, X):
        """Return the input of the final estimator: the members' predictions, and columns that are passed through.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to transform.

        Returns
        -------
        columns : ndarray or sparse matrix of shape (n, columns)
            The columns.
        """
        return join_columns(np.hstack(self._member_blocks(X)), pass_through(X, self.passthrough))

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X, if ``fit`` was not given any.

        Returns
        -------
        names : ndarray of str objects
            Names of the columns.
        """
        check_is_fitted(self)
        prefix, names = type(self).__name__.lower(), []
        for name, width in zip(self._names, self._n_feature_outs, strict=True):
            names += [f"{prefix}_{name}{column}" for column in ([""] if width == 1 else range(width))]
        passes = self.passthrough is not False
        of_X = _check_feature_names_in(self, input_features, generate_names=passes)
        if passes:
            names += passed_names(self.passthrough, of_X, self._n_passed)
        return np.array(names, dtype=object)

    @available_if(final_has("predict"))
    def predict(self, X, **predict_params):
        """Return the predictions of the final estimator.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows to predict.
        **predict_params : dict
            Passed to ``predict`` of the final estimator, such as ``return_std``; with metadata routing, those that it
            requests.

        Returns
        -------
        y : ndarray of shape (n,) or (n, labels)
            Predicted labels or values.
        """
        check_is_fitted(self)
        if _routing_enabled():
            predict_params = process_routing(self, "predict", **predict_params)["final_estimator_"].predict
        return self.final_estimator_.predict(self.transform(X), **predict_params)

    # -- insight -------------------------------------------------------------------------------------------------------

    def _oof_outputs(self):
        oof = vars(self).get("oof_predictions_")
        if oof is None:
            return None
        blocks = np.split(oof[~np.isnan(oof[:, 0])], np.cumsum(self._n_feature_outs)[:-1], axis=1)
        return self._stack_blocks(blocks)

    def _member_outputs(self, X):
        return self._stack_blocks(self._member_blocks(X))


def fit_final(final, features, widths, y, target, row_weights, params):
    """Fit the final estimator, and return it and the importance of the members as fitted attributes."""
    with naming("final_estimator"):
        final = fit_model(final, features, y, params, classes=target.kind == "classes")
    importances = member_importances(final, features, widths)
    return {
        "final_estimator_": final,
        "contributions_": contributions_to_final(final, features, widths, y, target, row_weights, params),
        **({} if importances is None else {"weights_": importances}),
    }
