"""Random augmentation of images and rows, as scikit-learn transformers that require only numpy."""

from __future__ import annotations

from .._warnings import CopiesMayLeakWarning, SampledLabelsWarning, UnmixedRowsWarning
from ._apply import RandomApply
from ._augmentation_display import AugmentationDisplay
from ._base_augmenter import BaseAugmenter
from ._pipeline import AugmentationPipeline, make_augmentation_pipeline
from .copies._augmented import AugmentedClassifier, AugmentedRegressor
from .transforms._affine import RandomAffine, RandomResizedCrop
from .transforms._blur import GaussianBlur
from .transforms._color import ColorJitter, RandomGrayscale
from .transforms._erase import RandomErasing
from .transforms._geometry import RandomCrop, RandomFlip, RandomRotation
from .transforms._mix import CutMix, MixUp
from .transforms._noise import FeatureDropout, GaussianNoise, SwapNoise
from .transforms._policy import TrivialAugment

__all__ = [
    "AugmentationDisplay",
    "AugmentationPipeline",
    "AugmentedClassifier",
    "AugmentedRegressor",
    "BaseAugmenter",
    "ColorJitter",
    "CopiesMayLeakWarning",
    "CutMix",
    "FeatureDropout",
    "GaussianBlur",
    "GaussianNoise",
    "MixUp",
    "RandomAffine",
    "RandomApply",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomGrayscale",
    "RandomResizedCrop",
    "RandomRotation",
    "SampledLabelsWarning",
    "SwapNoise",
    "TrivialAugment",
    "UnmixedRowsWarning",
    "make_augmentation_pipeline",
]
