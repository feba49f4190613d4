"""Convert DataFrames to arrays: numbers, missing values and categories."""

from __future__ import annotations

__all__ = []
