"""Weights and temperatures that are learned from out-of-fold predictions, as pure functions.

A loss is a small object that knows the predictions and the truth: called with weights (members,) it gives a float, and
``of_rows(weights)`` what each row loses; those that can be minimised by their gradient have ``gradient(weights)``.
``row_weights`` (rows,) say how much each row counts, and sum to 1.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, minimize_scalar, nnls

from ._votes import TINY, normalize_logs, weighted_median

ROUNDS, PATIENCE = 100, 20  # of the greedy selection
TEMPERATURES = 0.05, 20.0
PARTS = 5  # what is learned from all rows but those of one part is judged on these


class RowLoss:
    """The mean over rows of what each of them loses."""

    def __call__(self, weights):
        return float(self.row_weights @ self.of_rows(weights))


class MixtureLogLoss(RowLoss):
    """Log loss of the weighted mean of probabilities."""

    def __init__(self, probabilities, codes, row_weights):
        self.true = np.clip(probabilities[:, np.arange(len(codes)), codes], TINY, None)
        self.row_weights = row_weights

    def of_rows(self, weights):
        return -np.log(weights @ self.true / weights.sum())

    def gradient(self, weights):
        return self.row_weights.sum() / weights.sum() - self.true @ (self.row_weights / (weights @ self.true))


class GeometricLogLoss(RowLoss):
    """Log loss of the weighted geometric mean of probabilities."""

    def __init__(self, probabilities, codes, row_weights):
        self.logs = np.log(np.clip(probabilities, TINY, None))
        self.true = self.logs[:, np.arange(len(codes)), codes]
        self.row_weights = row_weights

    def _mixed(self, weights):
        return np.tensordot(weights / weights.sum(), self.logs, axes=1)

    def of_rows(self, weights):
        mixed, true = self._mixed(weights), weights @ self.true / weights.sum()
        top = mixed.max(axis=1)
        return top + np.log(np.exp(mixed - top[:, None]).sum(axis=1)) - true

    def gradient(self, weights):
        pooled = normalize_logs(self._mixed(weights))
        surplus = self.true - np.einsum("nk,mnk->mn", pooled, self.logs)
        slopes = -(surplus @ self.row_weights) / weights.sum()
        return slopes - slopes @ weights / weights.sum()


class SquaredError(RowLoss):
    """Mean squared error of the weighted mean of values."""

    def __init__(self, values, y, row_weights):
        self.errors = np.asarray(values, dtype=np.float64) - y
        self.row_weights = row_weights

    def of_rows(self, weights):
        return (weights @ self.errors / weights.sum()) ** 2

    def gradient(self, weights):
        error = weights @ self.errors / weights.sum()
        slopes = 2 * self.errors @ (self.row_weights * error)
        return (slopes - slopes @ weights / weights.sum()) / weights.sum()


class ErrorRate(RowLoss):
    """Share of rows whose class gets too few of the weighted votes."""

    def __init__(self, votes, codes, row_weights):
        self.votes, self.codes, self.row_weights = votes, codes, row_weights

    def of_rows(self, weights):
        return (np.tensordot(weights, self.votes, axes=1).argmax(axis=1) != self.codes).astype(np.float64)


class MedianSquaredError(RowLoss):
    """Mean squared error of the weighted median of values."""

    def __init__(self, values, y, row_weights):
        self.values, self.y, self.row_weights = values, y, row_weights

    def of_rows(self, weights):
        return (weighted_median(self.values, weights) - self.y) ** 2


def greedy(loss, n_members):
    """Weights by forward selection with replacement [1]_: how often each member was chosen.

    Each round adds the member after which the loss is smallest, be it one that is in already; of all rounds the best
    one counts.

    References
    ----------
    .. [1] R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble selection from libraries of models", ICML 2004.
    """
    counts, best, best_loss, best_round = np.zeros(n_members), None, np.inf, 0
    for number in range(ROUNDS):
        losses = [loss(counts + chosen) for chosen in np.eye(n_members)]
        counts[int(np.argmin(losses))] += 1
        if best is None or min(losses) < best_loss:
            best, best_loss, best_round = counts / counts.sum(), min(losses), number
        if number - best_round >= PATIENCE:
            break
    return best_of(loss, best, uniform(n_members))


def simplex(loss, n_members):
    """The weights of sum 1 that minimise a convex loss."""
    start = uniform(n_members)
    scale = loss(start) or 1.0  # the solver's tolerance is absolute, and a squared error has the unit of y
    found = minimize(
        lambda weights: loss(np.clip(weights, TINY, None)) / scale,
        start,
        jac=lambda weights: loss.gradient(np.clip(weights, TINY, None)) / scale,
        method="SLSQP",
        bounds=[(0, 1)] * n_members,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 200, "ftol": 1e-10},
    )
    return best_of(loss, normalize(np.where(found.x < 1e-6, 0, found.x)), start, *np.eye(n_members))


def non_negative(predictions, truth, row_weights):
    """Weights at least 0 of a least-squares fit, made to sum to 1 [1]_; equal ones if all of them are 0.

    Parameters
    ----------
    predictions : ndarray of shape (members, rows, ...)
    truth : ndarray of shape (rows, ...)
    row_weights : ndarray of shape (rows,)

    References
    ----------
    .. [1] L. Breiman, "Stacked regressions", Machine Learning 24, 1996.
    """
    scale = np.sqrt(row_weights).reshape(-1, *[1] * (truth.ndim - 1))
    columns = np.stack([(one * scale).ravel() for one in (*predictions, truth)], axis=1)
    small = np.linalg.qr(columns, mode="r")  # the same problem in as many rows as there are members
    return normalize(nnls(small[:, :-1], small[:, -1])[0])


def best_of(loss, *candidates):
    """The candidate of the smallest loss, of equal ones the first."""
    return min(candidates, key=loss)


def uniform(n_members):
    """Equal weights of sum 1."""
    return np.full(n_members, 1 / n_members)


def normalize(weights):
    """Weights of sum 1; equal ones instead of zeros only."""
    return weights / weights.sum() if weights.sum() > 0 else uniform(len(weights))


def keep_if_better(learn, losses, n_members, parts):
    """Learned weights, or equal ones where the learned ones would not help on other rows.

    On the rows that they are learned from weights nearly always do better. So they are learned from the rest of each
    part and judged on the part. They stay only if the first loss falls by more than twice its standard error, and no
    other rises: who is surer of the right classes may still be right less often.

    Parameters
    ----------
    learn : callable
        From a mask of rows to weights that are learned from them.
    losses : list of RowLoss
        Of all rows, of the same weights.
    n_members : int
    parts : ndarray of shape (rows,)
        The part that each row is in, as integers.

    Returns
    -------
    weights : ndarray of shape (members,)
    accepted : bool
        False if the learned weights were refused and all are equal instead.
    """
    equal, row_weights = uniform(n_members), losses[0].row_weights
    gains = [loss.of_rows(equal) for loss in losses]
    for part in np.unique(parts):
        rest = parts != part
        if not row_weights[rest].any():
            return equal, False  # nothing to judge by
        weights = learn(rest)
        for gain, loss in zip(gains, losses, strict=True):
            gain[~rest] -= loss.of_rows(weights)[~rest]
    harms = any(row_weights @ gain < -TINY for gain in gains[1:])
    accepted = helps(gains[0], row_weights, errors=2) and not harms
    return (learn(np.ones(len(parts), bool)) if accepted else equal), accepted


def helps(gain, row_weights, errors=1):
    """Whether what rows gain is on average more than so many standard errors of that average."""
    mean = row_weights @ gain
    return bool(mean > errors * np.sqrt((row_weights**2) @ (gain - mean) ** 2))


def leave_one_out(loss, weights):
    """By how much the loss grows without each member, the others keeping their proportions; NaN of a single one."""
    if len(weights) == 1:
        return np.array([np.nan])
    whole = loss(normalize(weights))
    growth = np.empty(len(weights))
    for member in range(len(weights)):
        rest = np.arange(len(weights)) != member
        without = np.zeros(len(weights))
        without[rest] = normalize(weights[rest])
        growth[member] = loss(without) - whole
    return growth


def fit_temperature(probabilities, codes, row_weights, parts):
    """The temperature that lowers a member's log loss [1]_, or 1 where it would not help on other rows.

    On the rows that it is fitted on a temperature never hurts. So it is fitted on the rest of each part and judged on
    the part; it stays only if the loss falls by more than its standard error.

    Parameters
    ----------
    probabilities : ndarray of shape (rows, classes)
    codes : ndarray of shape (rows,)
    row_weights : ndarray of shape (rows,)
    parts : ndarray of shape (rows,)
        The part that each row is in, as integers.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017.
    """
    logs = np.log(np.clip(probabilities, TINY, None))
    rows = np.arange(len(codes))

    def losses(temperature, where):
        scaled = normalize_logs(logs[where] / temperature)
        return -np.log(np.clip(scaled[rows[: len(scaled)], codes[where]], TINY, None))

    def fit(where):
        def loss(log_temperature):
            return row_weights[where] @ losses(np.exp(log_temperature), where)

        return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))

    gain = losses(1.0, rows)
    for part in np.unique(parts):
        if row_weights[parts != part].any():
            held_out = parts == part
            gain[held_out] -= losses(fit(parts != part), held_out)
        else:
            gain[:] = 0  # nothing to judge it on
    return fit(rows) if helps(gain, row_weights) else 1.0
