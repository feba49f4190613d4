"""diagnose: look at a net and its rows before an hour is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..training._rows import check_validation_rows
from ._checks import CHECKS
from ._evidence import Evidence
from ._findings import Diagnosis, sort_findings
from ._inspected_net import rows_of_fit, take_net
from ._row_statistics import column_moments, find_duplicates, find_telling, signal_of

SOME_ROWS = 2000  # for trainings and forests


def diagnose(
    estimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    X_val: ArrayLike | None = None,
    y_val: ArrayLike | None = None,
) -> Diagnosis:
    """Look for what commonly goes wrong with a net and its rows.

    Copies of the net are trained for some steps each, by its own training: with its settings, with a rising learning
    rate, and on a few rows alone. A forest tells whether there is anything to learn. All that is seen goes through a
    list of checks. Of more than 2,000 rows some are taken for the trainings.

    Parameters
    ----------
    estimator : NetClassifier, NetRegressor, FineTuneClassifier or FineTuneRegressor, or a Pipeline that ends in one
        Not changed. The validation losses of one that is fitted are looked at too.
    X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
        The rows to train on.
    y : array-like of shape (n,) or (n, outputs)
    sample_weight : array-like of shape (n,), default=None
        What each row counts.
    X_val, y_val : array-like, default=None
        Rows to validate on, as for ``fit``; without a Pipeline.

    Returns
    -------
    diagnosis : Diagnosis
        Its ``findings`` each have ``code``, ``severity`` (``"error"``, ``"warning"``, ``"note"``), ``evidence``,
        ``cause`` and ``remedy``, the most severe first. ``print`` shows them; a notebook shows them as HTML.

    Raises
    ------
    TypeError
        If ``estimator`` is no net.
    ValueError
        If X and y do not fit it. What goes wrong in a training is a finding.

    See Also
    --------
    find_lr : The range test alone.

    Notes
    -----
    Each training ends after some seconds at the latest; where a step takes long there is no range test, and a learning
    rate that is too low is not found.

    ========================== ======== ====================================================================
    code                       severity what it says
    ========================== ======== ====================================================================
    "training-fails"           error    ``fit`` would raise
    "head-not-replaced"        both     the net has another number of outputs than y needs
    "softmax-before-loss"      error    the net returns probabilities, the cross-entropy wants logits
    "weights-all-alike"        error    all weights are 0, or 1, before the training
    "nan-in-gradient"          error    a gradient that is not finite, at a loss that is
    "no-gradient"              both     trainable parameters that the loss does not depend on
    "learning-rate-too-high"   error    the loss rises
    "learning-rate-too-low"    warning  the loss stays as it is, and would fall at a higher rate
    "one-batch-not-learned"    error    not even a few rows can be learned by heart
    "batch-norm-of-few-rows"   error    BatchNorm in batches of one or two
    "frozen-part-changes"      error    statistics or numbers of a frozen layer move
    "exploding-gradients"      warning  gradients of a layer are far larger than its weights
    "vanishing-gradients"      warning  gradients of a layer are a millionth of those of another
    "dead-relus"               warning  most units of a layer are zero for all rows
    "labels-look-shuffled"     warning  a forest finds nothing to learn
    "target-in-column"         warning  a column tells the target of every row
    "inputs-not-scaled"        warning  columns of very different scales go into a net that takes them as they are
    "coarse-column"            warning  a column varies by few steps of the resolution of its dtype
    "target-not-scaled"        warning  y is far from size 1, and the loss sees it in its own unit
    "augmentation-too-strong"  warning  augmented rows teach nothing of the originals
    "validation-loss-turned"   warning  the validation loss rises again
    "imbalance"                warning  a rare class, and accuracy as all that is measured
    "duplicated-column"        warning  two columns are the same
    "constant-column"          note     a column has one value
    "extreme-scale"            note     a column is larger than 1e8 or smaller than 1e-8
    "no-validation-data"       note     nothing tells when to stop
    ========================== ======== ====================================================================

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
      evidence: alone and without error these tell the target: column 4
      cause: ...
    """
    from ._short_training import look_at_training, pin_strategy

    net, X = take_net(estimator, X, y, "diagnose")
    seen = Evidence(valid_losses=valid_losses_of(estimator))
    names = list(getattr(X, "columns", []))
    rows = rows_of_fit(net, X, y, sample_weight)
    X, y = rows.X, rows.y
    valid = check_validation_rows(net, X_val, y_val)
    note_settings(seen, net, y, valid)
    if net.image_shape_ is None:
        note_columns(seen, X, y, names)
    some = replace(rows.take(np.sort(np.random.default_rng(0).permutation(len(X))[:SOME_ROWS])), valid=valid)
    pin_strategy(net, y)
    look_at_rows(seen, net, some.X, some.y)
    look_at_training(seen, net, some)
    findings = [finding for check in CHECKS if (finding := check(seen)) is not None]
    return Diagnosis(sort_findings(findings), f"{type(net).__name__} on {len(X):,} rows")


def valid_losses_of(estimator):
    """The validation loss of each epoch of a fitted net; none of one that is not, or had no rows to validate on."""
    net = getattr(estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator, "net_", None)
    return [] if net is None else [epoch["valid_loss"] for epoch in net.history if "valid_loss" in epoch]


def note_settings(seen, net, y, valid):
    """What the parameters of a net and its targets say."""
    from ._short_training import scores_otherwise

    seen.n_outputs = net._n_outputs
    seen.stops_early = net.early_stopping
    seen.validates = net.early_stopping or valid is not None or bool(seen.valid_losses)
    seen.weighs_classes = getattr(net, "class_weight", None) is not None
    seen.scores_otherwise = scores_otherwise(net.callbacks)
    if y.dtype == np.int64:
        counts = np.bincount(y, minlength=net._n_outputs)
        seen.class_counts = dict(zip(map(str, net.classes_), counts.tolist(), strict=True))


def note_columns(seen, X, y, names):
    """What the columns of a table say, each by itself."""
    seen.columns = [repr(name) for name in names] or [f"column {place}" for place in range(X.shape[1])]
    seen.means, seen.spreads = column_moments(X)
    seen.largest = np.fmax.reduce(np.abs(X.astype(np.float64)))
    seen.resolution = float(np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps)
    seen.duplicates = find_duplicates(X, seen.columns)
    seen.telling = find_telling(X, seen.columns, y)


def look_at_rows(seen, net, X, y):
    """What forests say of the rows; images are read where they are still in their files."""
    from ._short_training import compare_augmented, failures

    X = X.read() if hasattr(X, "read") else X
    seen.signal = signal_of(X, y)
    if net.augmenter is not None and seen.signal is not None:
        with failures(seen):
            seen.augmented_signal = compare_augmented(net, X, y)
