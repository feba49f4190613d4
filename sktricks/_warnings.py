"""Every named warning, and :func:`warn`, which points at the caller's line."""

from __future__ import annotations

import sys
import warnings

# Packages whose frames lie between the user's line and a warning.
BETWEEN = {"sktricks", "sklearn", "skorch", "joblib", "contextlib"}


def warn(message, category):
    """Issue a warning at the nearest line outside of sktricks and what it is built on.

    Parameters
    ----------
    message : str
    category : type
        A subclass of :class:`UserWarning`.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


class BackboneConfigWarning(UserWarning):
    """The configuration of a backbone lacks something that is assumed, or names something that is ignored."""


class BitDepthWarning(UserWarning):
    """Images of more than 8 bits use a small part of their range, or exceed ``white_level``."""


class ChannelsKeptWarning(UserWarning):
    """Pruning removed fewer channels than it was asked for."""


class CopiesMayLeakWarning(UserWarning):
    """An estimator splits augmented rows without groups, and copies of a row lie on both sides."""


class DroppedOnLoadWarning(UserWarning):
    """A loaded archive named a path in a parameter, which was replaced by a default."""


class FeatureCacheWarning(UserWarning):
    """A folder of features cannot be used completely: damaged, read-only, full or locked by a stopped process."""


class FeaturesNotSharedWarning(UserWarning):
    """Processes work side by side, and each encodes all rows for itself."""


class FrozenPrefixNotCachedWarning(UserWarning):
    """Fresh augmentation makes a frozen backbone encode every row anew in every epoch."""


class ImageFolderWarning(UserWarning):
    """A folder of images holds files that are left out, or its labels or splits are in doubt."""


class ImageShapeWarning(UserWarning):
    """Rows were given where images were meant, and no ``image_shape`` says how to read them."""


class ImageSizeWarning(UserWarning):
    """Images lose detail: a few pixels or long and narrow ones are resized, or files are read at too small a size."""


class MissingClassesWarning(UserWarning):
    """A fold trains without some of the classes, and its models cannot predict them."""


class NoPretrainedBackboneWarning(UserWarning):
    """A fine-tuned net got a table, for which no pretrained backbone exists."""


class OneHotTargetWarning(UserWarning):
    """Targets with exactly one 1 in each row are treated as several labels, not as classes."""


class ParametersIgnoredWarning(UserWarning):
    """Parameters were changed after ``fit``, and a training that continues keeps those that it began with."""


class RoundedInputWarning(UserWarning):
    """Numbers are rounded to float32, which an exported model takes; labels near a threshold may change."""


class RowsWithoutPredictionWarning(UserWarning):
    """The splitter leaves rows without an out-of-fold prediction, and nothing is learned from them."""


class SampleWeightIgnoredWarning(UserWarning):
    """Some members take no ``sample_weight`` and are fitted without it."""


class SampledLabelsWarning(UserWarning):
    """Labels of mixed rows are drawn, since the classifier takes no weights."""


class SeenRowsWarning(UserWarning):
    """A frozen estimator is judged on rows that it may have been fitted on."""


class SlowFitWarning(UserWarning):
    """A silent fit will take minutes."""


class SlowPrecisionWarning(UserWarning):
    """bfloat16 was asked for on a processor that has no instructions for it."""


class SmallBackboneWarning(UserWarning):
    """Photos are seen by a net for small images, since the weights of the net for photos are not installed."""


class SmallToleranceWarning(UserWarning):
    """The tolerance of a cascade is too small for its rows, and no row is decided early."""


class TrainingInterruptedWarning(UserWarning):
    """A fit was ended by the user; the net keeps the epochs so far."""


class UnclearLearningRateWarning(UserWarning):
    """A learning-rate range test saw a curve that says nothing."""


class UnlabeledRowsWarning(UserWarning):
    """The label -1 is learned like any other, where other estimators take it for rows without a label."""


class UnmixedRowsWarning(UserWarning):
    """Rows were to be mixed while their targets cannot change, and there are no classes to mix within."""


class UnreadableImageWarning(UserWarning):
    """An image is missing or damaged, and is left out or replaced."""


class ValueRangeWarning(UserWarning):
    """Pixels are on another scale than those of ``fit``, or than ``value_range`` says."""


class ViewsIgnoredWarning(UserWarning):
    """``n_views``, ``predict_views`` or ``n_copies`` is set, and the augmenter is None or only mixes rows."""
