"""Views: draws made once, and applied to every row alike.

A *view* is a plan (:mod:`._plan`) of a single row. The view of a row depends on that row only, so predictions do not
change with the other rows of X, and a frozen net encodes each view of a row only once. Steps that mix rows are left
out.
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
        Without one, or with one that only mixes rows, there are no views.
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
    n_views = int(n_views)  # True is one
    plan = [(step, params) for step, params in augmenter._plan(rng, n_views, shape) if not step.mixes_rows]
    return [
        [(step, {name: values[view : view + 1] for name, values in params.items()}) for step, params in plan]
        for view in range(n_views if plan else 0)
    ]


def warn_of_ignored_views(estimator, augmenter, **is_ignored):
    """Warn of parameters that have no effect, because an augmenter makes no copies or views.

    Parameters
    ----------
    estimator : estimator
    augmenter : augmenter or None
        None, or one that only mixes rows.
    **is_ignored : bool
        By the names of parameters, True for those to name.
    """
    unused = [f"{name}={getattr(estimator, name)}" for name, ignored in is_ignored.items() if ignored]
    if not unused:
        return
    why, cure = "augmenter=None makes no views", "set an augmenter"
    if augmenter is not None:
        why, cure = f"{type(augmenter).__name__} only mixes rows, which views leave out", "add one that changes rows"
    warn(
        f"{' and '.join(unused)} of {type(estimator).__name__} {'has' if len(unused) == 1 else 'have'} no effect, "
        f"because {why}: {cure}, such as RandomFlip()",
        ViewsIgnoredWarning,
    )


def check_keeps_values(augmenter, n_features):
    """Raise an error if an augmenter would change the numbers that stand for categories."""
    if augmenter is None:
        return
    plan = augmenter._plan(augmenter._make_rng(0), 2, (1, n_features, 1))
    others = sorted({type(step).__name__ for step, _ in plan if not step.keeps_values})
    if others:
        raise ValueError(
            f"augmenter has {', '.join(others)}, which makes new numbers, and X has categories, that would become "
            "others: SwapNoise, CutMix and FeatureDropout(fill=0) leave them whole; or encode the categories before, "
            "by scikit-learn's OneHotEncoder"
        )


def check_keeps_columns(augmenter, n_features):
    """Raise an error if an augmenter returns rows with another number of columns."""
    found = augmenter.output_shape((1, n_features, 1))
    if found != (1, n_features, 1):
        raise ValueError(
            f"augmenter must keep the {n_features} columns of a table with missing values or categories, got "
            f"{augmenter!r}, which returns {found[1]}: impute and encode X before, or leave the step out that crops"
        )


def apply_view(view, images, value_range, n_jobs=None):
    """Return a view of images (n, height, width, channels), of the same dtype; ``images`` are not written to."""
    n, shape = len(images), images.shape[1:]
    for step, _ in view:
        shape = step.output_shape(shape)
    plan = [(step, {name: np.repeat(values, n, axis=0) for name, values in params.items()}) for step, params in view]
    return apply_plan(plan, images, value_range, shape, n_jobs)
