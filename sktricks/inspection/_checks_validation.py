"""Checks of the validation and the score of a net; see :mod:`sktricks.inspection._checks`."""

from __future__ import annotations

import numpy as np

from ._checks import Found, check
from ._evidence import Evidence

TURNED = 0.1  # relative increase of the validation loss from its minimum to the end
RARE = 0.2  # fraction of the rows of the largest class


@check("validation-loss-turned", "warning", "the validation loss rises again")
def validation_loss_turned(seen: Evidence) -> Found:
    """Report a validation loss that rises again."""
    losses = np.array(seen.valid_losses, float)
    if len(losses) < 5 or not np.isfinite(losses).all() or seen.stops_early:
        return None
    best = int(losses.argmin())
    if best >= 0.8 * len(losses) or losses[-3:].mean() <= losses[best] + TURNED * abs(losses[best]):
        return None
    return (
        f"the validation loss is lowest in epoch {best + 1} of {len(losses)} with {losses[best]:.3g} and ends at "
        f"{losses[-1]:.3g}",
        "after this epoch the net overfits its rows",
        "set early_stopping=True, which restores the best weights, or use fewer epochs, weight decay or augmentation",
    )


@check("imbalance", "warning", "a class is rare, and only the accuracy is measured")
def imbalance(seen: Evidence) -> Found:
    """Report a rare class if only the accuracy is measured."""
    counts = seen.class_counts
    if not counts or seen.weighs_classes or seen.scores_otherwise:
        return None
    rare, common = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[rare] >= RARE * counts[common]:
        return None
    return (
        f"class {rare} has {counts[rare]} rows, class {common} has {counts[common]}, and score() is the accuracy",
        f"always predicting {common} has an accuracy of {counts[common] / sum(counts.values()):.0%}",
        "measure balanced_accuracy, average_precision or log loss (scoring=... in cross_val_score, or skorch's "
        "EpochScoring in callbacks); class_weight='balanced' gives rows of rare classes more weight",
    )


@check("no-validation-data", "note", "there is no validation data")
def no_validation(seen: Evidence) -> Found:
    """Report that there is no validation data."""
    if seen.validates:
        return None
    return (
        "early_stopping is off and there are no X_val and y_val",
        "the training loss alone does not show when a net begins to overfit",
        "set early_stopping=True, or call fit(X, y, X_val=..., y_val=...); compare settings by cross_val_score",
    )
