"""Confident learning: estimate which labels are wrong from out-of-fold probabilities, as pure functions.

Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021.
"""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-6  # by which a probability may miss its threshold, so that rounding does not count


def count_confident(codes, proba):
    """Return the confident joint, (classes, classes): rows of each given label (rows) and likely true label (columns).

    A class is likely if its probability is at least the mean probability that the class gets in rows of its own label;
    of several likely classes the most probable counts, and rows without any do not count (section 3.1 of the paper).
    """
    n_classes = proba.shape[1]
    thresholds = np.bincount(codes, own_probability(codes, proba), n_classes) / np.bincount(codes, minlength=n_classes)
    likely = np.where(proba >= thresholds - TOLERANCE, proba, -1.0)
    counted = likely.max(axis=1) >= 0
    joint = np.zeros((n_classes, n_classes))
    np.add.at(joint, (codes[counted], likely[counted].argmax(axis=1)), 1)
    return joint


def estimate_joint(codes, proba):
    """Return the number of rows for each given label and true label, whose rows sum to those of the given labels."""
    joint = count_confident(codes, proba)
    diagonal = np.arange(len(joint))
    joint[diagonal, diagonal] = np.maximum(joint[diagonal, diagonal], 1)  # each class has some correct labels
    return joint / joint.sum(axis=1, keepdims=True) * np.bincount(codes, minlength=len(joint))[:, None]


def find_wrong_labels(codes, proba):
    """Return True for each row whose label is probably wrong.

    Of the rows of each label, as many as the joint estimates for each other class are chosen, those whose probability
    exceeds that of the given label most ("prune by noise rate" in the paper). Rows whose own label is the most probable
    are never chosen.
    """
    numbers = np.rint(estimate_joint(codes, proba)).astype(int)
    wrong = np.zeros(len(codes), dtype=bool)
    for given in range(len(numbers)):
        rows = np.flatnonzero(codes == given)
        for true in np.flatnonzero(numbers[given]):
            if true != given:
                margins = proba[rows, true] - proba[rows, given]
                wrong[rows[np.argsort(-margins, kind="stable")[: numbers[given, true]]]] = True
    return wrong & (proba.argmax(axis=1) != codes)


def own_probability(codes, proba):
    """Return the probability of the given label of each row."""
    return proba[np.arange(len(codes)), codes]
