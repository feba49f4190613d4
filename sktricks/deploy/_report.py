"""ExportReport: a summary of an exported file and its differences from the estimator, printed as a table."""

from __future__ import annotations

import html
from dataclasses import dataclass


@dataclass(frozen=True)
class ExportReport:
    """The result of :func:`export_onnx`; ``print`` shows it as a table.

    Attributes
    ----------
    path : str
        The file.
    estimator : str
        The name of the estimator's class.
    size : int
        Size of the file in bytes.
    inputs, outputs : dict
        Dtype and shape by name, such as ``{"X": "float64 (n, 4)"}``.
    n_rows : int
        Number of given rows that were compared. Their labels are equal, except in ``n_ties`` rows.
    n_made_rows : int
        Number of rows derived from them that were compared: next to the given rows, between them, far outside their
        range, with shuffled columns.
    largest_difference : float
        Largest difference of probabilities, values or features in the given rows. Values and features are relative to
        the largest of their column.
    largest_made_difference : float
        The same in the derived rows.
    atol : float
        The largest difference allowed.
    n_ties : int
        Number of given rows whose label differs because their two largest probabilities are closer than ``atol``.
    threshold_fraction : float
        Fraction of the derived rows that lie on a threshold, where rounding decides the prediction.
    refused : tuple of str
        Kinds of derived rows that the estimator rejects; the graph predicts something for them.
    speed_1, speed_64 : float
        How much faster :class:`OnnxModel` predicts one row, and 64 rows, as a factor relative to the estimator.
    quantize : str or None
        The value that was passed to :func:`export_onnx`.
    bfloat16 : bool
        True if the estimator predicts in bfloat16; the graph, and the copy it is compared with, compute in float32.
    label_changes : float
        Fraction of the labels that quantization changes.
    loss_increase : float
        Increase of the cross-entropy against the float model through quantization.

    See Also
    --------
    export_onnx : Export a fitted estimator as one ONNX file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktricks import export_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = export_onnx(LogisticRegression(max_iter=500).fit(X, y), Path(folder) / "iris.onnx", X)
    >>> print(report)
    estimator           LogisticRegression
    file                ...iris.onnx (... kB)
    inputs              X float64 (n, 4)
    outputs             label int64 (n), probabilities float64 (n, 3)
    rows compared       150 given, 876 derived from them
    largest difference  ... in given rows, ... in others (allowed: 1e-09)
    labels              all equal
    speed               ... times the estimator for 1 row, ... times for 64 rows
    """

    path: str
    estimator: str
    size: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    n_rows: int
    n_made_rows: int
    largest_difference: float
    largest_made_difference: float
    atol: float
    n_ties: int
    threshold_fraction: float
    refused: tuple[str, ...]
    speed_1: float
    speed_64: float
    quantize: str | None = None
    bfloat16: bool = False
    label_changes: float = 0.0
    loss_increase: float = 0.0

    def rows(self) -> list[tuple[str, str]]:
        """Return the table as pairs of a title and a text.

        Returns
        -------
        rows : list of (str, str)
            One pair per line of the table.
        """
        before = f" before {self.quantize}" if self.quantize else ""
        table = [
            ("estimator", self.estimator),
            ("file", f"{self.path} ({self.size / 1000:,.1f} kB)"),
            ("inputs", as_text(self.inputs)),
            ("outputs", as_text(self.outputs)),
            ("rows compared", f"{self.n_rows} given, {self.n_made_rows} derived from them"),
            ("largest difference", f"{self.largest_difference:.1e} in given rows, {self.largest_made_difference:.1e} "
                                   f"in others{before} (allowed: {self.atol:.0e})"),
        ]  # fmt: skip
        if "label" in self.outputs:
            ties = f", {self.n_ties} ties decided differently" if self.n_ties else ""
            table.append(("labels", f"all equal{before}{ties}"))
        if self.threshold_fraction:
            table.append(("on a threshold", f"{self.threshold_fraction:.2%} of the derived rows"))
        if self.refused:
            table.append(("not compared", f"{', '.join(self.refused)}: rejected by the estimator"))
        if self.bfloat16:
            table.append(("compared with", "a copy in float32: the estimator itself predicts in bfloat16"))
        if self.quantize:
            changes = f"{self.label_changes:.2%} of the labels changed, cross-entropy {self.loss_increase:+.4f}"
            table.append((self.quantize, changes))
        speed = f"{as_factor(self.speed_1)} times the estimator for 1 row, {as_factor(self.speed_64)} times for 64 rows"
        return [*table, ("speed", speed)]

    def __str__(self):
        width = max(len(title) for title, _ in self.rows())
        return "\n".join(f"{title:<{width}}  {text}" for title, text in self.rows())

    def _repr_html_(self):
        cells = "".join(
            f"<tr><th style='text-align:left'>{title}</th><td style='text-align:left'>{html.escape(text)}</td></tr>"
            for title, text in self.rows()
        )
        return f"<table>{cells}</table>"


def as_factor(value: float) -> str:
    """Return a number with two significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def as_text(values: dict[str, str], at_most: int = 6) -> str:
    """Return names with their types as text, at most ``at_most`` of them."""
    some = [f"{name} {kind}" for name, kind in list(values.items())[:at_most]]
    return ", ".join([*some, f"... ({len(values)} in all)"] if len(values) > at_most else some)
