"""Helpers for the text of errors and warnings."""

from __future__ import annotations

from collections.abc import Iterable


def count(n: int, noun: str) -> str:
    """Return a number of things as text, such as "1 file" and "2 files"."""
    return f"{n} {noun}{'s' * (n != 1)}"


def name_some(names: Iterable, at_most: int = 3) -> str:
    """Return the first names, and the number of the remaining ones, as text."""
    names = list(map(str, names))
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
