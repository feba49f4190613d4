"""Compute statistics of rows and targets with numpy and random forests."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

N_TREES, N_COLUMNS = 50, 400
ENOUGH = 40  # minimum number of rows for findings about their relation to the targets


def column_moments(X):
    """Return mean and standard deviation of each column, in float64, without missing values."""
    X = np.asarray(X, np.float64)
    known, low, high = ~np.isnan(X), np.fmin.reduce(X), np.fmax.reduce(X)
    counts, unit = np.maximum(known.sum(0), 1), np.where(high > low, high - low, 1)
    X = np.where(known, (X - low) / unit, 0)  # squares of these are in the range of float64
    mean = X.sum(0) / counts
    spread = np.sqrt((np.where(known, X - mean, 0) ** 2).sum(0) / counts)
    return np.where(np.isnan(low), 0, low + unit * mean), unit * spread


def in_units_of_range(X):
    """Return columns scaled to 0 to 1, in float64; constant ones are 0."""
    X = np.asarray(X, np.float64)
    low, high = np.fmin.reduce(X), np.fmax.reduce(X)
    return (X - low) / np.where(high > low, high - low, 1)


def find_duplicates(X, names):
    """Return pairs of a column and an earlier one with the same values, without constant columns."""
    first, pairs = {}, []
    for name, column in zip(names, np.asarray(X).T, strict=True):
        if (column == column[0]).all():
            continue
        key = np.ascontiguousarray(column).tobytes()
        if key in first:
            pairs.append((name, first[key]))
        first.setdefault(key, name)
    return pairs


def find_telling(X, names, y):
    """Return columns that sort the rows as the target does, or into one interval per class."""
    if len(X) < ENOUGH:
        return []
    if y.dtype == np.int64:
        return [name for name, column in zip(names, np.asarray(X).T, strict=True) if tells_class(column, y)]
    columns, y = in_units_of_range(X), in_units_of_range(y)  # avoids overflow and underflow
    return [name for name, column in zip(names, columns.T, strict=True) if tells_value(column, y)]


def tells_class(column, y):
    """Return True if the classes lie in disjoint intervals of a column."""
    order = np.lexsort((y, column))
    values, labels = column[order], y[order]
    mixed = (values[1:] == values[:-1]) & (labels[1:] != labels[:-1])
    return not mixed.any() and np.count_nonzero(labels[1:] != labels[:-1]) == len(np.unique(y)) - 1


def tells_value(column, y):
    """Return True if a column is almost a linear or another monotonic function of the target."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or np.ptp(column) == 0 or np.ptp(y) == 0 or len(np.unique(column)) < len(np.unique(y)) // 2:
        return False
    ranks = [np.unique(values, return_inverse=True)[1] for values in (column, y)]
    return max(abs(np.corrcoef(column, y)[0, 1]), abs(np.corrcoef(*ranks)[0, 1])) > 0.999


def as_rows(X, seed=0):
    """Return rows for a forest: images flattened, at most N_COLUMNS columns, those of a table scaled to 0 to 1.

    A forest converts to float32, in which large numbers with small differences are equal, and huge ones infinite.
    """
    rows = np.asarray(X).reshape(len(X), -1)
    if rows.shape[1] > N_COLUMNS:
        rows = rows[:, np.random.default_rng(seed).choice(rows.shape[1], N_COLUMNS, replace=False)]
    return rows if rows.dtype.itemsize < 4 else in_units_of_range(rows)


def as_values(y):
    """Return targets as columns of numbers: classes as indicators, values scaled to 0 to 1.

    A forest does not split rows whose targets have a tiny variance.
    """
    y = np.asarray(y)
    y = np.eye(y.max() + 1)[y] if y.dtype == np.int64 else in_units_of_range(y)
    return y if y.ndim == 2 else y[:, None]


def signal_of(X, y):
    """Return the correlation of a forest's out-of-bag predictions with the best column of the target, and its z value.

    Returns
    -------
    signal : tuple of float or None
        None for too few rows.
    """
    if len(X) < ENOUGH:
        return None
    rows = as_rows(X)
    if y.dtype == np.int64:
        forest = RandomForestClassifier(N_TREES, oob_score=True, min_samples_leaf=2, random_state=0)
        predicted = forest.fit(rows, y).oob_decision_function_
        truth = as_values(y)[:, forest.classes_]
    else:
        truth = as_values(y)
        forest = RandomForestRegressor(N_TREES, oob_score=True, min_samples_leaf=2, max_features="sqrt", random_state=0)
        predicted = forest.fit(rows, truth if truth.shape[1] > 1 else truth[:, 0]).oob_prediction_
    best = best_correlation(predicted.reshape(len(rows), -1), truth)
    return best, best * np.sqrt(len(rows)) - np.sqrt(2 * np.log(truth.shape[1]))  # corrects for the maximum


def best_correlation(predicted, truth):
    """Return the largest correlation of a column of predictions with its column of the target; 0 for constant ones."""
    best = 0.0
    for one, other in zip(predicted.T, truth.T, strict=True):
        known = np.isfinite(one)
        if known.sum() > 2 and np.ptp(one[known]) > 0 and np.ptp(other[known]) > 0:
            best = max(best, float(np.corrcoef(one[known], other[known])[0, 1]))
    return best


def transfer_of(X, y, X_test, y_test):
    """Return the mean correlation of a forest's predictions for other rows over the columns of the target."""
    forest = RandomForestRegressor(N_TREES, min_samples_leaf=2, max_features="sqrt", random_state=0)
    rows = as_rows(np.concatenate([X, X_test]))
    predicted = forest.fit(rows[: len(X)], y).predict(rows[len(X) :]).reshape(len(y_test), -1)
    pairs = zip(predicted.T, y_test.T, strict=True)
    return float(np.mean([best_correlation(one[:, None], other[:, None]) for one, other in pairs]))
