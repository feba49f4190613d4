"""Votes, stacks and cascades of any estimators; requires only numpy and scikit-learn."""

from __future__ import annotations

from .._warnings import (
    MissingClassesWarning,
    RowsWithoutPredictionWarning,
    SampleWeightIgnoredWarning,
    SmallToleranceWarning,
)
from ._cascade import CascadeClassifier
from ._ensemble_display import EnsembleDisplay
from ._net_ensemble import NetEnsembleClassifier, NetEnsembleRegressor
from ._stacking import StackingClassifier, StackingRegressor
from ._voting_classifier import VotingClassifier
from ._voting_regressor import VotingRegressor

__all__ = [
    "CascadeClassifier",
    "EnsembleDisplay",
    "MissingClassesWarning",
    "NetEnsembleClassifier",
    "NetEnsembleRegressor",
    "RowsWithoutPredictionWarning",
    "SampleWeightIgnoredWarning",
    "SmallToleranceWarning",
    "StackingClassifier",
    "StackingRegressor",
    "VotingClassifier",
    "VotingRegressor",
]
