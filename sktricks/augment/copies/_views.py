"""Views for test-time augmentation: drawn once, and the same for every row.

A *view* is a plan (:mod:`._plan`) for a single row, which is applied to all rows. Predictions for a row therefore do
not depend on the other rows of X, and a frozen net encodes each view of a row only once. Steps that mix rows are
skipped.
"""

from __future__ import annotations

import numpy as np

from ..._warnings import ViewsIgnoredWarning, warn
from .._plan import apply_plan


def draw_views(augmenter, rng, n_views, shape):
    """Draw ``n_views`` views for images of ``shape`` (height, width, channels).

    Parameters
    ----------
    augmenter : augmenter or None
        If it is None or only mixes rows, there are no views.
    rng : Generator or list
        The result of ``augmenter._make_rng``.
    n_views : int
    shape : tuple of int

    Returns
    -------
    views : list of plans
    """
    if augmenter is None or n_views == 0:
        return []
    n_views = int(n_views)  # may be a bool
    plan = [(step, params) for step, params in augmenter._plan(rng, n_views, shape) if not step.mixes_rows]
    return [
        [(step, {name: values[view : view + 1] for name, values in params.items()}) for step, params in plan]
        for view in range(n_views if plan else 0)
    ]


def warn_of_ignored_views(estimator, augmenter, **is_ignored):
    """Warn of parameters that have no effect because there are no copies or views.

    Parameters
    ----------
    estimator : estimator
    augmenter : augmenter or None
        None, or an augmenter that only mixes rows.
    **is_ignored : bool
        True for the names of parameters that are ignored.
    """
    unused = [f"{name}={getattr(estimator, name)}" for name, ignored in is_ignored.items() if ignored]
    if not unused:
        return
    why, cure = "augmenter=None gives no views", "set an augmenter"
    if augmenter is not None:
        why = f"{type(augmenter).__name__} only mixes rows, which views skip"
        cure = "add an augmenter that changes rows"
    warn(
        f"{' and '.join(unused)} of {type(estimator).__name__} {'has' if len(unused) == 1 else 'have'} no effect, "
        f"because {why}: {cure}, such as RandomFlip()",
        ViewsIgnoredWarning,
    )


def check_keeps_values(augmenter, n_features):
    """Raise an error if an augmenter would change the codes of categories."""
    if augmenter is None:
        return
    plan = augmenter._plan(augmenter._make_rng(0), 2, (1, n_features, 1))
    others = sorted({type(step).__name__ for step, _ in plan if not step.keeps_values})
    if others:
        raise ValueError(
            f"augmenter must keep the values of X, which has categories, got {', '.join(others)}: use SwapNoise, "
            "CutMix or FeatureDropout(fill=0), or encode the categories first, with scikit-learn's OneHotEncoder"
        )


def check_keeps_columns(augmenter, n_features):
    """Raise an error if an augmenter changes the number of columns."""
    found = augmenter.output_shape((1, n_features, 1))
    if found != (1, n_features, 1):
        raise ValueError(
            f"augmenter must keep the {n_features} columns of a table with missing values or categories, got "
            f"{augmenter!r}, which returns {found[1]}: impute and encode X first, or remove the step that crops"
        )


def apply_view(view, images, value_range, n_jobs=None):
    """Apply a view to images (n, height, width, channels), and return new images of the same dtype."""
    n, shape = len(images), images.shape[1:]
    for step, _ in view:
        shape = step.output_shape(shape)
    plan = [(step, {name: np.repeat(values, n, axis=0) for name, values in params.items()}) for step, params in view]
    return apply_plan(plan, images, value_range, shape, n_jobs)
