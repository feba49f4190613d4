"""How any net is trained: torch modules as scikit-learn estimators, over skorch."""

from ._net import NetClassifier, NetRegressor

__all__ = ["NetClassifier", "NetRegressor"]
