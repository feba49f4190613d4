"""Learn weights and temperatures from out-of-fold predictions, as pure functions.

A loss is a small object that contains the predictions and the true values. Calling it with weights (members,) returns a
float, ``of_rows(weights)`` the loss of each row, and ``gradient(weights)``, if it can be minimized, the gradient.
``row_weights`` (rows,) sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar, nnls

from ._votes import TINY, normalize_logs, one_hot, weighted_median

ROUNDS, PATIENCE = 100, 20  # maximum rounds of the greedy selection, in total and without improvement
TEMPERATURES = 0.05, 20.0
PARTS = 5  # weights are learned without the rows of one part, and judged on these


class RowLoss:
    """The weighted mean of the losses of rows."""

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


class TemperedLogLoss(RowLoss):
    """Log loss of the probabilities of one member as a function of the temperature, instead of weights."""

    def __init__(self, probabilities, codes, row_weights):
        self.logs, self.codes, self.row_weights = np.log(np.clip(probabilities, TINY, None)), codes, row_weights

    def of_rows(self, temperature):
        scaled = normalize_logs(self.logs / temperature)
        return -np.log(np.clip(scaled[np.arange(len(scaled)), self.codes], TINY, None))


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
    """Fraction of rows whose true class does not get most of the weighted votes."""

    def __init__(self, votes, codes, row_weights):
        self.votes, self.codes, self.row_weights = votes, codes, row_weights

    def of_rows(self, weights):
        return (np.tensordot(weights, self.votes, axes=1).argmax(axis=1) != self.codes).astype(np.float64)


class GeometricErrorRate(ErrorRate):
    """Error rate of the weighted geometric mean of probabilities."""

    def __init__(self, probabilities, codes, row_weights):
        super().__init__(np.log(np.clip(probabilities, TINY, None)), codes, row_weights)


class MedianSquaredError(RowLoss):
    """Mean squared error of the weighted median of values."""

    def __init__(self, values, y, row_weights):
        self.values, self.y, self.row_weights = values, y, row_weights

    def of_rows(self, weights):
        return (weighted_median(self.values, weights) - self.y) ** 2


@dataclass(frozen=True)
class Losses:
    """The losses of a vote: to judge weights, to minimize by the convex solver, and guards, which must not rise."""

    judged: type
    minimized: type
    guards: tuple = ()


LOSSES = {  # by the combination of the members
    "hard": Losses(ErrorRate, MixtureLogLoss),
    "soft": Losses(MixtureLogLoss, MixtureLogLoss, (ErrorRate,)),
    "geometric": Losses(GeometricLogLoss, GeometricLogLoss, (GeometricErrorRate,)),
    "mean": Losses(SquaredError, SquaredError),
    "median": Losses(MedianSquaredError, MedianSquaredError),
}


def learn_weights(method, losses, data, parts):
    """Return weights learned out of fold if they help on other rows, otherwise equal weights.

    Parameters
    ----------
    method : {"greedy", "simplex", "nnls"}
    losses : Losses
    data : tuple
        Predictions of shape (members, rows, classes) or (members, rows); the true codes or values (rows,); the weights
        of the rows (rows,).
    parts : ndarray of shape (rows,)
        The part that each row is in, as integers.

    Returns
    -------
    weights, accepted
        See :func:`keep_if_better`.
    """
    members, truth, row_weights = data

    def learn(rows):
        own = members[:, rows], truth[rows], normalize(row_weights[rows])
        if method == "greedy":
            return greedy(losses.judged(*own), len(members))
        if method == "simplex":
            return simplex(losses.minimized(*own), len(members))
        values = own[1] if members.ndim == 2 else one_hot(own[1], members.shape[2])
        return non_negative(own[0], values, own[2])

    judges = [loss(*data) for loss in (losses.judged, *losses.guards)]
    return keep_if_better(learn, judges, uniform(len(members)), parts)


def greedy(loss, n_members):
    """Return weights by forward selection with replacement [1]_: how often each member was chosen.

    Each round adds the member that reduces the loss most, which may have been chosen before. The weights are those of
    the best round.

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
    """Return the weights with sum 1 that minimize a convex loss."""
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
    """Return the normalized non-negative weights of a least-squares fit [1]_; equal weights if all are 0.

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
    small = np.linalg.qr(columns, mode="r")  # an equivalent problem with one row per member
    return normalize(nnls(small[:, :-1], small[:, -1])[0])


def best_of(loss, *candidates):
    """Return the candidate with the smallest loss, the first one in a tie."""
    return min(candidates, key=loss)


def uniform(n_members):
    """Return equal weights with sum 1."""
    return np.full(n_members, 1 / n_members)


def normalize(weights):
    """Return weights scaled to sum 1; equal weights if all are 0."""
    return weights / weights.sum() if weights.sum() > 0 else uniform(len(weights))


def keep_if_better(learn, losses, default, parts, n_errors=2):
    """Return learned weights, or a temperature, if they help on other rows; otherwise the default.

    Learned weights are nearly always better on the rows from which they are learned. Therefore they are learned without
    the rows of one part, and judged on this part, for each part in turn. They are accepted only if the first loss falls
    by more than ``n_errors`` standard errors and no other loss rises, since a lower log loss can come with more errors.

    Parameters
    ----------
    learn : callable
        Takes a mask of rows, and returns the weights learned from these.
    losses : list of RowLoss
        Losses of all rows, with the same row weights.
    default : ndarray of shape (members,) or float
    parts : ndarray of shape (rows,)
        The part that each row is in, as integers.
    n_errors : float, default=2

    Returns
    -------
    weights : ndarray of shape (members,) or float
    accepted : bool
        False if the learned weights were rejected.
    """
    row_weights = losses[0].row_weights
    gains = [loss.of_rows(default) for loss in losses]
    for part in np.unique(parts):
        rest = parts != part
        if not row_weights[rest].any():
            return default, False  # no rows to learn from
        weights = learn(rest)
        for gain, loss in zip(gains, losses, strict=True):
            gain[~rest] -= loss.of_rows(weights)[~rest]
    harmful = any(row_weights @ gain < -TINY for gain in gains[1:])
    accepted = is_significant(gains[0], row_weights, n_errors) and not harmful
    return (learn(np.ones(len(parts), bool)) if accepted else default), accepted


def is_significant(gain, row_weights, n_errors):
    """Return True if the mean gain of the rows exceeds ``n_errors`` standard errors of the mean."""
    mean = row_weights @ gain
    return bool(mean > n_errors * np.sqrt((row_weights**2) @ (gain - mean) ** 2))


def leave_one_out(loss, weights):
    """Return the increase of the loss without each member, with the others' weights rescaled; NaN for one member."""
    if len(weights) == 1:
        return np.array([np.nan])
    rests = [weights * others if (weights * others).any() else others for others in 1 - np.eye(len(weights))]
    return np.array([loss(normalize(rest)) for rest in rests]) - loss(normalize(weights))


def fit_temperature(probabilities, codes, row_weights, parts):
    """Return the temperature that lowers a member's log loss [1]_, or 1 if it does not help on other rows.

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

    def fit(rows):
        loss = TemperedLogLoss(probabilities[rows], codes[rows], row_weights[rows])
        bounds = np.log(TEMPERATURES)
        return float(np.exp(minimize_scalar(lambda log: loss(np.exp(log)), bounds=bounds, method="bounded").x))

    return keep_if_better(fit, [TemperedLogLoss(probabilities, codes, row_weights)], 1.0, parts, n_errors=1)[0]
