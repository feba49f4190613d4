"""The evidence of a diagnosis, which the checks read, and functions that fill in that of settings and columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ._row_statistics import column_moments, find_duplicates, find_telling


@dataclass
class Evidence:
    """Observations of a net and its rows, as plain values; the defaults mean that nothing was observed.

    Attributes
    ----------
    columns : list of str
        The names of the columns of a table; empty for images.
    means, spreads : ndarray of shape (n_columns,)
        Mean and standard deviation of each column.
    largest : ndarray of shape (n_columns,)
        The largest absolute value of each column.
    resolution : float
        The smallest relative difference of two numbers in the dtype in which the columns reach the first layer.
    target_size : float
        Root mean square of the targets that the loss receives; NaN for classes.
    normalizes : bool
        True if the first layer of the net normalizes its inputs.
    duplicates : list of (str, str)
        A column, and an earlier one with the same values; without constant columns.
    telling : list of str
        Columns that determine the target of every row by themselves.
    signal : tuple of float or None
        The correlation of a forest's out-of-bag predictions with the targets, and its size in standard errors of
        chance.
    augmented_signal : tuple of float or None
        The correlation on held-out rows of a forest that is trained on original rows, and of one that is trained on
        augmented rows.
    class_counts : dict
        Rows per class, by the name of the class; empty for a regressor.
    weighs_classes : bool
        True if ``class_weight`` is set.
    scores_otherwise : bool
        True if a callback measures a score other than the accuracy.
    validates : bool
        True if there are validation rows.
    stops_early : bool
        True if ``early_stopping`` restores the best weights.
    valid_losses : list of float
        The validation loss of each epoch.
    failure : str or None
        The error of the training.
    n_outputs : int
        The number of outputs that y requires.
    outputs : ndarray of shape (n, outputs) or None
        The outputs of the untrained net for some rows.
    takes_logits : bool
        True if the loss is a cross-entropy, which applies softmax itself.
    weights : dict
        The minimum and the maximum of each weight matrix before the training, by name.
    batch_norms : list of str
        BatchNorms that normalize by the batch in training.
    smallest_batch : int or None
    gradients : dict
        The root mean squares of the gradient and of the weights of each trained weight matrix, by name and in the order
        of the net: medians over the steps.
    without_gradient : list of str
        Trainable parameters that never had a gradient.
    bad_gradient : tuple or None
        The first gradient that was not finite: its step, the name of the parameter, and the loss.
    frozen_changes : list of str
        Parameters and buffers of frozen layers that the training changed.
    dead : dict
        The fraction of units of each ReLU that are zero for all rows after the training, by name.
    lr : float or None
        The learning rate in use.
    losses : ndarray of shape (n_steps,)
        The losses of the batches of a short training at a constant rate.
    curve : LearningRateCurve or None
        The result of a range test.
    one_batch : tuple of float or None
        The loss before and after a training on one batch, and the accuracy on it, or the squared correlation.
    """

    columns: list = field(default_factory=list)
    means: np.ndarray = field(default_factory=lambda: np.zeros(0))
    spreads: np.ndarray = field(default_factory=lambda: np.zeros(0))
    largest: np.ndarray = field(default_factory=lambda: np.zeros(0))
    resolution: float = 0.0
    target_size: float = float("nan")
    normalizes: bool = True
    duplicates: list = field(default_factory=list)
    telling: list = field(default_factory=list)
    signal: tuple | None = None
    augmented_signal: tuple | None = None
    class_counts: dict = field(default_factory=dict)
    weighs_classes: bool = False
    scores_otherwise: bool = False
    validates: bool = True
    stops_early: bool = False
    valid_losses: list = field(default_factory=list)
    failure: str | None = None
    n_outputs: int = 1
    outputs: np.ndarray | None = None
    takes_logits: bool = False
    weights: dict = field(default_factory=dict)
    batch_norms: list = field(default_factory=list)
    smallest_batch: int | None = None
    gradients: dict = field(default_factory=dict)
    without_gradient: list = field(default_factory=list)
    bad_gradient: tuple | None = None
    frozen_changes: list = field(default_factory=list)
    dead: dict = field(default_factory=dict)
    lr: float | None = None
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    curve: object = None
    one_batch: tuple | None = None


def note_settings(seen: Evidence, net, y, valid):
    """Fill in the evidence from the parameters of a net and its targets."""
    from ._short_training import scores_otherwise

    seen.n_outputs = net._n_outputs
    seen.stops_early = net.early_stopping
    seen.validates = net.early_stopping or valid is not None or bool(seen.valid_losses)
    seen.weighs_classes = getattr(net, "class_weight", None) is not None
    seen.scores_otherwise = scores_otherwise(net.callbacks)
    if y.dtype == np.int64:
        counts = np.bincount(y, minlength=net._n_outputs)
        seen.class_counts = dict(zip(map(str, net.classes_), counts.tolist(), strict=True))


def note_columns(seen: Evidence, X, y, names):
    """Fill in the evidence from each column of a table."""
    seen.columns = [repr(name) for name in names] or [f"column {index}" for index in range(X.shape[1])]
    seen.means, seen.spreads = column_moments(X)
    seen.largest = np.fmax.reduce(np.abs(X.astype(np.float64)))
    seen.resolution = float(np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps)
    seen.duplicates = find_duplicates(X, seen.columns)
    seen.telling = find_telling(X, seen.columns, y)
