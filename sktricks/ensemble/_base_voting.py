"""The base class of votes: their fit, and the choice of their weights."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_consistent_length

from .._threads import check_array
from ._base_ensemble import BaseEnsemble, check_pairs, normalized_weights
from ._learned_weights import greedy, learn_weights, leave_one_out
from ._members import is_dropped
from ._oof import as_array, join_folds

LEARNED = {"greedy", "simplex", "nnls"}


class BaseVoting(BaseEnsemble):
    """Base class of votes.

    In addition to the hooks of :class:`BaseEnsemble`, subclasses define:

    - ``_check_options()``: raise an error for parameters that cannot be combined;
    - ``_learn(oof, y, row_weights, target, fixed) -> dict``: the attributes that are learned out of fold.
    """

    _parameter_constraints: dict = {
        "weights": ["array-like", StrOptions(LEARNED), None],
        "prefit": ["boolean"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "store_oof": ["boolean"],
    }

    def _fit(self, X, y, target, fit_params, **results):
        check_consistent_length(X, y)
        self._check_options()
        check_pairs(self.estimators)
        weights = check_fixed_weights(self.weights, self.estimators)
        params = self._route(fit_params)
        fit = self._fit_members(X, y, target, params, prefit=self.prefit, out_of_fold=self._learns())
        results |= {"weights_": weights, "_target": target}
        if fit.splits:
            row_weights = normalized_weights(fit_params.get("sample_weight"), fit.covered)
            oof = [self._join(predictions, fit.splits, len(y), target) for predictions in fit.predictions]
            rows = [one[fit.covered] for one in oof]
            results |= self._learn(rows, y[fit.covered], row_weights, target, weights)
            if self.store_oof:
                results["oof_predictions_"] = np.stack([as_array(one, fit.covered) for one in oof])
        self._keep(fit, results)
        return self

    def _learns(self):
        """Return True if anything is learned from out-of-fold predictions."""
        return isinstance(self.weights, str)

    def _join(self, predictions, splits, n, target):
        """Join a member's predictions for the splits to one array or sparse matrix."""
        return join_folds(predictions, splits, n)

    def _learn_weights(self, losses, data, parts, fixed, score):
        """Return the weights, learned if requested, and the contributions of the members.

        ``data`` is the predictions, the true codes or values, and the row weights; ``score`` is the loss for
        ``scoring``.
        """
        loss = losses.judged(*data)
        if not isinstance(self.weights, str):
            return {"contributions_": leave_one_out(loss, fixed)}
        if self.scoring is not None:
            weights, accepted = greedy(score, len(data[0])), True
        else:
            weights, accepted = learn_weights(self.weights, losses, data, parts)
        return {
            "weights_": weights,
            "weights_accepted_": accepted,
            "contributions_": leave_one_out(loss, weights),
        }

    def _check_scoring(self):
        if self.scoring is not None and not (isinstance(self.weights, str) and self.weights == "greedy"):
            raise ValueError(f"scoring requires weights='greedy', got weights={self.weights!r}")

    def _mean_weights(self):
        return self.weights_

    def _oof_outputs(self):
        oof = getattr(self, "oof_predictions_", None)
        if oof is None:
            return None
        predicted = ~np.isnan(oof[0].reshape(oof.shape[1], -1)[:, 0])
        return self._target.flatten(oof[:, predicted])


def check_fixed_weights(weights, estimators):
    """Return the weights of the members that are not dropped, (members,) float64; ones if none are given."""
    in_use = np.array([not is_dropped(estimator) for _, estimator in estimators])
    if weights is None or isinstance(weights, str):
        return np.ones(in_use.sum())
    try:
        numbers = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"weights must be numbers, one per estimator, got {weights!r}") from None
    weights = check_array(numbers, ensure_2d=False, ensure_min_samples=0, allow_nd=True, input_name="weights")
    if weights.shape != in_use.shape:
        raise ValueError(
            f"weights must have one value per estimator, {len(in_use)}, got an array of shape {weights.shape}"
        )
    if weights.min() < 0:
        raise ValueError(f"weights must not be negative, got {weights.min()}")
    if not weights[in_use].any():
        raise ValueError("weights must have a positive value among the members used, got only zeros")
    return weights[in_use]
