"""Votes and averages, as pure functions.

All functions use the same shapes: ``codes`` (members, rows) are the classes that members vote for, as integers;
``probabilities`` is (members, rows, classes); ``weights`` (members,) are non-negative, and only their proportions
matter. Multilabel targets are treated as one binary problem per label (:func:`as_binary`).
"""

from __future__ import annotations

import numpy as np
from sklearn.utils import gen_batches

CHUNK = 1 << 18  # votes counted at once, so that the counters fit into the processor's cache
TINY = 1e-12  # smallest probability, since with 0 every product would be 0
TIED = 1e-9  # largest relative difference of tied sums, due to rounding


def count_votes(codes, n_classes, weights=None):
    """Return the total weight of the votes for each class, (rows, classes)."""
    n = codes.shape[1]
    flat = (codes + np.arange(0, n * n_classes, n_classes)).ravel()
    if weights is not None:
        weights = np.repeat(weights, n)
    return np.bincount(flat, weights=weights, minlength=n * n_classes).reshape(n, n_classes)


def hard_vote(codes, n_classes, weights=None):
    """Return the class with most votes, (rows,) intp, the first one in a tie."""
    if weights is not None and np.ptp(weights) == 0:
        weights = None  # counting integers is faster
    winners = np.empty(codes.shape[1], dtype=np.intp)
    for rows in gen_batches(codes.shape[1], max(1, CHUNK // max(n_classes, len(codes)))):
        winners[rows] = count_votes(codes[:, rows], n_classes, weights).argmax(axis=1)
    return winners


def find_ties(counts):
    """Return True for each class that has the most votes in its row, (rows, classes)."""
    return counts >= counts.max(axis=1, keepdims=True) * (1 - TIED)


def split_ties(fractions, probabilities):
    """Return fractions of votes in which tied winners share their votes according to their probabilities.

    The shifts are smaller than half the gap to the next fraction, so that the order of other classes does not change.
    They depend on the order of the probabilities, not on their size, since tiny values would be lost in rounding.

    Parameters
    ----------
    fractions : ndarray of shape (rows, classes)
    probabilities : ndarray of shape (rows, classes)
    """
    tied = find_ties(fractions)
    number = tied.sum(axis=1, keepdims=True)
    joint = np.where(tied, fractions, 0).sum(axis=1, keepdims=True) / number
    gap = joint - np.where(tied, 0, fractions).max(axis=1, keepdims=True)
    rank = rank_down(np.where(tied, probabilities, -1))
    middle = np.where(tied, rank, 0).sum(axis=1, keepdims=True) / number
    return np.where(tied, joint + (middle - rank) * gap / (2 * number), fractions)


def rank_down(values):
    """Return for each value the number of distinct larger values in its row, (rows, columns)."""
    order = np.argsort(-values, axis=1, kind="stable")
    steps = np.diff(np.take_along_axis(values, order, axis=1), axis=1, prepend=np.inf) != 0
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, steps.cumsum(axis=1) - 1, axis=1)
    return ranks


def one_hot(codes, n_classes):
    """Return votes one-hot encoded, (..., classes) float64."""
    return np.eye(n_classes)[codes]


def stack_probabilities(members):
    """Return the members' probabilities as one array; float32 that is cast to float64 is normalized again."""
    exact = np.result_type(*members)
    return np.stack(
        [one if one.dtype == exact else one / one.sum(axis=-1, keepdims=True, dtype=exact) for one in members]
    )


def average(probabilities, weights=None):
    """Return the weighted mean of the members, (rows, classes)."""
    return np.average(probabilities, axis=0, weights=weights)


def geometric(probabilities, weights=None):
    """Return the normalized weighted geometric mean of the members, (rows, classes)."""
    logs = np.average(np.log(np.clip(probabilities, TINY, None)), axis=0, weights=weights)
    return normalize_logs(logs)


def normalize_logs(logs):
    """Return probabilities that are proportional to ``exp(logs)``."""
    powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def apply_temperatures(probabilities, temperatures):
    """Return each member's probabilities to the power 1 / temperature, normalized; unchanged if it is 1."""
    return np.stack(
        [
            one if temperature == 1 else normalize_logs(np.log(np.clip(one, TINY, None)) / temperature)
            for one, temperature in zip(probabilities, temperatures, strict=True)
        ]
    )


def weighted_median(values, weights):
    """Return the weighted median of the members, (rows,); the midpoint if it lies between two values."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    below = np.cumsum(weights[order], axis=0)
    half = below[-1] / 2
    lower = (below >= half * (1 - TIED)).argmax(axis=0)
    upper = (below > half * (1 + TIED)).argmax(axis=0)
    rows = np.arange(values.shape[1])
    return (ordered[lower, rows] + ordered[upper, rows]) / 2


def as_binary(probabilities):
    """Return the probabilities of labels, (..., rows, labels), as binary problems, (..., rows * labels, 2)."""
    flat = probabilities.reshape(*probabilities.shape[:-2], -1)
    return np.stack([1 - flat, flat], axis=-1)
