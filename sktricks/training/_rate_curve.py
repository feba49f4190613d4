"""The curve of a learning-rate range test and its suggestion, as pure functions of learning rates and losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMOOTHING = 0.9  # weight of a loss relative to that of the next one
SHARE, TIMES, TIMES_IN_SHORT = 0.7, 2.0, 2.5  # suggest TIMES the rate at which the loss has done SHARE of its fall
MOST = 0.95  # fraction of the fall at which the rate is the highest to be suggested
LEAST_FALL = 0.03  # smallest fall for a useful curve, as a fraction of the initial loss
N_NOISE = 5  # smallest fall for a useful curve, in standard deviations of the smoothed loss
BEGINNING = 0.1  # fraction of the rates, the lowest ones, at which nothing is learned yet


@dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """The curve of a range test.

    Attributes
    ----------
    lrs : ndarray of shape (n_steps,)
        Learning rates in ascending order; with rates per layer, those of the head.
    losses : ndarray of shape (n_steps,)
        Loss of the batch at each rate.
    smoothed : ndarray of shape (n_steps,)
        Running mean of the losses.
    suggestion : float or None
        Twice the rate (2.5 times if the training is shorter than the test) at which the smoothed loss has done 70% of
        its fall; at most the rate at 95%. None if the curve is useless.
    problem : str or None
        Why the curve is useless, if it is.

    See Also
    --------
    find_lr : Find a learning rate by the range test.
    LearningRateDisplay : Draw the curve.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, find_lr
    >>> X, y = load_iris(return_X_y=True)
    >>> curve = find_lr(NetClassifier(random_state=0), X, y, n_steps=40)
    >>> len(curve.lrs) == len(curve.losses)
    True
    """

    lrs: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    problem: str | None

    def __repr__(self):
        tried = f"{len(self.lrs)} rates from {self.lrs[0]:.1e} to {self.lrs[-1]:.1e}"
        said = f"suggestion={self.suggestion:.2g}" if self.problem is None else f"useless: {self.problem}"
        return f"<LearningRateCurve {said}, {tried}>"


def read_curve(lrs, losses, short=False):
    """Return the :class:`LearningRateCurve` for ascending rates and their losses."""
    lrs, losses = np.asarray(lrs, float), np.asarray(losses, float)
    smoothed = smooth(losses)
    problem = find_problem(losses, smoothed)
    return LearningRateCurve(lrs, losses, smoothed, None if problem else suggest(lrs, losses, smoothed, short), problem)


def smooth(losses, decay=SMOOTHING):
    """Return the running mean of the losses, in which each has ``decay`` times the weight of the next."""
    total, weight, means = 0.0, 0.0, []
    for loss in losses:
        total, weight = decay * total + (1 - decay) * loss, decay * weight + 1 - decay
        means.append(total / weight)
    return np.array(means)


def n_at_start(values):
    """Return the number of lowest rates that are taken as the start."""
    return min(len(values), max(5, round(BEGINNING * len(values))))


def fall_of(losses, smoothed):
    """Return the mean loss at the start, and the fall of the smoothed loss below it."""
    n = n_at_start(losses)
    start, later = losses[:n].mean(), smoothed[n:]
    return start, start - np.nanmin(later, initial=start)


def suggest(lrs, losses, smoothed, short=False):
    """Return a multiple of a rate within the fall, which varies less than rates near the end of the fall."""
    times = TIMES_IN_SHORT if short else TIMES
    return min(times * rate_after(SHARE, lrs, losses, smoothed), rate_after(MOST, lrs, losses, smoothed))


def rate_after(fraction, lrs, losses, smoothed):
    """Return the lowest rate at which the loss has completed this fraction of its fall to the minimum."""
    start, fall = fall_of(losses, smoothed)
    done = smoothed <= start - fraction * fall
    done[: n_at_start(losses)] = False
    return float(lrs[np.argmax(done)])


def has_diverged(losses):
    """Return True if the loss has risen above its start by more than the start plus its previous fall."""
    losses = np.asarray(losses)
    if not np.isfinite(losses[-1]):
        return True
    smoothed = smooth(losses)
    start, fall = fall_of(losses, smoothed)
    return bool(smoothed[-1] > start + abs(start) + fall)


def find_problem(losses, smoothed):
    """Return the reason why a curve is useless, None if it is not."""
    if not np.isfinite(losses[0]):
        return f"the loss is {losses[0]} before the first step"
    if not np.isfinite(losses[: n_at_start(losses)]).all():
        return "the loss is no longer finite after a few steps at the lowest rates"
    start, fall = fall_of(losses, smoothed)
    noise = losses[: n_at_start(losses)].std() * np.sqrt((1 - SMOOTHING) / (1 + SMOOTHING))
    if fall <= max(LEAST_FALL * abs(start), N_NOISE * noise):
        return f"the loss starts at {start:.3g} and falls by no more than {fall:.2g} at any rate"
    return None
