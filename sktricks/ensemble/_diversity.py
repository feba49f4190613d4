"""How members differ, as pure functions: over rows (uncertainty) and by pair (disagreement, correlation).

``probabilities`` is (members, rows, classes), ``values`` (members, rows).
"""

from __future__ import annotations

import numpy as np

from ._votes import TINY, average


def entropy(probabilities):
    """The entropy in nats, (..., rows); 0 is certain, log(classes) knows nothing."""
    return -np.sum(probabilities * np.log(np.clip(probabilities, TINY, None)), axis=-1)


def mutual_information(probabilities, weights):
    """Return the entropy of the members' mean less the mean of their entropies, (rows,), at least 0."""
    own = np.average(entropy(probabilities), axis=0, weights=weights)
    return np.clip(entropy(average(probabilities, weights)) - own, 0, None)


def weighted_std(values, weights):
    """The weighted standard deviation of the members, (rows,)."""
    mean = np.average(values, axis=0, weights=weights)
    return np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))


def disagreement(codes):
    """The share of rows in which two members differ, (members, members)."""
    return by_pair(codes, lambda a, b: np.mean(a != b))


def distance(values):
    """The root of the mean squared difference of two members, (members, members), in the units of y."""
    return by_pair(values, lambda a, b: np.sqrt(np.mean((a - b) ** 2)))


def by_pair(rows, measure):
    """A symmetric measure of all pairs, (members, members)."""
    return np.array([[measure(a, b) for b in rows] for a in rows])


def correlation(values):
    """Pearson's correlation of all that two members say, (members, members); NaN for a member that is constant."""
    flat = values.reshape(len(values), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    norms[norms <= TINY * np.linalg.norm(flat, axis=1)] = np.nan  # what rounding leaves of a constant
    return (centred / norms[:, None]) @ (centred / norms[:, None]).T
