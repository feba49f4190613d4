"""The checks of a diagnosis: each is a function of the evidence, registered with its code, severity and summary.

The modules ``_checks_*`` hold the checks. Findings of the same severity are reported in the order in which their checks
are registered, so that a fault comes before its consequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ._evidence import Evidence
from ._findings import SEVERITIES, Finding

Found = tuple[str, str, str] | None  # evidence, cause and remedy; None if there is nothing to report


class Check(NamedTuple):
    """A registered check; ``summary`` is its line in the docstring of :func:`diagnose`."""

    code: str
    severity: str
    summary: str
    find: Callable[[Evidence], Found]


CHECKS: list[Check] = []


def check(code: str, severity: str, summary: str):
    """Register the decorated function as a check."""

    def register(find):
        CHECKS.append(Check(code, severity, summary, find))
        return find

    return register


def run_checks(seen: Evidence, checks: Sequence[Check] = CHECKS) -> tuple[Finding, ...]:
    """Return the findings of some checks, the most severe first."""
    found = [(one, one.find(seen)) for one in sorted(checks, key=rank)]
    return tuple(Finding(one.code, one.severity, *texts) for one, texts in found if texts is not None)


def document_checks(function) -> None:
    """Put a table of all checks in place of the line ``{checks}`` in the docstring of a function."""
    if function.__doc__:  # there is none with python -OO
        indent = function.__doc__.partition("{checks}")[0].rpartition("\n")[2]
        rows = [(f'"{one.code}"', one.severity, one.summary) for one in sorted(CHECKS, key=rank)]
        rows = [("code", "severity", "summary"), *rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        line = "  ".join("=" * width for width in widths)
        table = f"\n{indent}".join([line, lines[0], line, *lines[1:], line])
        function.__doc__ = function.__doc__.replace("{checks}", table)


def rank(one: Check) -> int:
    """Return the key by which checks are sorted."""
    return SEVERITIES.index(one.severity)
