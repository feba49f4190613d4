"""Save fitted estimators to files that are safe to load: :func:`save` and :func:`load`."""

from __future__ import annotations

from ._save_load import load, save

__all__ = ["load", "save"]
