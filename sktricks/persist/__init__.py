"""Fitted estimators in a file that is safe to read: :func:`save` and :func:`load`."""

from __future__ import annotations

from ._save_load import load, save

__all__ = ["load", "save"]
