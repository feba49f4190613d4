"""Properties of the rounding of a graph."""

import numpy as np
import pytest

from sktricks.deploy._exactness import compares_computed_values, is_double, texts_in
from sktricks.deploy._graph import Graph


def build(dtype, *kinds):
    """A graph of some operators of X and a constant, and the comparison of the result."""
    graph = Graph()
    value = graph.add_input("X", dtype, (2,))
    for kind in kinds:
        value = graph.cast(value, np.float32) if kind == "Cast" else graph.binary(kind, value, [1.0, 2.0])
    return graph.build({"y": graph.op("Less", value, graph.constant([1.0, 2.0], value.dtype), dtype=bool, shape=(2,))})


@pytest.mark.parametrize(
    ("dtype", "kinds", "expected"),
    [(np.float64, [], True), (np.float64, ["Sub"], True), (np.float64, ["Cast"], False), (np.float32, [], False)],
)
def test_double_precision(dtype, kinds, expected):
    assert is_double(build(dtype, *kinds)) is expected


@pytest.mark.parametrize(
    ("kinds", "expected"), [([], False), (["Cast"], False), (["Sub"], True), (["Div", "Cast"], True), (["Max"], False)]
)
def test_comparisons_of_computed_values(kinds, expected):
    assert compares_computed_values(build(np.float64, *kinds)) is expected


def test_texts():
    graph = Graph()
    codes = graph.add_input("codes", np.int64, ())
    label = graph.op("Gather", graph.constant(["a", "ü"]), codes, dtype=object)
    assert texts_in(graph.build({"label": label})) == {"a", "ü"}
