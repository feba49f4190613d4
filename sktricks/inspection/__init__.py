"""Looking at a training from outside."""

from ._predictions import PredictionsDisplay

__all__ = ["PredictionsDisplay"]
