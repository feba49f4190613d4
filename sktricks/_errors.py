"""Errors that several subpackages raise or catch."""

from __future__ import annotations


class DivergenceError(ValueError):
    """The loss or the weights of a net became infinite or NaN during training."""
