"""Checks of a net before it is trained, and of what stays frozen; see :mod:`sktricks.inspection._checks`."""

from __future__ import annotations

import numpy as np

from ._findings import Finding, listed

SAME_VALUE = (0.0, 1.0)
FEW = 2  # rows of a batch


def training_fails(seen):
    """A training that ends in an error."""
    if seen.failure is None:
        return None
    return Finding(
        "training-fails",
        "error",
        f"fit ended in {seen.failure}",
        "module, loss and rows do not fit each other",
        "read the message from its end; a module gets n_features and n_outputs if its constructor names them",
    )


def head_not_replaced(seen):
    """A net with another number of outputs than there are classes or values."""
    if seen.failure is None or seen.outputs is None or seen.outputs.shape[1] == seen.n_outputs:
        return None  # fit refuses others, but takes a single logit for two classes
    got = seen.outputs.shape[1]
    return Finding(
        "head-not-replaced",
        "error",
        f"the net has {got} outputs, y needs {seen.n_outputs}",
        "the last layer is that of another task, such as the 1000 classes of ImageNet",
        "give the module a last layer with n_outputs outputs, or pass it as backbone of a FineTuneClassifier, which "
        "puts a head of its own on it",
    )


def softmax_before_loss(seen):
    """Probabilities where the loss wants logits."""
    outputs = seen.outputs
    if outputs is None or not seen.takes_logits or outputs.shape[1] < 2 or not np.isfinite(outputs).all():
        return None
    if outputs.min() < 0 or np.abs(outputs.sum(1) - 1).max() > 1e-3:
        return None
    return Finding(
        "softmax-before-loss",
        "error",
        "the outputs of each row are between 0 and 1 and sum to 1",
        "the module ends in a softmax, and cross-entropy has one of its own: gradients shrink, the loss cannot reach 0",
        "take the softmax out of the module; predict_proba applies it",
    )


def all_weights_alike(seen):
    """A net whose units cannot become different."""
    if len(seen.weights) < 2 or any(low != high or low not in SAME_VALUE for low, high in seen.weights.values()):
        return None
    return Finding(
        "weights-all-alike",
        "error",
        f"all {len(seen.weights)} matrices of weights hold one number at the start: {listed(list(seen.weights))}",
        "units that start alike have the same gradient and stay alike; from zeros nothing moves at all",
        "leave torch's own initialisation, or draw the weights: torch.nn.init.kaiming_normal_",
    )


def batch_norm_of_few(seen):
    """Statistics of one or two rows."""
    if not seen.batch_norms or seen.smallest_batch is None or seen.smallest_batch > FEW:
        return None
    return Finding(
        "batch-norm-of-few-rows",
        "error",
        f"batches have {seen.smallest_batch} rows, and {listed(seen.batch_norms)} normalise by the batch",
        "of one or two rows mean and variance are noise: training and prediction see different nets",
        "make batch_size 16 or more, use GroupNorm or LayerNorm, or freeze the BatchNorms (FreezeLayers)",
    )


def no_validation(seen):
    """Nothing that would tell when to stop."""
    if seen.validates:
        return None
    return Finding(
        "no-validation-data",
        "note",
        "early_stopping is off and there are no X_val and y_val",
        "the training loss alone does not tell when a net begins to learn its rows by heart",
        "early_stopping=True, or fit(X, y, X_val=..., y_val=...); compare settings by cross_val_score",
    )


def frozen_part_changes(seen):
    """Frozen layers that are not."""
    if not seen.frozen_changes:
        return None
    return Finding(
        "frozen-part-changes",
        "error",
        f"the training changed parts of frozen layers: {listed(seen.frozen_changes)}",
        "requires_grad=False leaves BatchNorm's statistics moving, and an optimizer moves what it remembers",
        "freeze with FreezeLayers in callbacks, freeze_layers, or freeze_until of a FineTuneClassifier",
    )
