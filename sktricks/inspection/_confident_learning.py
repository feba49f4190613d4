"""Confident learning: estimate which labels are wrong from out-of-fold probabilities, as pure functions.

Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021.
"""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-6  # of the comparison of a probability with its threshold, so that rounding has no effect


def count_confident(codes, proba):
    """Return the confident joint, (classes, classes): rows of each given label (rows) and likely true label (columns).

    A class is likely if its probability is at least the mean probability of the class in rows with this label. Among
    several likely classes, the most probable counts; rows without a likely class do not count (section 3.1 of the
    paper).
    """
    n_classes = proba.shape[1]
    thresholds = np.bincount(codes, own_probability(codes, proba), n_classes) / np.bincount(codes, minlength=n_classes)
    likely = np.where(proba >= thresholds - TOLERANCE, proba, -1.0)
    counted = likely.max(axis=1) >= 0
    joint = np.zeros((n_classes, n_classes))
    np.add.at(joint, (codes[counted], likely[counted].argmax(axis=1)), 1)
    return joint


def estimate_joint(codes, proba):
    """Return the number of samples for each given label (rows) and true label (columns).

    The rows of the matrix sum to the numbers of samples with the given labels.
    """
    joint = count_confident(codes, proba)
    diagonal = np.arange(len(joint))
    joint[diagonal, diagonal] = np.maximum(joint[diagonal, diagonal], 1)  # each class has some correct labels
    return joint / joint.sum(axis=1, keepdims=True) * np.bincount(codes, minlength=len(joint))[:, None]


def find_wrong_labels(codes, proba):
    """Return True for each row whose label is probably wrong.

    For each given label and each other class, as many rows are chosen as the joint estimates: those for which the
    probability of the class exceeds that of the given label most ("prune by noise rate" in the paper). Rows whose given
    label is the most probable class are never chosen.
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
