"""What the checks go by: everything that was seen, as plain values; None where nothing could be seen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Evidence:
    """What was seen of an estimator and its rows.

    Attributes
    ----------
    columns : list of str
        The names of a table's columns; none of images.
    means, spreads : ndarray of shape (n_columns,)
        Mean and standard deviation of each column.
    largest : ndarray of shape (n_columns,)
        The largest absolute value of each column.
    resolution : float
        The smallest relative difference of two numbers in the dtype that the columns reach the first layer in.
    target_size : float
        Root mean square of the targets as the loss sees them; NaN for classes.
    normalises : bool
        Whether the first layer of the net normalises its inputs.
    duplicates : list of (str, str)
        A column, and an earlier one with the same values; constant columns aside.
    telling : list of str
        Columns that tell the target of every row by themselves.
    signal : tuple of float or None
        How far a forest's predictions for rows that it has not seen go with the targets: a correlation, and how many
        standard errors of chance that is.
    augmented_signal : tuple of float or None
        The correlation on rows held out of a forest that learned from rows as they are, and of one that learned from
        augmented rows.
    class_counts : dict
        Rows of each class, by its name; empty for a regressor.
    weighs_classes, scores_otherwise : bool
        Whether ``class_weight`` is set, and whether a callback measures anything else than accuracy.
    validates, stops_early : bool
        Whether rows are there to validate on, and whether ``early_stopping`` takes the best weights back.
    valid_losses : list of float
        Of each epoch.
    failure : str or None
        The error that the training ended in.
    n_outputs : int
        That the net should have.
    outputs : ndarray of shape (n, outputs) or None
        What the untrained net says of some rows.
    takes_logits : bool
        Whether the loss is a cross-entropy, which makes probabilities itself.
    weights : dict
        The smallest and the largest number of each matrix of weights before the training, by name.
    batch_norms : list of str
        BatchNorms that normalise by the batch in training.
    smallest_batch : int or None
    gradients : dict
        Of each matrix of weights that is trained, by name and in the order of the net: the root mean square of its
        gradient and of its numbers, medians over the steps.
    without_gradient : list of str
        Trainable parameters that never had a gradient.
    bad_gradient : tuple or None
        The first gradient that was not finite: its step, the parameter's name, and the loss there.
    frozen_changes : list of str
        Parameters and buffers of frozen layers that the training changed.
    dead : dict
        The share of units of each ReLU that are zero for all rows after the training, by name.
    lr : float or None
        The learning rate in use.
    losses : ndarray of shape (n_steps,)
        Of the batches of a short training at a constant rate.
    curve : LearningRateCurve or None
        Of a range test.
    one_batch : tuple of float or None
        The loss before and after a training on one batch, and how many of its targets are then right: accuracy, or the
        squared correlation.
    """

    columns: list = field(default_factory=list)
    means: np.ndarray = field(default_factory=lambda: np.zeros(0))
    spreads: np.ndarray = field(default_factory=lambda: np.zeros(0))
    largest: np.ndarray = field(default_factory=lambda: np.zeros(0))
    resolution: float = 0.0
    target_size: float = float("nan")
    normalises: bool = True
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
