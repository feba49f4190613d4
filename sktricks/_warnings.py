"""All warning categories of the package, and :func:`warn`, which points at the caller's line."""

from __future__ import annotations

import sys
import warnings

# Packages whose frames are skipped to find the user's line.
SKIPPED = {"sktricks", "sklearn", "skorch", "joblib", "contextlib"}


def warn(message, category):
    """Issue a warning that points at the nearest calling line outside sktricks and its dependencies.

    Parameters
    ----------
    message : str
    category : type
        A subclass of :class:`UserWarning`.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in SKIPPED:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


class BackboneConfigWarning(UserWarning):
    """The configuration of a backbone lacks an entry, so a default is assumed, or has an entry that is ignored.

    Also if ``backbone="auto"`` has to take the net for photos, since the weights of that for small images are missing.
    """


class BitDepthWarning(UserWarning):
    """Images with more than 8 bits use only a small part of their range, or exceed ``white_level``."""


class ChannelsKeptWarning(UserWarning):
    """Pruning removed fewer channels than requested."""


class CopiesMayLeakWarning(UserWarning):
    """An estimator splits augmented rows without groups, so copies of a row may be on both sides of the split."""


class DroppedOnLoadWarning(UserWarning):
    """A loaded archive had a path in a parameter, which was replaced by the default."""


class FeatureCacheWarning(UserWarning):
    """A feature cache is damaged, read-only, full, or locked by a stopped process, and is used only in part."""


class FeaturesNotSharedWarning(UserWarning):
    """Parallel processes do not share features: each of them encodes all rows."""


class FrozenPrefixNotCachedWarning(UserWarning):
    """Augmentation that changes with each epoch makes a frozen backbone encode every row in every epoch."""


class ImageFolderWarning(UserWarning):
    """A folder of images has files that are skipped, or its labels or splits are ambiguous."""


class ImageShapeWarning(UserWarning):
    """An estimator for images received rows without an ``image_shape``."""


class ImageSizeWarning(UserWarning):
    """Images lose detail: tiny or elongated images are resized, or files are read at too small a size."""


class MissingClassesWarning(UserWarning):
    """A training fold lacks some of the classes, so its models cannot predict them."""


class NoPretrainedBackboneWarning(UserWarning):
    """A fine-tuned net received a table, for which there is no pretrained backbone."""


class OneHotTargetWarning(UserWarning):
    """Targets with exactly one 1 in each row are treated as multilabel, not as classes."""


class ParametersIgnoredWarning(UserWarning):
    """Parameters were changed after ``fit``, but continued training uses the previous values."""


class RoundedInputWarning(UserWarning):
    """An exported model takes float32, so its input is rounded, and labels near a threshold may change."""


class RowsWithoutPredictionWarning(UserWarning):
    """The splitter leaves rows without an out-of-fold prediction; they are not used for learning."""


class SampleWeightIgnoredWarning(UserWarning):
    """Some members do not take ``sample_weight`` and are fitted without it."""


class SampledLabelsWarning(UserWarning):
    """Labels of mixed rows are sampled because the classifier does not take ``sample_weight``."""


class SeenRowsWarning(UserWarning):
    """A frozen estimator is evaluated on rows that it may have been fitted on."""


class SlowFitWarning(UserWarning):
    """A fit that prints no progress will take minutes."""


class SlowPrecisionWarning(UserWarning):
    """bfloat16 was requested on a CPU without bfloat16 instructions."""


class SmallBackboneWarning(UserWarning):
    """Photos are encoded by a backbone for small images because the weights for photos are not installed."""


class SmallToleranceWarning(UserWarning):
    """The tolerance of a cascade is too small for its number of rows, so no row exits early."""


class TrainingInterruptedWarning(UserWarning):
    """The user interrupted a fit; the net keeps the epochs completed so far."""


class UnclearLearningRateWarning(UserWarning):
    """The loss curve of a learning-rate range test suggests no learning rate."""


class UnlabeledRowsWarning(UserWarning):
    """The label -1 is treated as a class, although semi-supervised estimators use it for unlabeled rows."""


class UnmixedRowsWarning(UserWarning):
    """Rows are not mixed: their targets cannot change here, and there are no classes to mix within."""


class UnreadableImageWarning(UserWarning):
    """An image file is missing or damaged, and is skipped or replaced."""


class ValueRangeWarning(UserWarning):
    """Pixels are not on the scale of ``fit`` or of ``value_range``."""


class ViewsIgnoredWarning(UserWarning):
    """``n_views``, ``predict_views`` or ``n_copies`` has no effect: the augmenter is None or only mixes rows."""
