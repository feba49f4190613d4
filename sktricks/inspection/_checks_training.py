"""Checks of a short training; see :mod:`sktricks.inspection._checks`."""

from __future__ import annotations

import numpy as np

from .._text import name_some
from ._checks import Found, check
from ._evidence import Evidence

VANISHED, EXPLODED = 1e-6, 1e3  # gradients relative to those of the layer with the largest, and to the weights
DEAD = 0.8  # fraction of the units of a layer
FLAT = 0.05  # decrease of the loss as a fraction of its start
RATES_APART = 10  # ratio of the suggested rate to the one in use
LEARNED, FELL = 0.9, 0.1  # accuracy, and fraction of the initial loss, after a training on a single batch
FEW = 2  # rows per batch


@check("nan-in-gradient", "error", "a gradient that is not finite, at a loss that is")
def bad_gradient(seen: Evidence) -> Found:
    """Report a gradient that is not finite while the loss has not diverged."""
    if seen.bad_gradient is None or diverges(seen):
        return None
    step, name, loss = seen.bad_gradient
    return (
        f"the gradient of {name} is not finite at step {step + 1}, where the loss is {loss:.3g}",
        "a derivative is infinite: a root, norm or logarithm at zero, a division by zero, an overflow of exp",
        "add a small number inside it (sqrt(x + 1e-8)); torch.autograd.set_detect_anomaly(True) names the operation",
    )


@check("no-gradient", "error", "the loss depends on no trainable parameter")
def without_any_gradient(seen: Evidence) -> Found:
    """Report that no trainable parameter has a gradient."""
    return None if seen.gradients else describe_without_gradient(seen)


@check("no-gradient", "warning", "the loss does not depend on some trainable parameters")
def without_gradient(seen: Evidence) -> Found:
    """Report trainable parameters without a gradient while others have one."""
    return describe_without_gradient(seen) if seen.gradients else None


def describe_without_gradient(seen: Evidence) -> Found:
    """Return the evidence of trainable parameters without a gradient, its cause and the remedy."""
    if not seen.without_gradient:
        return None
    return (
        f"these trainable parameters never had a gradient: {name_some(seen.without_gradient, 5)}",
        "the loss does not depend on them: a layer that forward does not use, detach(), no_grad(), or a round trip "
        "through numpy",
        "find the interruption between them and the loss; freeze or remove unused parameters",
    )


@check("learning-rate-too-high", "error", "the loss rises")
def rate_too_high(seen: Evidence) -> Found:
    """Report a learning rate at which the loss rises."""
    suggestion = getattr(seen.curve, "suggestion", None)
    if not diverges(seen) or seen.lr is None or (suggestion is not None and seen.lr <= 3 * suggestion):
        return None
    return (
        f"at lr={seen.lr:.3g} the loss goes from {seen.losses[0]:.3g} to {seen.losses[-1]:.3g}"
        + ("" if suggestion is None else f"; a range test suggests {suggestion:.1g}"),
        "the steps of the optimizer are too large",
        "lr='auto', or lr=" + ("a tenth of it" if suggestion is None else f"{suggestion:.1g}") + "; clip_norm=1.0",
    )


@check("one-batch-not-learned", "error", "the net cannot fit even a few rows")
def one_batch_not_learned(seen: Evidence) -> Found:
    """Report a net that cannot fit even a few rows."""
    if seen.one_batch is None:
        return None
    before, after, right = seen.one_batch
    if right >= LEARNED or (0 <= after <= FELL * before and not np.isnan(right)):
        return None
    return (
        f"after a training on only a few rows, {right:.0%} of them are right, and the loss went from {before:.3g} to "
        f"{after:.3g}",
        "the net or the loss is wrong: a detached layer, a loss that does not match y, outputs in the wrong form, or a "
        "net that is too small",
        "return logits (values for a regressor) from forward, use loss='auto', and see the other findings",
    )


@check("batch-norm-of-few-rows", "error", "BatchNorm in batches of one or two rows")
def batch_norm_of_few(seen: Evidence) -> Found:
    """Report BatchNorm statistics of one or two rows."""
    if not seen.batch_norms or seen.smallest_batch is None or seen.smallest_batch > FEW:
        return None
    return (
        f"batches have {seen.smallest_batch} rows, and {name_some(seen.batch_norms, 5)} normalize by the batch",
        "mean and variance of one or two rows are noise, so the net differs between training and prediction",
        "set batch_size to 16 or more, use GroupNorm or LayerNorm, or freeze the BatchNorms (FreezeLayers)",
    )


@check("frozen-part-changes", "error", "parameters or statistics of a frozen layer change")
def frozen_part_changes(seen: Evidence) -> Found:
    """Report frozen layers that change."""
    if not seen.frozen_changes:
        return None
    return (
        f"the training changed parameters or buffers of frozen layers: {name_some(seen.frozen_changes, 5)}",
        "requires_grad=False does not freeze BatchNorm's statistics, and momentum can still change parameters",
        "freeze with FreezeLayers in callbacks, freeze_layers, or freeze_until of a FineTuneClassifier",
    )


@check("exploding-gradients", "warning", "the gradients of a layer are far larger than its weights")
def gradients_explode(seen: Evidence) -> Found:
    """Report gradients that are large relative to the weights."""
    large = [n for n, (gradient, weight) in seen.gradients.items() if gradient > EXPLODED * max(weight, 1e-3)]
    if not large:
        return None
    worst = max(large, key=lambda name: seen.gradients[name][0])
    return (
        f"gradients of {name_some(large, 5)} are more than {EXPLODED:g} times their weights, that of {worst} is "
        f"{seen.gradients[worst][0]:.2g}",
        "many layers amplify the gradient: large weights, no normalization, inputs or targets of large scale",
        "scale the inputs, normalize between layers, use He's or Xavier's initialization, and set clip_norm=1.0",
    )


@check("vanishing-gradients", "warning", "the gradients of a layer are a millionth of those of another")
def gradients_vanish(seen: Evidence) -> Found:
    """Report layers with tiny gradients compared with other layers."""
    sizes = {name: gradient for name, (gradient, _) in seen.gradients.items() if np.isfinite(gradient)}
    largest = max(sizes.values(), default=0.0)
    small = [name for name, size in sizes.items() if size < VANISHED * largest]
    if not small:
        return None
    return (
        f"gradients of {name_some(small, 5)} are less than a millionth of those of {max(sizes, key=sizes.__getitem__)}",
        "many layers attenuate the gradient: saturated sigmoids, small weights, no normalization, dead units",
        "use ReLU or GELU, residual connections and LayerNorm or BatchNorm, and He's or Xavier's initialization",
    )


@check("dead-relus", "warning", "most units of a layer are zero for all rows")
def dead_relus(seen: Evidence) -> Found:
    """Report ReLUs whose outputs are zero for all rows."""
    dead = {name: fraction for name, fraction in seen.dead.items() if fraction >= DEAD}
    if not dead:
        return None
    return (
        name_some([f"{fraction:.0%} of the units of {name}" for name, fraction in dead.items()], 5)
        + " are zero for every row",
        "after a large step or with a negative bias, the inputs of ReLU are negative, and its gradient is always zero",
        "lower lr, initialize biases with zero, scale the inputs, or use LeakyReLU or GELU",
    )


@check("learning-rate-too-low", "warning", "the loss hardly changes, and would fall at a higher rate")
def rate_too_low(seen: Evidence) -> Found:
    """Report a learning rate at which the loss hardly changes."""
    suggestion = getattr(seen.curve, "suggestion", None)
    if suggestion is None or seen.lr is None or seen.lr * RATES_APART > suggestion or len(seen.losses) < 10:
        return None
    n = len(seen.losses) // 5
    start, end = seen.losses[:n].mean(), seen.losses[-n:].mean()
    if start - end > FLAT * abs(start):
        return None
    return (
        f"at lr={seen.lr:.3g} the loss goes from {start:.3g} to {end:.3g} in {len(seen.losses)} steps; a range test "
        f"suggests {suggestion:.1g}",
        "the steps of the optimizer are too small",
        f"lr='auto', or lr={suggestion:.1g}",
    )


def diverges(seen):
    """Return True if the loss of the short training ends above its start, or was far above it and is not below it."""
    losses = seen.losses
    if len(losses) < 2 or not np.isfinite(losses[0]):
        return False
    start, unit, end = losses[0], abs(losses[0]), losses[-max(1, len(losses) // 10) :].mean()
    if not np.isfinite(end):
        return True
    return bool(end > start + 0.5 * unit or (losses.max() > start + 4 * unit and end > start - 0.1 * unit))
