"""DataFrames as arrays: numbers, gaps and categories."""

from __future__ import annotations

__all__ = []
