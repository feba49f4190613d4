"""Random copies of images and rows, as scikit-learn transformers; numpy is all they need."""

from .._validation import UnmixedRowsWarning
from ._base import BaseAugmenter
from ._color import ColorJitter
from ._geometry import RandomCrop, RandomFlip, RandomRotation
from ._mix import MixUp
from ._pipeline import AugmentationPipeline, make_augmentation_pipeline

__all__ = [
    "AugmentationPipeline",
    "BaseAugmenter",
    "ColorJitter",
    "MixUp",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "UnmixedRowsWarning",
    "make_augmentation_pipeline",
]
