"""Warn about frozen estimators, whose scores and probabilities are too good for rows that they were fitted on."""

from __future__ import annotations

from collections.abc import Mapping

from .._warnings import SeenRowsWarning, warn
from ..ensemble._members import is_frozen


def warn_of_seen_rows(estimators: Mapping[str, object]) -> None:
    """Warn if some of the estimators are frozen; a fit in a fold does not change them.

    Parameters
    ----------
    estimators : dict
        Estimators by name; the warning states the names.
    """
    frozen = [name for name, estimator in estimators.items() if is_frozen(estimator)]
    if frozen:
        warn(
            f"{', '.join(frozen)}: a FrozenEstimator is not fitted in the folds, so its results hold only if X has no "
            "row that it was fitted on. Pass the estimator itself otherwise",
            SeenRowsWarning,
        )
