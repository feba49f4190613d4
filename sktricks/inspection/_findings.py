"""Diagnosis and Finding: the results of diagnose, as text on a terminal and as HTML in a notebook."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

SEVERITIES = ("error", "warning", "note")  # the most severe first
COLORS = {"error": "#c62828", "warning": "#b26a00", "note": "#546e7a"}  # legible on white and on black
WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """One finding of :func:`diagnose`.

    Attributes
    ----------
    code : str
        The identifier of the finding, such as ``"inputs-not-scaled"``.
    severity : {"error", "warning", "note"}
        ``"error"``: the training cannot work. ``"warning"``: its result is probably worse than necessary. ``"note"``:
        for information.
    evidence : str
        The observation, with numbers and names.
    cause : str
        The likely reason.
    remedy : str
        The change that helps.

    See Also
    --------
    diagnose : Look for common faults of a net and its rows.

    Examples
    --------
    >>> from sktricks import Finding
    >>> finding = Finding("lr-too-high", "error", "the loss rises", "lr is too high", "set lr=0.001")
    >>> finding.severity
    'error'
    """

    code: str
    severity: str
    evidence: str
    cause: str
    remedy: str

    def __str__(self):
        lines = [f"{self.severity}: {self.code}"]
        for title in ("evidence", "cause", "remedy"):
            first, later = f"  {title + ':':<10}", " " * 12
            lines += textwrap.wrap(getattr(self, title), WIDTH, initial_indent=first, subsequent_indent=later)
        return "\n".join(lines)


@dataclass(frozen=True)
class Diagnosis:
    """The result of :func:`diagnose`; ``print`` shows it as text.

    Attributes
    ----------
    findings : tuple of Finding
        The most severe first.
    subject : str
        The net and the number of rows.

    See Also
    --------
    diagnose : Look for common faults of a net and its rows.

    Examples
    --------
    >>> from sktricks import Diagnosis, Finding
    >>> finding = Finding("lr-too-high", "error", "the loss rises", "lr is too high", "set lr=0.001")
    >>> print(Diagnosis((finding,), "NetClassifier, 150 rows"))
    NetClassifier, 150 rows: 1 error
    <BLANKLINE>
    error: lr-too-high
        evidence: the loss rises
        cause:    lr is too high
        remedy:   set lr=0.001
    """

    findings: tuple[Finding, ...]
    subject: str

    def __str__(self):
        return "\n\n".join([f"{self.subject}: {self._summary()}", *map(str, self.findings)])

    def __repr__(self):
        return f"<Diagnosis of {self.subject}: {self._summary()}>"

    def _repr_html_(self):
        parts = "".join(map(finding_as_html, self.findings))
        return f"<div><p><b>{html.escape(self.subject)}</b>: {self._summary()}</p>{parts}</div>"

    def _summary(self):
        counts = {severity: sum(one.severity == severity for one in self.findings) for severity in SEVERITIES}
        told = [f"{n} {severity}{'s' * (n > 1)}" for severity, n in counts.items() if n]
        return ", ".join(told) if told else "nothing found"


def finding_as_html(finding):
    """Return a finding as an HTML block with a colored edge."""
    color = COLORS[finding.severity]
    rows = "".join(
        f"<tr><td style='padding-right:1em;vertical-align:top;text-align:left'>{title}</td>"
        f"<td style='text-align:left'>{html.escape(getattr(finding, title))}</td></tr>"
        for title in ("evidence", "cause", "remedy")
    )
    head = f"<b style='color:{color}'>{finding.severity}: {html.escape(finding.code)}</b>"
    style = f"border-left:4px solid {color};padding-left:0.8em;margin:0.8em 0"
    return f"<div style='{style}'>{head}<table>{rows}</table></div>"
