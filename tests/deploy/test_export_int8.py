"""export_onnx with quantize="int8"."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import sktricks.deploy._quantize as quantize_module
from sktricks import FineTuneClassifier, OnnxMismatchError, OnnxModel, export_onnx

DIGITS, CODES = load_digits(return_X_y=True)
IMAGES = (DIGITS * 15.9).astype(np.uint8).reshape(-1, 8, 8)[:400]
CODES = CODES[:400]
ROWS, OTHERS = IMAGES[300:], IMAGES[:64]


@pytest.fixture(scope="module")
def net():
    return FineTuneClassifier("tiny32", strategy="linear-probe", random_state=0).fit(IMAGES[:300], CODES[:300])


def test_a_file_in_int8(net, tmp_path):
    report = export_onnx(net, tmp_path / "int8.onnx", ROWS, quantize="int8", calibration_data=OTHERS)
    assert report.quantize == "int8" and report.size < 1.5e6
    assert report.largest_difference < 1e-5  # of the float graph
    assert report.label_changes <= 0.02 and report.loss_increase <= 0.01
    model = OnnxModel(tmp_path / "int8.onnx")
    assert (model.predict(ROWS) == net.predict(ROWS)).mean() >= 0.98
    assert model.check() <= model._metadata.check.atol


def test_int8_of_the_head_is_refused(net, tmp_path, monkeypatch):
    monkeypatch.setattr(quantize_module, "is_in_backbone", lambda name: True)
    monkeypatch.setattr(quantize_module, "check_backbone", lambda model: None)
    with pytest.raises(OnnxMismatchError, match="int8"):
        export_onnx(net, tmp_path / "int8.onnx", ROWS, quantize="int8", calibration_data=OTHERS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rows", [DIGITS[:9], OTHERS[:0], np.zeros((3, 9, 8), np.uint8)])
def test_calibration_rows_must_be_like_x(net, tmp_path, rows):
    with pytest.raises(ValueError, match="calibration_data must hold rows"):
        export_onnx(net, tmp_path / "int8.onnx", ROWS[:2], quantize="int8", calibration_data=rows)
    assert not list(tmp_path.iterdir())
