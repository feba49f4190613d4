"""Checks of the rows and of the target; see :mod:`sktricks.inspection._checks`."""

from __future__ import annotations

import numpy as np

from .._text import name_some
from ._checks import Found, check
from ._evidence import Evidence

SCALES_APART = 30  # ratio of the sizes of two columns, or of the mean of a column to its spread
CHANCE = 4  # standard errors
EXTREME = 1e8  # or its inverse: the size of columns in a unit that is hardly intended
FEW_STEPS = 100  # of the resolution, in a standard deviation
KEPT = 0.3  # of the correlation that a forest reaches on originals, if it has learned from augmented rows


@check("labels-look-shuffled", "warning", "a forest cannot predict the target")
def labels_shuffled(seen: Evidence) -> Found:
    """Report targets that a forest cannot predict from the rows."""
    if seen.signal is None or seen.signal[1] >= CHANCE:
        return None
    return (
        f"a random forest's predictions for rows that it has not seen correlate with the target by {seen.signal[0]:.2f}"
        f", {seen.signal[1]:.1f} standard errors of chance",
        "X and y are in different orders, y is the wrong column, or the columns know nothing of the target",
        "look at some rows beside their targets; sort both by one key before they part",
    )


@check("target-in-column", "warning", "a column determines the target of every row")
def target_among_columns(seen: Evidence) -> Found:
    """Report columns that are the target in another form."""
    if not seen.telling:
        return None
    return (
        f"alone and without error these tell the target: {name_some(seen.telling, 5)}",
        "the column was computed from the target, or is only known after it",
        "leave it out, unless it will really be known when there is something to predict",
    )


@check("inputs-not-scaled", "warning", "columns of very different scales in a net that does not scale them")
def inputs_not_scaled(seen: Evidence) -> Found:
    """Report columns of very different scales, or far from zero, if the net does not scale them."""
    varies = seen.spreads > 0
    if seen.normalizes or not varies.any():
        return None
    names, spreads = np.array(seen.columns, dtype=object)[varies], seen.spreads[varies]
    sizes = np.hypot(spreads, seen.means[varies])
    low, high, far = spreads.argmin(), sizes.argmax(), (sizes / spreads).argmax()
    if sizes[high] / spreads[low] <= SCALES_APART and 1 / SCALES_APART <= sizes[high] <= SCALES_APART:
        return None
    apart = f"{names[high]} is of size {sizes[high]:.3g}, and {names[low]} varies by {spreads[low]:.3g}"
    return (
        apart if low != high else f"{names[far]} is of size {sizes[far]:.3g} and varies by {spreads[far]:.3g}",
        "initial weights and learning rate are for columns of size 1: large ones drown the others, small ones vanish",
        "put a StandardScaler before the net in a Pipeline, begin the module with a BatchNorm1d, or use module='mlp'",
    )


@check("coarse-column", "warning", "a column varies by few steps of the resolution of its dtype")
def coarse_columns(seen: Evidence) -> Found:
    """Report columns that vary by few steps of the resolution of their dtype."""
    steps = np.divide(
        seen.spreads, seen.resolution * seen.largest, where=seen.largest > 0, out=np.zeros(len(seen.spreads))
    )
    coarse = (seen.spreads > 0) & (steps < FEW_STEPS)
    if not coarse.any():
        return None
    name, value, spread = (
        of[coarse.argmax()] for of in (np.array(seen.columns, dtype=object), seen.largest, seen.spreads)
    )
    digits = "float32" if seen.resolution > 1e-10 else "float64"
    return (
        f"{name} has values up to {value:.6g} and varies by {spread:.3g}, but neighboring {digits} numbers of that "
        f"size differ by about {seen.resolution * value:.2g}",
        f"the column reaches the net in {digits}, and most of what it says is rounded off",
        "subtract a constant near its mean while the column is in float64 or an integer, as StandardScaler does",
    )


@check("target-not-scaled", "warning", "y is far from size 1, and the loss does not standardize it")
def target_not_scaled(seen: Evidence) -> Found:
    """Report targets whose size is far from that of the outputs of an untrained net."""
    if not seen.target_size > 0 or 1 / SCALES_APART <= seen.target_size <= SCALES_APART:
        return None
    return (
        f"y has a root mean square of {seen.target_size:.3g} in the loss",
        "a loss of one's own sees y in its own unit, while initial weights and learning rate are for values of size 1",
        "use loss='squared_error', 'absolute_error' or 'huber', which standardize y, or TransformedTargetRegressor",
    )


@check("augmentation-too-strong", "warning", "a forest that learns from augmented rows cannot predict original ones")
def augmentation_too_strong(seen: Evidence) -> Found:
    """Report augmentation that hides the differences between targets."""
    if seen.augmented_signal is None:
        return None
    plain, augmented = seen.augmented_signal
    if plain < 0.1 or augmented >= KEPT * plain:
        return None
    return (
        f"a random forest that learned from augmented rows recognizes originals by a correlation of {augmented:.2f}, "
        f"one that learned from originals by {plain:.2f}",
        "the augmenter destroys what tells the targets apart",
        "weaken it; AugmentationDisplay shows what becomes of the rows",
    )


@check("duplicated-column", "warning", "two columns are equal")
def duplicated_columns(seen: Evidence) -> Found:
    """Report columns that are equal."""
    if not seen.duplicates:
        return None
    return (
        name_some([f"{name} has the values of {other}" for name, other in seen.duplicates], 5),
        "a table was joined with itself, or a column was copied under another name",
        "leave one of them out: what is there twice counts twice in distances, penalties and importances",
    )


@check("constant-column", "note", "a column has one value")
def constant_columns(seen: Evidence) -> Found:
    """Report columns with one value."""
    names = [name for name, spread in zip(seen.columns, seen.spreads, strict=True) if spread == 0]
    if not names:
        return None
    return (
        f"{len(names)} of {len(seen.columns)} columns have one value: {name_some(names, 5)}",
        "the column was empty, or these rows were chosen by it",
        "leave such columns out, as VarianceThreshold does, or find out where their values went",
    )


@check("extreme-scale", "note", "a column is larger than 1e8 or smaller than 1e-8")
def extreme_scale(seen: Evidence) -> Found:
    """Report columns in an unusual unit, or far from zero."""
    sizes = np.hypot(seen.spreads, seen.means)
    extreme = (seen.spreads > 0) & ((sizes > EXTREME) | (sizes < 1 / EXTREME))
    if not extreme.any():
        return None
    index = extreme.argmax()
    return (
        f"{seen.columns[index]} is of size {sizes[index]:.3g} and varies by {seen.spreads[index]:.3g}; {extreme.sum()} "
        f"of {len(extreme)} columns are larger than {EXTREME:g} or smaller than {1 / EXTREME:g}",
        "the unit of the column, or a time counted from far away; module='mlp' standardizes it, other modules do not",
        "state the column in a unit in which it is near 1, or put a StandardScaler before the net in a Pipeline",
    )
