"""What is known of a training before an hour is lost: a learning rate found."""

from ..training._rate_curve import LearningRateCurve
from ._display import LearningRateDisplay
from ._lr_finder import find_lr

__all__ = ["LearningRateCurve", "LearningRateDisplay", "find_lr"]
