"""Nets that come pretrained: backbones, freezing, and the estimators that fine-tune them."""

from __future__ import annotations

import lazy_loader

from .._warnings import FeatureCacheWarning as FeatureCacheWarning
from .._warnings import FeaturesNotSharedWarning as FeaturesNotSharedWarning

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cache._feature_cache": ["CacheInfo", "FeatureCache", "cache_info", "clear_cache"],
        "_features": ["PretrainedFeatures"],
        "_fine_tune": ["FineTuneClassifier", "FineTuneRegressor"],
        "freezing._freeze": ["FreezeLayers", "freeze_layers"],
        "freezing._layers": ["layer_table"],
        "backbones": ["Backbone", "list_backbones", "load_backbone"],
    },
)
__all__ += ["FeatureCacheWarning", "FeaturesNotSharedWarning"]
