"""Nets that come pretrained: backbones, freezing, and the estimators that fine-tune them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_cache": ["CacheInfo", "FeatureCache", "FeaturesNotSharedWarning", "cache_info", "clear_cache"],
        "_cache_files": ["FeatureCacheWarning"],
        "_features": ["PretrainedFeatures"],
        "_fine_tune": ["FineTuneClassifier", "FineTuneRegressor"],
        "_freeze": ["FreezeLayers", "freeze_layers"],
        "_layers": ["layer_table"],
        "backbones": ["Backbone", "list_backbones", "load_backbone"],
    },
)
