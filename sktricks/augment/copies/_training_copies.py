"""Training rows out of copies of rows: their pixels, and what becomes of targets that are mixed.

A *copy* is a plan for all rows (:mod:`._plan`), or None for the rows as they are at prediction. Of a mixed row a
classifier cannot learn as it is. But a loss that is linear in the target, such as the log loss, makes no difference
between a row of 0.7 dog and 0.3 cat and two rows of the same pixels, a dog that counts 0.7 and a cat that counts 0.3
(:func:`weighted_rows`). A classifier that takes no weights gets one of both labels, drawn with these probabilities
(:func:`draw_labels`).
"""

from __future__ import annotations

import numpy as np

from .._plan import apply_plan, mix_targets, split_weights, weight_targets

COPIED_ROWS = 1024  # at once


def draw_copies(augmenter, rng, n, shape, n_copies, keep_original):
    """The copies to train on: a list of plans, with None in front for the rows themselves."""
    return [None] * bool(keep_original) + [augmenter._plan(rng, n, shape) for _ in range(n_copies)]


def fill_copies(augmenter, copies, places, images, value_range, n_jobs=None):
    """The images of training rows, in the dtype of ``images`` and with no other large array.

    Parameters
    ----------
    augmenter : augmenter
    copies : list of plans or None
    places : int ndarray of shape (rows,)
        Row ``number * n + row`` of the copies, one after the other; they begin with all of these, in order.
    images : ndarray of shape (n, height, width, channels)
    value_range : tuple of float or None
    n_jobs : int or None

    Returns
    -------
    images : ndarray of shape (rows, height, width, channels)
    """
    shape, n = augmenter.output_shape(images.shape[1:]), len(images)
    out = np.empty((len(places), *shape), dtype=images.dtype)
    for number, plan in enumerate(copies):
        part = out[number * n : (number + 1) * n]
        if plan is None:
            part[:] = augmenter.center_images(images, value_range)
        else:
            apply_plan(plan, images, value_range, shape, n_jobs, out=part)
    for start in range(len(copies) * n, len(places), COPIED_ROWS):  # the same pixels with another label
        rows = slice(start, start + COPIED_ROWS)
        out[rows] = out[places[rows]]
    return out


# -- what rows are mixed of --------------------------------------------------------------------------------------------


def mixed_parts(plan, n):
    """The rows that each row is mixed of and the share of each, two arrays (n, parts); shares sum to 1."""
    sources, shares = np.arange(n)[:, None], np.ones((n, 1))
    for _, params in plan or []:
        if "partner" in params:
            share, partner = params["share"][:, None], params["partner"]
            sources = np.hstack([sources, sources[partner]])
            shares = np.hstack([share * shares, (1 - share) * shares[partner]])
    return sources, shares


def target_codes(y):
    """A code a row, equal exactly where labels are, or all of several labels."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    return np.unique(y, axis=None if y.ndim == 1 else 0, return_inverse=True)[1].reshape(-1)


def join_equal(sources, shares, codes):
    """Shares in which parts of one code are one part; the others of that code keep 0."""
    codes, shares = codes[sources], shares.copy()
    for later in range(1, shares.shape[1]):
        for earlier in range(later):
            same = codes[:, later] == codes[:, earlier]
            shares[same, earlier] += shares[same, later]
            shares[same, later] = 0
    return shares


def weighted_rows(copies, codes, weight=None):
    """Training rows that have one target each, for a loss that is linear in the target.

    Parameters
    ----------
    copies : list of plans or None
    codes : int ndarray of shape (n,)
        Equal exactly where targets are.
    weight : float ndarray of shape (n,) or None
        The weight of each row, positive.

    Returns
    -------
    places : int ndarray of shape (rows,)
        Where the pixels are, as in :func:`fill_copies`.
    labels : int ndarray of shape (rows,)
        The row whose target each has.
    weights : ndarray of shape (rows,)
        The share of each label in its row, times the weight of the row that the label comes from. Without ``weight``
        those of one place sum to 1.
    """
    n, found = len(codes), []
    for number, plan in enumerate(copies):
        sources, shares = mixed_parts(plan, n)
        shares = join_equal(sources, shares if weight is None else shares * weight[sources], codes)
        row, part = np.nonzero(shares)
        found.append((number * n + row, sources[row, part], shares[row, part]))
    places, labels, shares = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(np.diff(places, prepend=-1) == 0, kind="stable")  # the first of each place before the others
    return places[order], labels[order], shares[order]


def draw_labels(copies, n, rng):
    """The row whose target each training row has: one of those that it is mixed of, drawn by their shares."""
    labels = []
    for plan in copies:
        sources, shares = mixed_parts(plan, n)
        drawn = (rng.random((n, 1)) > np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1)
        labels.append(sources[np.arange(n), drawn])
    return np.concatenate(labels)


def mix_values(copies, values, weight=None):
    """Values of the training rows, mixed as the rows are, and their weights, mixed alike; None without weights."""
    if weight is None:
        return np.concatenate([mix_targets(plan or [], values) for plan in copies]), None
    return split_weights(mix_values(copies, weight_targets(values, weight))[0], values.shape[1:])
