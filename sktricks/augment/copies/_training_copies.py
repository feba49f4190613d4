"""Create training rows from copies of rows: their pixels and their targets, which may be mixed.

A *copy* is a plan for all rows (:mod:`._plan`), or None for their deterministic counterparts. Classifiers do not accept
mixed labels, but for a loss that is linear in the target, such as the log loss, a row of 0.7 dog and 0.3 cat is
equivalent to two rows of the same pixels: dog with weight 0.7 and cat with weight 0.3 (:func:`weighted_rows`). For a
classifier that does not take weights, one of both labels is drawn with these probabilities (:func:`draw_labels`).
"""

from __future__ import annotations

import numpy as np

from ..._progress import SILENT
from .._plan import apply_plan, mix_targets, split_weights, weight_targets

CHUNK_ROWS = 1024  # rows to duplicate at a time, which bounds temporary memory


def draw_copies(augmenter, rng, n, shape, n_copies, keep_original):
    """Draw the copies to train on: a list of plans, starting with None if ``keep_original``."""
    return [None] * bool(keep_original) + [augmenter._plan(rng, n, shape) for _ in range(n_copies)]


def fill_copies(augmenter, copies, indices, images, value_range, n_jobs=None, progress=SILENT):
    """Return the images of training rows, in the dtype of ``images``, without another large array.

    Parameters
    ----------
    augmenter : augmenter
    copies : list of plans or None
    indices : int ndarray of shape (rows,)
        Indices ``copy * n + row`` into the concatenated copies. They start with all rows of all copies, in order.
    images : ndarray of shape (n, height, width, channels)
    value_range : tuple of float or None
    n_jobs : int or None
    progress : Progress
        Counts the rows of copies.

    Returns
    -------
    images : ndarray of shape (rows, height, width, channels)
    """
    shape, n = augmenter.output_shape(images.shape[1:]), len(images)
    out = np.empty((len(indices), *shape), dtype=images.dtype)
    for number, plan in enumerate(copies):
        part = out[number * n : (number + 1) * n]
        if plan is None:
            part[:] = augmenter.center_images(images, value_range)
        else:
            apply_plan(plan, images, value_range, shape, n_jobs, out=part)
        progress.step(n)
    for start in range(len(copies) * n, len(indices), CHUNK_ROWS):  # the same pixels with another label
        rows = slice(start, start + CHUNK_ROWS)
        out[rows] = out[indices[rows]]
    return out


# -- the parts of mixed rows -------------------------------------------------------------------------------------------


def mixed_parts(plan, n):
    """Return the source rows of each mixed row, and their fractions, which sum to 1: two arrays (n, parts)."""
    sources, fractions = np.arange(n)[:, None], np.ones((n, 1))
    for _, params in plan or []:
        if "partner" in params:
            kept, partner = params["share"][:, None], params["partner"]
            sources = np.hstack([sources, sources[partner]])
            fractions = np.hstack([kept * fractions, (1 - kept) * fractions[partner]])
    return sources, fractions


def target_codes(y):
    """Return one code per row; codes are equal if and only if all labels of the rows are equal."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    return np.unique(y, axis=None if y.ndim == 1 else 0, return_inverse=True)[1].reshape(-1)


def join_equal(sources, fractions, codes):
    """Sum the fractions of parts with the same code into the first of them, and set the others to 0."""
    codes, fractions = codes[sources], fractions.copy()
    for later in range(1, fractions.shape[1]):
        for earlier in range(later):
            same = codes[:, later] == codes[:, earlier]
            fractions[same, earlier] += fractions[same, later]
            fractions[same, later] = 0
    return fractions


def weighted_rows(copies, codes, weight=None):
    """Split mixed rows into weighted rows with one target each, for a loss that is linear in the target.

    Parameters
    ----------
    copies : list of plans or None
    codes : int ndarray of shape (n,)
        Equal if and only if targets are equal.
    weight : float ndarray of shape (n,) or None
        The weight of each row, positive.

    Returns
    -------
    indices : int ndarray of shape (rows,)
        Indices of the pixels, as in :func:`fill_copies`.
    labels : int ndarray of shape (rows,)
        The index of the row that each target comes from.
    weights : ndarray of shape (rows,)
        The fraction of each label in its row, times the weight of its source row. Without ``weight``, the weights of
        one index sum to 1.
    """
    n, found = len(codes), []
    for number, plan in enumerate(copies):
        sources, fractions = mixed_parts(plan, n)
        fractions = join_equal(sources, fractions if weight is None else fractions * weight[sources], codes)
        row, part = np.nonzero(fractions)
        found.append((number * n + row, sources[row, part], fractions[row, part]))
    indices, labels, weights = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(np.diff(indices, prepend=-1) == 0, kind="stable")  # the first of each index before the others
    return indices[order], labels[order], weights[order]


def draw_labels(copies, n, rng):
    """Draw one source row for each training row, with its fraction as probability; return the indices of the rows."""
    labels = []
    for plan in copies:
        sources, fractions = mixed_parts(plan, n)
        drawn = (rng.random((n, 1)) > np.cumsum(fractions, axis=1)[:, :-1]).sum(axis=1)
        labels.append(sources[np.arange(n), drawn])
    return np.concatenate(labels)


def mix_values(copies, values, weight=None):
    """Return the mixed values of the training rows, and their mixed weights, or None without weights."""
    if weight is None:
        return np.concatenate([mix_targets(plan or [], values) for plan in copies]), None
    return split_weights(mix_values(copies, weight_targets(values, weight))[0], values.shape[1:])
