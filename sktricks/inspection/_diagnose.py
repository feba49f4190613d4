"""diagnose: check a net and its rows before a long training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .._parameter_checks import check_verbose
from .._progress import progress
from ..training._rows import check_validation_rows
from ._checks import document_checks, run_checks
from ._evidence import Evidence, note_columns, note_settings
from ._findings import Diagnosis
from ._inspected_net import rows_of_fit, take_net
from ._row_statistics import signal_of

# These register the checks, in the order in which findings of one severity are reported.
from . import _checks_net, _checks_training, _checks_rows, _checks_validation  # noqa: E402, F401  # isort: skip

SOME_ROWS = 2000  # maximum number for trainings and forests
N_LOOKS = 4  # a forest, a short training, a range test, a training on few rows


def diagnose(
    estimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    X_val: ArrayLike | None = None,
    y_val: ArrayLike | None = None,
    verbose: int = 0,
) -> Diagnosis:
    """Check a net and its rows for common faults.

    Copies of the net are trained for some steps: with its settings, with a rising learning rate, and on only a few
    rows. A random forest shows if the target can be predicted from the rows. A list of checks evaluates all these
    observations. The trainings use at most 2,000 of the rows.

    Parameters
    ----------
    estimator : NetClassifier, NetRegressor, FineTuneClassifier or FineTuneRegressor, or a Pipeline that ends in one
        Not changed. If it is fitted, its validation losses are examined too.
    X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
        The rows to train on.
    y : array-like of shape (n,) or (n, outputs)
        Labels or values, as for the net's ``fit``.
    sample_weight : array-like of shape (n,), default=None
        The weight of each row.
    X_val, y_val : array-like, default=None
        Rows to validate on, as for ``fit``; not with a Pipeline.
    verbose : int, default=0
        0: silent. 1: bars of trainings and of their steps. 2: lines in the log instead.

    Returns
    -------
    diagnosis : Diagnosis
        Its ``findings``, the most severe first, have ``code``, ``severity`` (``"error"``, ``"warning"``, ``"note"``),
        ``evidence``, ``cause`` and ``remedy``. ``print`` shows them; a notebook shows them as HTML.

    Raises
    ------
    TypeError
        If ``estimator`` is no net.
    ValueError
        If X and y do not fit it. Errors of a training are findings.

    See Also
    --------
    find_lr : The range test alone.

    Notes
    -----
    Each training ends after at most some seconds. If a step takes long, there is no range test, and a too low learning
    rate is not found.

    {checks}

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, diagnose
    >>> X, y = load_iris(return_X_y=True)
    >>> print(diagnose(NetClassifier(random_state=0), np.c_[X, y], y))
    NetClassifier on 150 rows: 1 warning, 1 note
    <BLANKLINE>
    warning: target-in-column
      evidence: each of these columns determines the target: column 4
      cause: ...
    """
    from ._short_training import look_at_training, pin_choices

    check_verbose(verbose)
    net, X = take_net(estimator, X, y, "diagnose")
    seen = Evidence(valid_losses=valid_losses_of(estimator))
    names = list(getattr(X, "columns", []))
    rows = rows_of_fit(net, X, y, sample_weight)
    valid = check_validation_rows(net, X_val, y_val)
    note_settings(seen, net, rows.y, valid)
    if net.image_shape_ is None:
        note_columns(seen, rows.X, rows.y, names)
    some = replace(rows.take(np.sort(np.random.default_rng(0).permutation(len(rows))[:SOME_ROWS])), valid=valid)
    pin_choices(net, rows)
    with progress(N_LOOKS, "diagnose", "step", verbose) as done:
        done.tell("forest")
        look_at_rows(seen, net, some.X, some.y)
        done.step(1, "short training")
        look_at_training(seen, net, some, done, verbose)
    return Diagnosis(run_checks(seen), f"{type(net).__name__} on {len(rows):,} rows")


document_checks(diagnose)


def valid_losses_of(estimator):
    """Return the validation loss of each epoch of a fitted net; an empty list without a fit or validation rows."""
    net = getattr(estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator, "net_", None)
    return [] if net is None else [epoch["valid_loss"] for epoch in net.history if "valid_loss" in epoch]


def look_at_rows(seen, net, X, y):
    """Fill in the results of forests on the rows; image files are read."""
    from ._short_training import compare_augmented, failures

    X = X.read() if hasattr(X, "read") else X
    seen.signal = signal_of(X, y)
    if net.augmenter is not None and seen.signal is not None:
        with failures(seen):
            seen.augmented_signal = compare_augmented(net, X, y)
