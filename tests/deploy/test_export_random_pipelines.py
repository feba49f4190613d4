"""Random pipelines, votes and stacks: all can be exported, and agree on rows that were not passed to the export.

A second draw has steps that are not in the supported list. They may be rejected, but no file may differ.
"""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator

from sktricks import OnnxMismatchError, UnsupportedForOnnxError, export_onnx, load_onnx

from ._random_pipelines import cases

# Each case takes a second or two to fit, so failing cases are not shrunk.
draw = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
n_draws = pytest.mark.parametrize("n_draws", [10, pytest.param(50, marks=pytest.mark.long)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@n_draws
def test_what_is_supported_exports_and_agrees(n_draws, path):
    @settings(draw, max_examples=n_draws)
    @given(case=cases())
    def check(case):
        estimator = fit(case)
        report = export_onnx(estimator, path, case.X)
        print(f"{report.largest_difference:.1g}", estimator)
        assert_agrees(estimator, load_onnx(path, n_threads=1), case.unseen)

    check()


@n_draws
def test_what_is_foreign_is_refused_or_agrees(n_draws, path):
    counts = {"refused": 0, "exported": 0}

    @settings(draw, max_examples=n_draws)
    @given(case=cases(foreign=True))
    def check(case):
        path.unlink(missing_ok=True)
        estimator = fit(case)
        try:
            export_onnx(estimator, path, case.X)
        except (UnsupportedForOnnxError, OnnxMismatchError) as error:
            print(f"{type(error).__name__}: {error}")
            counts["refused"] += 1
            assert not path.exists()
        else:
            counts["exported"] += 1
            assert_agrees(estimator, load_onnx(path, n_threads=1), case.unseen)

    check()
    assert counts["refused"] and counts["exported"]


def fit(case):
    """The fitted estimator of a case."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn")  # about convergence, bins and constant features
        estimator = case.estimator.fit(case.X, case.y)
    return FrozenEstimator(estimator) if case.frozen else estimator


def assert_agrees(estimator, model, X, atol=1e-5):
    """Assert that a loaded model predicts the same as the estimator, for many rows and for one."""
    for rows in (X, X[:1]):
        if not is_classifier(estimator):
            expected = estimator.predict(rows)
            np.testing.assert_allclose(model.predict(rows), expected, rtol=0, atol=atol * np.abs(expected).max())
            continue
        same = model.predict(rows) == estimator.predict(rows)
        if hasattr(estimator, "predict_proba"):
            expected = estimator.predict_proba(rows)
            np.testing.assert_allclose(model.predict_proba(rows), expected, rtol=0, atol=atol)
            largest = np.sort(expected, axis=1)
            same |= largest[:, -1] - largest[:, -2] < atol  # ties, which rounding decides
        assert same.all()
