"""Helpers for the tests of converters: compare a graph with its estimator."""

import numpy as np

from sktricks.deploy._export import build_model
from sktricks.deploy._feeds import make_feeds
from sktricks.deploy._onnx_model import describe


def run(model, X):
    """Return the outputs of a model for X, by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = [describe(value) for value in session.get_inputs()]
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, make_feeds(X, inputs)), strict=True))


def assert_agrees(estimator, X, atol=1e-5, *others):
    """Assert that a graph predicts the same as its estimator: for X, for other rows, and for a single row."""
    _, model = build_model(estimator, X)
    for rows in (X, X[:1], *others):
        found = run(model, rows)
        if "label" in found:
            expected = estimator.predict(rows)
            assert found["label"].dtype.kind == expected.dtype.kind or expected.dtype.kind in "UO"
            np.testing.assert_array_equal(found["label"], expected)
        if "probabilities" in found:
            np.testing.assert_allclose(found["probabilities"], estimator.predict_proba(rows), rtol=0, atol=atol)
        if "prediction" in found:
            expected = estimator.predict(rows)
            np.testing.assert_allclose(
                found["prediction"], expected, rtol=0, atol=atol * max(1, np.abs(expected).max())
            )
            assert found["prediction"].shape == expected.shape
        if "features" in found:
            expected = estimator.transform(rows)
            expected = np.asarray(expected.toarray() if hasattr(expected, "toarray") else expected)
            expected = expected.astype(np.float64) if expected.dtype == object else expected
            np.testing.assert_allclose(found["features"], expected, rtol=0, atol=atol)
    return model
