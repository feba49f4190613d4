"""Measures of diversity, per row (uncertainty) and per pair of members (disagreement, correlation), as pure functions.

``probabilities`` is (members, rows, classes), ``values`` (members, rows).
"""

from __future__ import annotations

import numpy as np

from ._votes import TINY, average


def entropy(probabilities):
    """Return the entropy in nats, (..., rows), from 0 (certain) to log(classes)."""
    return -np.sum(probabilities * np.log(np.clip(probabilities, TINY, None)), axis=-1)


def mutual_information(probabilities, weights):
    """Return the entropy of the members' mean minus the mean of their entropies, (rows,), at least 0."""
    own = np.average(entropy(probabilities), axis=0, weights=weights)
    return np.clip(entropy(average(probabilities, weights)) - own, 0, None)


def weighted_std(values, weights):
    """Return the weighted standard deviation of the members, (rows,)."""
    mean = np.average(values, axis=0, weights=weights)
    return np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))


def disagreement(codes):
    """Return the fraction of rows on which each pair of members differs, (members, members)."""
    return by_pair(codes, lambda a, b: np.mean(a != b))


def distance(values):
    """Return the root mean squared difference of each pair of members, (members, members), in the units of y."""
    return by_pair(values, lambda a, b: np.sqrt(np.mean((a - b) ** 2)))


def by_pair(rows, measure):
    """Return a symmetric measure of all pairs, (members, members)."""
    return np.array([[measure(a, b) for b in rows] for a in rows])


def correlation(values):
    """Return the Pearson correlation of each pair of members, (members, members); NaN for constant predictions."""
    flat = values.reshape(len(values), -1)
    centered = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centered, axis=1)
    norms[norms <= TINY * np.linalg.norm(flat, axis=1)] = np.nan  # a constant, up to rounding
    return (centered / norms[:, None]) @ (centered / norms[:, None]).T
