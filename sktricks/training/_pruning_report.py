"""PruningReport: a summary of the channels that prune removed, and of the scores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PruningReport:
    """The result of :func:`prune`, stored as ``pruning_`` in the net that it returns.

    Attributes
    ----------
    amount : float
        Fraction of the channels that was removed from each layer, before rounding. 0 if nothing was removed.
    n_parameters_before, n_parameters_after : int
        The number of parameters of the net before and after pruning.
    scores : list of tuple of float
        Pairs of a fraction and the score on held-out rows after removing it, for each fraction tried; the first is
        ``(0.0, score)`` for the unpruned net. Empty with ``max_score_drop=None``.
    kept_layers : list of str
        Names of the layers that cannot be pruned.

    See Also
    --------
    prune : Remove channels from a net.

    Examples
    --------
    >>> from sktricks import PruningReport
    >>> print(PruningReport(0.5, 1_165_000, 292_000, [(0.0, 0.98), (0.25, 0.985), (0.5, 0.975)], []))
    channels removed   50 %
    parameters         292,000 of 1,165,000 (25.1 %)
    held-out score     0.9800 before, 0.9850 at 25 %, 0.9750 at 50 %
    """

    amount: float
    n_parameters_before: int
    n_parameters_after: int
    scores: list[tuple[float, float]]
    kept_layers: list[str]

    def __str__(self):
        kept = self.n_parameters_after / self.n_parameters_before
        lines = [
            f"channels removed   {self.amount:.0%}".replace("%", " %"),
            f"parameters         {self.n_parameters_after:,} of {self.n_parameters_before:,} ({100 * kept:.1f} %)",
        ]
        if self.scores:
            (_, dense), *others = self.scores
            cells = [f"{dense:.4f} before", *(f"{score:.4f} at {100 * amount:.0f} %" for amount, score in others)]
            lines.append(f"held-out score     {', '.join(cells)}")
        if self.kept_layers:
            lines.append(f"layers kept whole  {', '.join(self.kept_layers)}")
        return "\n".join(lines)
