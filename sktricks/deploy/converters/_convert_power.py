"""Converter of PowerTransformer, which keeps missing values.

Both methods compute ``expm1(e * log) / e`` of a logarithm, where e is the power found in ``fit``: Box-Cox takes the
logarithm of x, Yeo-Johnson that of 1 + abs(x); for negative x with the power 2 - e and the opposite sign.
"""

from __future__ import annotations

import numpy as np

from .._graph import Graph, Table, Value
from ._operators import as_floats, compare, where
from ._registry import converts, transform

LEAST = 1e-20  # smallest power: below it, expm1(e * x) / e equals x exactly


@converts("sklearn.preprocessing.PowerTransformer")
def convert_power(graph: Graph, transformer, X: Table) -> Table:
    """Compute in float64, round to the dtype of X, and scale like the inner scaler."""
    value = as_floats(graph, X)
    x, powers = graph.cast(value, np.float64), np.asarray(transformer.lambdas_, np.float64)
    if transformer.method == "box-cox":
        result = raise_to(graph, graph.op("Log", x, dtype=x.dtype, shape=x.shape), safe(powers))
    else:
        is_positive = compare(graph, "GreaterOrEqual", x, 0.0)
        power = where(graph, is_positive, *(graph.constant([row]) for row in (safe(powers), safe(2 - powers))))
        size = log1p(graph, graph.op("Abs", x, dtype=x.dtype, shape=x.shape))
        result = raise_to(graph, size, power)
        result = where(graph, is_positive, result, graph.op("Neg", result, dtype=x.dtype, shape=x.shape))
    result = graph.cast(result, value.dtype)
    return transform(graph, transformer._scaler, result) if transformer.standardize else result


def safe(powers: np.ndarray) -> np.ndarray:
    """Return powers with zeros replaced, to avoid a division by 0."""
    return np.where(np.abs(powers) < LEAST, LEAST, powers)


def raise_to(graph: Graph, logs: Value, power: np.ndarray | Value) -> Value:
    """Return ``expm1(power * logs) / power``."""
    return graph.binary("Div", expm1(graph, graph.binary("Mul", logs, power)), power)


def log1p(graph: Graph, x: Value) -> Value:
    """Return ``log(1 + x)``, accurate for small x as well: the rounding error of 1 + x cancels out."""
    whole = graph.binary("Add", x, 1.0)
    log = graph.op("Log", whole, dtype=x.dtype, shape=x.shape)
    rounded = graph.binary("Sub", whole, 1.0)
    return where(
        graph, compare(graph, "Equal", rounded, 0.0), x, graph.binary("Div", graph.binary("Mul", log, x), rounded)
    )


def expm1(graph: Graph, x: Value) -> Value:
    """Return ``exp(x) - 1``, accurate for small x as well."""
    whole = graph.op("Exp", x, dtype=x.dtype, shape=x.shape)
    rest = graph.binary("Sub", whole, 1.0)
    log = graph.op("Log", whole, dtype=x.dtype, shape=x.shape)
    exact = graph.binary("Mul", graph.binary("Div", rest, log), x)
    is_small = compare(graph, "Less", graph.op("Abs", x, dtype=x.dtype, shape=x.shape), 1.0)
    return where(graph, compare(graph, "Equal", rest, 0.0), x, where(graph, is_small, exact, rest))
