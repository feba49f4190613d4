"""What a vote of classifiers and one of regressors share: the fit, and where weights come from."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils import indexable
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_consistent_length

from .._threads import check_array
from ._base_ensemble import BaseEnsemble, check_pairs, is_dropped, row_shares
from ._learned_weights import greedy, keep_if_better, non_negative, normalize, simplex
from ._members import fit_members
from ._oof import as_array, find_covered, make_splits, whole

LEARNED = {"greedy", "simplex", "nnls"}


def check_fixed_weights(weights, estimators):
    """Weights of the members that are not dropped, (members,) float64; ones where none are given."""
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
            f"weights must be as many as there are estimators, {len(in_use)}, got an array of shape {weights.shape}"
        )
    if weights.min() < 0:
        raise ValueError(f"weights must not be negative, got {weights.min()}")
    if not weights[in_use].any():
        raise ValueError("weights must have a positive value among the members in use, got zeros only")
    return weights[in_use]


class BaseVoting(BaseEnsemble):
    """The fit that both votes share; a class says how predictions become a loss."""

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
        members = self._make_members(y, target, params, prefit=self.prefit, methods=self._method)
        splits = []
        if self._learns():
            (X,) = indexable(X)
            all_fitted = all(member.frozen for member in members)
            splits = whole(X) if all_fitted else make_splits(self.cv, X, y, target, params["cv"])
            covered = find_covered(splits, len(y))
        fitted, predictions = fit_members(members, X, splits, n_jobs=self.n_jobs)
        results |= {"weights_": weights, "_target": target}
        if splits:
            shares = row_shares(fit_params.get("sample_weight"), covered)
            oof = [self._join(said, splits, len(y), target) for said in predictions]
            results |= self._learn([one[covered] for one in oof], y[covered], shares, target, weights)
            if self.store_oof:
                results["oof_predictions_"] = np.stack([as_array(one, covered) for one in oof])
        self._keep(members, fitted, results)
        return self

    def _mean_weights(self):
        return self.weights_

    def _learns(self):
        return isinstance(self.weights, str)

    def _find_weights(self, losses_of, judges, members, truth, shares, parts):
        """Return the weights that ``weights`` asks for, and whether they were accepted.

        ``losses_of(rows)`` gives the loss that members are judged by, and the one that a convex solver minimises. Of
        the ``judges`` of all rows the first is to fall, the others are not to rise.
        """

        def learn(rows):
            judge, convex = losses_of(rows)
            if self.weights == "greedy":
                return greedy(judge, len(members))
            if self.weights == "simplex":
                return simplex(convex, len(members))
            return non_negative(members[:, rows], truth[rows], normalize(shares[rows]))

        return keep_if_better(learn, judges, len(members), parts)

    def _check_scoring(self):
        if self.scoring is not None and not (isinstance(self.weights, str) and self.weights == "greedy"):
            raise ValueError(f"scoring is what weights='greedy' looks at, got weights={self.weights!r}")

    def _oof_members(self):
        oof = getattr(self, "oof_predictions_", None)
        if oof is None:
            return None
        oof = oof[:, ~np.isnan(oof[0].reshape(oof.shape[1], -1)[:, 0])]
        return self._as_members(oof)
