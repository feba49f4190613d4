"""Checks of a net before it is trained; see :mod:`sktricks.inspection._checks`."""

from __future__ import annotations

import numpy as np

from .._text import name_some
from ._checks import Found, check
from ._evidence import Evidence

SAME_VALUE = (0.0, 1.0)


@check("training-fails", "error", "``fit`` would raise an error")
def training_fails(seen: Evidence) -> Found:
    """Report a training that ends in an error."""
    if seen.failure is None:
        return None
    return (
        f"fit ended in {seen.failure}",
        "module, loss and rows do not fit each other",
        "read the message from its end; a module gets n_features and n_outputs if its constructor names them",
    )


@check("head-not-replaced", "error", "the number of outputs of the net does not match y")
def head_not_replaced(seen: Evidence) -> Found:
    """Report a net whose number of outputs does not match y."""
    if seen.failure is None or seen.outputs is None or seen.outputs.shape[1] == seen.n_outputs:
        return None  # fit raises an error for others, but accepts a single logit for two classes
    got = seen.outputs.shape[1]
    return (
        f"the net has {got} outputs, y needs {seen.n_outputs}",
        "the last layer belongs to another task, such as the 1000 classes of ImageNet",
        "give the module a last layer with n_outputs outputs, or pass it as backbone of a FineTuneClassifier, which "
        "adds a new head",
    )


@check("softmax-before-loss", "error", "the net returns probabilities, but the cross-entropy expects logits")
def softmax_before_loss(seen: Evidence) -> Found:
    """Report probabilities as inputs of a loss that expects logits."""
    outputs = seen.outputs
    if outputs is None or not seen.takes_logits or outputs.shape[1] < 2 or not np.isfinite(outputs).all():
        return None
    if outputs.min() < 0 or np.abs(outputs.sum(1) - 1).max() > 1e-3:
        return None
    return (
        "the outputs of each row are between 0 and 1 and sum to 1",
        "the module ends in a softmax, and cross-entropy applies another: gradients shrink, the loss cannot reach 0",
        "remove the softmax from the module; predict_proba applies it",
    )


@check("weights-all-alike", "error", "all weights are 0, or all are 1, before the training")
def all_weights_alike(seen: Evidence) -> Found:
    """Report a net whose units cannot become different."""
    if len(seen.weights) < 2 or any(low != high or low not in SAME_VALUE for low, high in seen.weights.values()):
        return None
    return (
        f"each of the {len(seen.weights)} weight matrices is constant before the training: "
        f"{name_some(list(seen.weights), 5)}",
        "units with equal weights have equal gradients and stay equal; if all weights are 0, all gradients are 0",
        "use torch's own initialization, or draw the weights: torch.nn.init.kaiming_normal_",
    )
