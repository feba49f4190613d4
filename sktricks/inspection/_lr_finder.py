"""find_lr: find a learning rate by a training with a rising rate."""

from __future__ import annotations

from numbers import Integral, Real

from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, validate_params

from .._warnings import UnclearLearningRateWarning, warn
from ..training._rate_curve import LearningRateCurve
from ._inspected_net import rows_of_fit, take_net


@validate_params(
    {
        "lowest": [Interval(Real, 0, None, closed="neither")],
        "highest": [Interval(Real, 0, 1e6, closed="right")],
        "n_steps": [Interval(Integral, 30, 10**6, closed="both")],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def find_lr(
    estimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    n_steps: int = 140,
    verbose: int = 0,
) -> LearningRateCurve:
    """Find a learning rate by the range test (Smith 2017).

    A copy of the net is trained with its own settings, while its learning rate rises from batch to batch. At first the
    loss is constant, then it falls, and finally it rises. The suggestion is twice the rate at which the smoothed loss
    has reached 70 % of its total decrease, or the rate at 95 % if this is lower. If the training has fewer steps than
    the test, the factor is 2.5 instead of 2.

    Parameters
    ----------
    estimator : NetClassifier, NetRegressor, FineTuneClassifier or FineTuneRegressor, or a Pipeline that ends in one
        Not changed; its own ``lr`` and ``schedule`` are not used.
    X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
        A table or images, at least 20 rows.
    y : array-like of shape (n,) or (n, outputs)
        Labels or values, as for the net's ``fit``.
    sample_weight : array-like of shape (n,), default=None
        The weight of each row.
    lowest, highest : float, default=1e-6 and 1.0
        The range of rates. The test ends earlier if the loss diverges.
    n_steps : int, default=140
        The number of rates, one per batch, in equal ratios.
    verbose : int, default=0
        0: silent. 1: bars of encoded images and of steps. 2: lines in the log instead.

    Returns
    -------
    curve : LearningRateCurve
        With ``suggestion``, ``lrs``, ``losses``, ``smoothed`` and ``problem``. :class:`LearningRateDisplay` draws it.

    Raises
    ------
    TypeError
        If ``estimator`` is not a net.
    ValueError
        If X and y are not valid for the net, or have fewer than 20 rows.

    Warns
    -----
    UnclearLearningRateWarning
        If the curve gives no suggestion; ``suggestion`` is then None, and ``problem`` states the reason.

    See Also
    --------
    NetClassifier : With ``lr="auto"`` it does the same in ``fit``.

    Notes
    -----
    If the ``random_state`` of the net is an int, ``lr="auto"`` uses the same rate. Callbacks are included, since they
    may change the training; the phases of the strategy ``"gradual"`` are not, so that the rate suits the whole net.

    References
    ----------
    L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, find_lr
    >>> X, y = load_iris(return_X_y=True)
    >>> curve = find_lr(NetClassifier(random_state=0), X, y)
    >>> 1e-4 < curve.suggestion < 1e-1
    True
    >>> net = NetClassifier(lr=curve.suggestion, random_state=0)
    """
    from ..training._range_test import range_test

    if lowest >= highest:
        raise ValueError(f"lowest must be below highest, got lowest={lowest} and highest={highest}")
    net, X = take_net(estimator, X, y, "find_lr")
    curve = range_test(net, rows_of_fit(net, X, y, sample_weight), lowest, highest, n_steps, verbose)
    if curve.problem is not None:
        warn(f"find_lr has no suggestion: {curve.problem}", UnclearLearningRateWarning)
    return curve
