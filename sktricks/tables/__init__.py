"""DataFrames as arrays: numbers, gaps and categories."""

__all__ = []
