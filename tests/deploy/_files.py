"""Small files written by export_onnx, created once, for tests of code that runs them."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from sktricks import NetClassifier, NetRegressor, export_onnx

X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]


@cache
def fitted(kind):
    """A fitted estimator of each kind."""
    if kind == "classifier":
        return NetClassifier(max_epochs=10, random_state=0).fit(X, NAMES)
    if kind == "regressor":
        return NetRegressor(max_epochs=10, random_state=0).fit(X, X[:, 0])
    return StandardScaler().fit(X)


@cache
def content(kind="classifier", **options):
    """The bytes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(fitted(kind), path, X, **options)
        return path.read_bytes()
