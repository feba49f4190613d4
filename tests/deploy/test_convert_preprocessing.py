"""Converters of scalers, imputers and encoders."""

import numpy as np
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ._agreement import assert_agrees


def test_standard_scaler_in_a_pipeline():
    X, _ = load_iris(return_X_y=True)
    assert_agrees(make_pipeline(StandardScaler(), StandardScaler(with_mean=False)).fit(X), X, 0)
    assert_agrees(StandardScaler(with_std=False).fit(X), X.astype(np.float32), 0)
