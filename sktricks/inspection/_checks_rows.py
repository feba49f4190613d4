"""Checks of the rows and of the target; see :mod:`sktricks.inspection._checks`."""

from __future__ import annotations

import numpy as np

from .._text import name_some
from ._checks import Found, check
from ._evidence import Evidence

SCALES_APART = 30  # largest ratio of the scales of two columns, or of the mean of a column to its standard deviation
CHANCE = 4  # standard errors
EXTREME = 1e8  # largest scale of a column, and the inverse of the smallest
FEW_STEPS = 100  # minimum standard deviation, in units of the resolution
KEPT = 0.3  # minimum fraction of the correlation that a forest keeps if it is trained on augmented rows


@check("labels-look-shuffled", "warning", "a forest cannot predict the target")
def labels_shuffled(seen: Evidence) -> Found:
    """Report targets that a forest cannot predict from the rows."""
    if seen.signal is None or seen.signal[1] >= CHANCE:
        return None
    return (
        f"out-of-bag predictions of a random forest correlate with the target by only {seen.signal[0]:.2f}, "
        f"{seen.signal[1]:.1f} standard errors above chance",
        "X and y are in different orders, y is the wrong column, or the columns have no information about the target",
        "look at some rows with their targets; sort the table before X and y are separated",
    )


@check("target-in-column", "warning", "a column determines the target of every row")
def target_among_columns(seen: Evidence) -> Found:
    """Report columns that determine the target."""
    if not seen.telling:
        return None
    return (
        f"each of these columns determines the target: {name_some(seen.telling, 5)}",
        "the column was computed from the target, or is only known after it",
        "leave it out, unless it is known at prediction time",
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
    apart = f"{names[high]} has scale {sizes[high]:.3g}, and {names[low]} has standard deviation {spreads[low]:.3g}"
    one = f"{names[far]} has scale {sizes[far]:.3g} and standard deviation {spreads[far]:.3g}"
    return (
        apart if low != high else one,
        "initial weights and learning rate suit columns of scale 1: large columns dominate, small ones have no effect",
        "put a StandardScaler before the net in a Pipeline, begin the module with a BatchNorm1d, or use module='mlp'",
    )


@check("coarse-column", "warning", "the variation of a column is close to the resolution of its dtype")
def coarse_columns(seen: Evidence) -> Found:
    """Report columns whose variation is close to the resolution of their dtype."""
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
        f"{name} has values up to {value:.6g} and standard deviation {spread:.3g}, but neighboring {digits} numbers of "
        f"that size differ by about {seen.resolution * value:.2g}",
        f"the net reads the column in {digits}, and rounding removes most of its variation",
        "subtract a constant near its mean while the column is in float64 or an integer, as StandardScaler does",
    )


@check("target-not-scaled", "warning", "the scale of y is far from 1, and the loss does not standardize it")
def target_not_scaled(seen: Evidence) -> Found:
    """Report targets whose scale is far from that of the outputs of an untrained net."""
    if not seen.target_size > 0 or 1 / SCALES_APART <= seen.target_size <= SCALES_APART:
        return None
    return (
        f"y has a root mean square of {seen.target_size:.3g} in the loss",
        "a custom loss receives y in its own unit, but initial weights and learning rate suit values of scale 1",
        "use loss='squared_error', 'absolute_error' or 'huber', which standardize y, or TransformedTargetRegressor",
    )


@check("augmentation-too-strong", "warning", "a forest trained on augmented rows cannot predict original rows")
def augmentation_too_strong(seen: Evidence) -> Found:
    """Report augmentation that hides the differences between targets."""
    if seen.augmented_signal is None:
        return None
    plain, augmented = seen.augmented_signal
    if plain < 0.1 or augmented >= KEPT * plain:
        return None
    return (
        f"predictions of original rows by a random forest that is trained on augmented rows have a correlation of "
        f"{augmented:.2f} with the target, by one that is trained on original rows {plain:.2f}",
        "the augmenter removes the differences between targets",
        "use weaker augmentation; AugmentationDisplay shows augmented rows",
    )


@check("duplicated-column", "warning", "two columns are equal")
def duplicated_columns(seen: Evidence) -> Found:
    """Report columns that are equal."""
    if not seen.duplicates:
        return None
    return (
        name_some([f"{name} has the values of {other}" for name, other in seen.duplicates], 5),
        "a table was joined with itself, or a column was copied under another name",
        "leave one of them out: duplicated columns count twice in distances, penalties and importances",
    )


@check("constant-column", "note", "a column has one value")
def constant_columns(seen: Evidence) -> Found:
    """Report columns with one value."""
    names = [name for name, spread in zip(seen.columns, seen.spreads, strict=True) if spread == 0]
    if not names:
        return None
    return (
        f"{len(names)} of {len(seen.columns)} columns have one value: {name_some(names, 5)}",
        "the column was empty, or these rows were selected by its value",
        "leave such columns out, as VarianceThreshold does, or check why their values are constant",
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
        f"{seen.columns[index]} has scale {sizes[index]:.3g} and standard deviation {seen.spreads[index]:.3g}; "
        f"{extreme.sum()} of {len(extreme)} columns have a scale above {EXTREME:g} or below {1 / EXTREME:g}",
        "the unit of the column, or a time with a distant origin; module='mlp' standardizes it, other modules do not",
        "choose a unit in which the column is near 1, or put a StandardScaler before the net in a Pipeline",
    )
