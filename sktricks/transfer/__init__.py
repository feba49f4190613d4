"""Pretrained nets: backbones, freezing, and estimators that fine-tune them."""

from __future__ import annotations

import lazy_loader

from .._warnings import FeatureCacheWarning as FeatureCacheWarning
from .._warnings import FeaturesNotSharedWarning as FeaturesNotSharedWarning

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
