"""Find estimators that split their rows, which may put copies of a row on both sides of the split.

Scores on held-out copies of training rows are too optimistic: a search selects an overfitted candidate, early stopping
stops too late, a calibration is overconfident. A group-aware splitter keeps copies together, because copies have the
``groups`` of their row.
"""

from __future__ import annotations

from inspect import signature

from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.multioutput import ClassifierChain, RegressorChain

STOPS_EARLY_ABOVE = 10_000  # rows: scikit-learn's threshold for early_stopping="auto"


def find_splits(estimator, n_rows, fit_params):
    """Return the parameters by which an estimator, or a part of it, splits its rows and ignores groups.

    Parameters
    ----------
    estimator : estimator
    n_rows : int
        Training rows, copies included.
    fit_params : dict
        Keyword arguments of its ``fit``.

    Returns
    -------
    splits : dict of str to str
        Parameters, such as ``"early_stopping=True of MLPClassifier"``, and cures, such as ``"early_stopping=False"``.
    """
    if not hasattr(estimator, "get_params"):
        return {}
    found, parts = {}, {name: value for name, value in estimator.get_params(deep=True).items() if is_part(value)}
    for name, owner in {"": estimator, **parts}.items():
        own = owner.get_params(deep=False)
        held_out = not name and "X_val" in fit_params  # early stopping then uses these validation rows
        for param, splits in SPLITS.items():
            if param in own and splits(owner, own, n_rows, held_out):
                found[f"{param}={own[param]!r} of {type(owner).__name__}"] = cure(param, estimator, owner)
    return found


def cure(param, estimator, owner):
    """Return the setting to recommend instead of a parameter that splits rows."""
    takes_rows = owner is estimator and "X_val" in signature(owner.fit).parameters
    if param == "early_stopping" and takes_rows:
        return "early_stopping=False, or X_val and y_val in fit"
    return CURES.get(param, f"{param}=False")


def is_part(value):
    """Return True if a parameter is an estimator, not an estimator class."""
    return hasattr(value, "get_params") and not isinstance(value, type)


def _cv_splits(owner, own, n_rows, held_out):
    if own["cv"] is None and isinstance(owner, ClassifierChain | RegressorChain):
        return False  # without cv, chains are trained on the true labels
    if own.get("prefit") or isinstance(own.get("estimator"), FrozenEstimator):
        return False
    if "weights" in own and not isinstance(own["weights"], str) and own.get("calibration") is None:
        return False  # voting with fixed weights needs no out-of-fold predictions
    return not (isinstance(own["cv"], GroupsConsumerMixin) or (isinstance(own["cv"], str) and own["cv"] == "prefit"))


def _stopping_splits(owner, own, n_rows, held_out):
    if held_out:
        return False
    return n_rows > STOPS_EARLY_ABOVE if own["early_stopping"] == "auto" else bool(own["early_stopping"])


def _patience_splits(owner, own, n_rows, held_out):
    return "early_stopping" not in own and "validation_fraction" in own and own["n_iter_no_change"] is not None


def _is_set(param):
    return lambda owner, own, n_rows, held_out: own[param] not in (False, None, "deprecated")


CURES = {
    "cv": "cv=GroupKFold() and fit(X, y, groups=np.arange(len(X))), where the estimator takes groups",
    "n_iter_no_change": "n_iter_no_change=None",
}

SPLITS = {
    "cv": _cv_splits,
    "early_stopping": _stopping_splits,
    "n_iter_no_change": _patience_splits,
    "oob_score": _is_set("oob_score"),
    "probability": _is_set("probability"),
}
