"""The table of an export."""

from dataclasses import replace

from sktricks import ExportReport

REPORT = ExportReport(
    path="a<b.onnx", estimator="NetClassifier", size=12_345, inputs={"X": "float32 (n, 4)"},
    outputs={"label": "int64 (n)", "probabilities": "float32 (n, 3)"}, n_rows=150, n_made_rows=900,
    largest_difference=3e-7, largest_made_difference=4e-7, atol=1e-5, n_ties=0, threshold_fraction=0.0, refused=(),
    speed_1=23.4, speed_64=5.0,
)  # fmt: skip


def test_it_prints_as_a_table():
    lines = str(REPORT).splitlines()
    assert lines[0] == "estimator           NetClassifier"
    assert "file                a<b.onnx (12.3 kB)" in lines
    assert "rows compared       150 given, 900 derived from them" in lines
    assert "largest difference  3.0e-07 in given rows, 4.0e-07 in others (allowed: 1e-05)" in lines
    assert lines[-1] == "speed               23 times the estimator for 1 row, 5 times for 64 rows"


def test_what_is_odd_is_said():
    inputs = {f"x{index}": "float64 (n, 1)" for index in range(9)}
    odd = replace(REPORT, inputs=inputs, n_ties=2, threshold_fraction=0.01, refused=("unseen categories",))
    odd = replace(odd, quantize="int8", label_changes=0.01, loss_increase=0.002, speed_1=1148.7)
    text = str(odd)
    assert "2 ties decided differently" in text and "1.00% of the derived rows" in text
    assert "unseen categories: rejected by the estimator" in text and "1.00% of the labels changed" in text
    assert "in others before int8 (allowed" in text and "all equal before int8, 2 ties" in text
    assert "1,149 times the estimator" in text
    assert "... (9 in all)" in text and "x6" not in text


def test_html_is_escaped():
    assert "a&lt;b.onnx" in REPORT._repr_html_() and "<table>" in REPORT._repr_html_()
