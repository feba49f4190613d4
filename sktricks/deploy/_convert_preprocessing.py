"""Converters of scikit-learn's scalers, imputers and encoders, in the dtypes in which scikit-learn computes."""

from __future__ import annotations

import numpy as np

from ._converters import converts
from ._graph import Graph, Table, Value


@converts("sklearn.preprocessing.StandardScaler")
def convert_standard_scaler(graph: Graph, scaler, X: Table) -> Value:
    """Subtract the mean and divide by the scale, as scikit-learn does, so that the last bits are the same."""
    value = as_floats(graph, X)
    if scaler.with_mean:
        value = graph.binary("Sub", value, scaler.mean_)
    return graph.binary("Div", value, scaler.scale_) if scaler.with_std else value


def as_floats(graph: Graph, X: Table) -> Value:
    """Return X as float32 if it is, otherwise as float64: scikit-learn's ``FLOAT_DTYPES``."""
    value = graph.matrix(X)
    return value if value.dtype == np.float32 else graph.cast(value, np.float64)
