"""All checks of a diagnosis: pure functions from :class:`Evidence` to a :class:`Finding` or None."""

from __future__ import annotations

from ._checks_net import (
    all_weights_alike,
    batch_norm_of_few,
    frozen_part_changes,
    head_not_replaced,
    no_validation,
    softmax_before_loss,
    training_fails,
)
from ._checks_rows import (
    augmentation_too_strong,
    coarse_columns,
    constant_columns,
    duplicated_columns,
    extreme_scale,
    imbalance,
    inputs_not_scaled,
    labels_shuffled,
    target_among_columns,
    target_not_scaled,
)
from ._checks_training import (
    bad_gradient,
    dead_relus,
    gradients_explode,
    gradients_vanish,
    one_batch_not_learned,
    rate_too_high,
    rate_too_low,
    validation_loss_turned,
    without_gradient,
)

# Those of one severity are told in this order: what explains the others comes first.
CHECKS = (
    training_fails,
    head_not_replaced,
    softmax_before_loss,
    all_weights_alike,
    bad_gradient,
    without_gradient,
    rate_too_high,
    one_batch_not_learned,
    batch_norm_of_few,
    frozen_part_changes,
    gradients_explode,
    gradients_vanish,
    dead_relus,
    rate_too_low,
    labels_shuffled,
    target_among_columns,
    inputs_not_scaled,
    coarse_columns,
    target_not_scaled,
    augmentation_too_strong,
    validation_loss_turned,
    imbalance,
    duplicated_columns,
    constant_columns,
    extreme_scale,
    no_validation,
)
