"""Random copies of images and rows, as scikit-learn transformers; numpy is all they need."""

from .._validation import UnmixedRowsWarning
from ._affine import RandomAffine, RandomResizedCrop
from ._apply import RandomApply
from ._augmented import AugmentedClassifier, AugmentedRegressor, SampledLabelsWarning
from ._base import BaseAugmenter
from ._blur import GaussianBlur
from ._color import ColorJitter, RandomGrayscale
from ._display import AugmentationDisplay
from ._erase import RandomErasing
from ._geometry import RandomCrop, RandomFlip, RandomRotation
from ._leaks import CopiesMayLeakWarning
from ._mix import CutMix, MixUp
from ._pipeline import AugmentationPipeline, make_augmentation_pipeline
from ._policy import TrivialAugment
from ._table import FeatureDropout, GaussianNoise, SwapNoise

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
