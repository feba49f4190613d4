"""Checks of a short training; see :mod:`sktricks.inspection._checks`."""

from __future__ import annotations

import numpy as np

from ._findings import Finding, listed

VANISHED, EXPLODED = 1e-6, 1e3  # gradients, as a share of the largest layer's, and of the weights
DEAD = 0.8  # of the units of a layer
FLAT = 0.05  # of the loss at the start
RATES_APART = 10  # between the rate in use and the one suggested
LEARNED, FELL = 0.9, 0.1  # right targets, and loss, of one batch after a training on it alone
TURNED = 0.1  # by which a validation loss ends above its minimum


def bad_gradient(seen):
    """A gradient that is not a number while the loss is as it was."""
    if seen.bad_gradient is None or diverges(seen):
        return None
    step, name, loss = seen.bad_gradient
    return Finding(
        "nan-in-gradient",
        "error",
        f"the gradient of {name} is not finite at step {step + 1}, where the loss is {loss:.3g}",
        "a derivative is infinite: a root, norm or logarithm at zero, a division by zero, an overflow of exp",
        "add a small number inside of it (sqrt(x + 1e-8)); torch.autograd.set_detect_anomaly(True) names the operation",
    )


def without_gradient(seen):
    """Trainable parameters that nothing reaches."""
    if not seen.without_gradient:
        return None
    return Finding(
        "no-gradient",
        "error" if not seen.gradients else "warning",
        f"these are trainable and never had a gradient: {listed(seen.without_gradient)}",
        "the loss does not depend on them: a layer that forward does not use, detach(), no_grad(), or a round trip "
        "through numpy",
        "find where the path from them to the loss is cut; freeze or remove what is not used",
    )


def gradients_vanish(seen):
    """Layers that learn next to nothing beside the others."""
    sizes = {name: gradient for name, (gradient, _) in seen.gradients.items() if np.isfinite(gradient)}
    largest = max(sizes.values(), default=0.0)
    small = [name for name, size in sizes.items() if size < VANISHED * largest]
    if not small:
        return None
    return Finding(
        "vanishing-gradients",
        "warning",
        f"gradients of {listed(small)} are less than a millionth of those of {max(sizes, key=sizes.get)}",
        "each of many layers shrinks the gradient: saturated sigmoids, small weights, no normalisation, dead units",
        "use ReLU or GELU, residual connections and LayerNorm or BatchNorm, and He's or Xavier's initialisation",
    )


def gradients_explode(seen):
    """Gradients that are large beside the weights."""
    large = [n for n, (gradient, weight) in seen.gradients.items() if gradient > EXPLODED * max(weight, 1e-3)]
    if not large:
        return None
    worst = max(large, key=lambda name: seen.gradients[name][0])
    return Finding(
        "exploding-gradients",
        "warning",
        f"gradients of {listed(large)} are more than {EXPLODED:g} times their weights, those of {worst} "
        f"{seen.gradients[worst][0]:.2g}",
        "each of many layers enlarges the gradient: large weights, no normalisation, inputs or targets of large scale",
        "scale the inputs, normalise between layers, use He's or Xavier's initialisation, and set clip_norm=1.0",
    )


def dead_relus(seen):
    """ReLUs behind which nothing ever comes out."""
    dead = {name: share for name, share in seen.dead.items() if share >= DEAD}
    if not dead:
        return None
    return Finding(
        "dead-relus",
        "warning",
        listed([f"{share:.0%} of the units of {name}" for name, share in dead.items()]) + " are zero for every row",
        "a large step or a negative bias has moved them to where ReLU has no slope, from which they never return",
        "lower lr, begin biases at zero, scale the inputs, or use LeakyReLU or GELU",
    )


def diverges(seen):
    """Whether the loss of the short training ends above its start, or was far above it and never came below."""
    losses = seen.losses
    if len(losses) < 2 or not np.isfinite(losses[0]):
        return False
    start, unit, end = losses[0], abs(losses[0]), losses[-max(1, len(losses) // 10) :].mean()
    if not np.isfinite(end):
        return True
    return bool(end > start + 0.5 * unit or (losses.max() > start + 4 * unit and end > start - 0.1 * unit))


def rate_too_high(seen):
    """A learning rate at which the loss rises."""
    suggestion = getattr(seen.curve, "suggestion", None)
    if not diverges(seen) or seen.lr is None or (suggestion is not None and seen.lr <= 3 * suggestion):
        return None
    return Finding(
        "learning-rate-too-high",
        "error",
        f"at lr={seen.lr:.3g} the loss goes from {seen.losses[0]:.3g} to {seen.losses[-1]:.3g}"
        + ("" if suggestion is None else f"; a range test suggests {suggestion:.1g}"),
        "each step goes farther than the gradient holds",
        "lr='auto', or lr=" + ("a tenth of it" if suggestion is None else f"{suggestion:.1g}") + "; clip_norm=1.0",
    )


def rate_too_low(seen):
    """A learning rate at which nothing happens."""
    suggestion = getattr(seen.curve, "suggestion", None)
    if suggestion is None or seen.lr is None or seen.lr * RATES_APART > suggestion or len(seen.losses) < 10:
        return None
    n = len(seen.losses) // 5
    start, end = seen.losses[:n].mean(), seen.losses[-n:].mean()
    if start - end > FLAT * abs(start):
        return None
    return Finding(
        "learning-rate-too-low",
        "warning",
        f"at lr={seen.lr:.3g} the loss goes from {start:.3g} to {end:.3g} in {len(seen.losses)} steps; a range test "
        f"suggests {suggestion:.1g}",
        "the steps are too small to get anywhere",
        f"lr='auto', or lr={suggestion:.1g}",
    )


def one_batch_not_learned(seen):
    """A net that cannot even learn a few rows by heart."""
    if seen.one_batch is None:
        return None
    before, after, right = seen.one_batch
    if right >= LEARNED or (0 <= after <= FELL * before and not np.isnan(right)):
        return None
    return Finding(
        "one-batch-not-learned",
        "error",
        f"after a training on few rows alone {right:.0%} of them are right, and the loss went from {before:.3g} to "
        f"{after:.3g}",
        "something is cut or wrong: a detached layer, a loss that does not want what y says, outputs in the wrong "
        "form, a net with too little room",
        "have forward return logits (values, for a regressor), leave loss='auto', and see the other findings",
    )


def validation_loss_turned(seen):
    """A validation loss that rises again."""
    losses = np.array(seen.valid_losses, float)
    if len(losses) < 5 or not np.isfinite(losses).all() or seen.stops_early:
        return None
    best = int(losses.argmin())
    if best >= 0.8 * len(losses) or losses[-3:].mean() <= losses[best] + TURNED * abs(losses[best]):
        return None
    return Finding(
        "validation-loss-turned",
        "warning",
        f"the validation loss is lowest in epoch {best + 1} of {len(losses)} with {losses[best]:.3g} and ends at "
        f"{losses[-1]:.3g}",
        "from there on the net learns its rows by heart",
        "early_stopping=True takes the best weights back; or fewer epochs, more weight_decay, augmentation",
    )
