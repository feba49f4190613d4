"""How any net is trained: torch modules as scikit-learn estimators, over skorch."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_average": ["AverageWeights"],
        "_curves": ["GradientNorms"],
        "_training_display": ["TrainingDisplay"],
        "_net": ["NetClassifier", "NetRegressor"],
    },
)
