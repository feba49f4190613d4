"""Looking at a training from outside, before an hour is lost: a learning rate found, a net and its rows examined."""

from ..training._rate_curve import LearningRateCurve
from ._diagnose import diagnose
from ._display import LearningRateDisplay
from ._findings import Diagnosis, Finding
from ._lr_finder import find_lr
from ._predictions import PredictionsDisplay

__all__ = [
    "Diagnosis",
    "Finding",
    "LearningRateCurve",
    "LearningRateDisplay",
    "PredictionsDisplay",
    "diagnose",
    "find_lr",
]
