"""An interval for the mean difference of two estimators over folds, whose training rows overlap."""

from __future__ import annotations

import numpy as np
from scipy import stats


def corrected_interval(differences, test_fraction, level=0.95):
    """Return the limits of the mean difference of scores, corrected for training rows that folds share.

    The folds of a cross-validation are not independent, and the usual interval is too narrow. Nadeau & Bengio
    (Inference for the generalization error, Machine Learning, 2003) estimate the variance of the mean of J differences
    with sample variance s^2 as (1 / J + test rows / training rows) s^2.

    Parameters
    ----------
    differences : ndarray of shape (n_folds,)
        The differences of the scores, fold by fold.
    test_fraction : float
        Number of test rows divided by the number of training rows, a mean over the folds.
    level : float, default=0.95
        The probability that such intervals contain the expected difference.

    Returns
    -------
    low, high : float
        NaN for a single fold, which has no variance.
    """
    n_folds = len(differences)
    if n_folds < 2:
        return np.nan, np.nan
    error = np.sqrt((1 / n_folds + test_fraction) * np.var(differences, ddof=1))
    half = stats.t.ppf((1 + level) / 2, n_folds - 1) * error
    return np.mean(differences) - half, np.mean(differences) + half
