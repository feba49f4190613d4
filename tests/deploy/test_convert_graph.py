"""The core of the export, which all converters use."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from sktricks.deploy import UnsupportedForOnnxError, _graph
from sktricks.deploy._graph import Graph, Prediction
from sktricks.deploy.converters._registry import (
    CONVERTERS,
    TRANSFORMERS,
    convert,
    converts,
    find_converter,
    transform,
    transforms,
)

from ._agreement import run

SCALER = "sklearn.preprocessing.StandardScaler"


def test_what_no_output_needs_is_left_out():
    graph = Graph()
    X = graph.add_input("X", np.float32, (2,))
    kept = graph.binary("Add", X, np.float32([1, 2]))
    graph.binary("Mul", kept, np.float32([3, 4]))
    model = graph.build({"features": kept})
    assert [node.op_type for node in model.graph.node] == ["Add"]
    assert len(model.graph.initializer) == 1
    np.testing.assert_array_equal(run(model, np.float32([[1, 1]]))["features"], [[2, 3]])


def test_outputs_that_are_inputs_or_equal_are_copied():
    graph = Graph()
    X = graph.add_input("X", np.float32, (2,))
    double = graph.binary("Add", X, X)
    more = graph.binary("Add", double, [1, 2])
    outputs = {"same": X, "double": double, "again": double, "more": more}
    for _ in range(2):  # the graph is not changed
        model = graph.build(outputs)
        assert [node.op_type for node in model.graph.node] == ["Add", "Add", "Identity", "Identity"]
        found = run(model, np.float32([[1, 3]]))
        expected = {"same": [[1, 3]], "double": [[2, 6]], "again": [[2, 6]], "more": [[3, 8]]}
        assert {name: values.tolist() for name, values in found.items()} == expected


def test_equal_operators_are_added_once():
    graph = Graph()
    X = graph.add_input("X", np.float32, (2,))
    with graph.scope("first"):
        one = graph.binary("Add", X, [1, 2])
    assert graph.binary("Add", X, [1, 2]) == one
    assert graph.binary("Add", X, [2, 2]) != one
    assert graph.op("Cast", X, dtype=np.int64, shape=(2,), to=7) != graph.op(
        "Cast", X, dtype=np.int32, shape=(2,), to=6
    )
    assert len(graph.nodes) == 4


def test_a_class_that_predicts_and_transforms(monkeypatch):
    find_converter(StandardScaler())  # registers all converters
    for registry in (CONVERTERS, TRANSFORMERS):
        monkeypatch.setitem(registry, SCALER, None)
    converts(SCALER)(lambda graph, estimator, X: Prediction(values=graph.column(X, 0)))
    transforms(SCALER)(lambda graph, estimator, X: X)
    graph = Graph()
    X = graph.add_input("X", np.float32, (2,))
    assert convert(graph, StandardScaler(), X).values is not None
    assert transform(graph, StandardScaler(), X) is X


def test_a_predictor_is_refused_as_a_transformer(monkeypatch):
    find_converter(StandardScaler())
    monkeypatch.setitem(CONVERTERS, SCALER, lambda *args: Prediction())
    with pytest.raises(TypeError, match="StandardScaler, which is not a transformer"):
        transform(Graph(), StandardScaler(), None)


def test_a_graph_that_onnx_takes_for_invalid_is_refused():
    graph = Graph()
    made = graph.op("NoSuchOperator", graph.add_input("X", np.float32, (2,)), dtype=np.float32, shape=(2,))
    with pytest.raises(
        UnsupportedForOnnxError, match=r"considers invalid \(.*NoSuchOperator.*: export the steps one by"
    ):
        graph.build({"features": made})


def test_weights_that_fit_into_no_file_are_refused(monkeypatch):
    monkeypatch.setattr(_graph, "LARGEST", 100)
    graph = Graph()
    made = graph.binary("Add", graph.add_input("X", np.float32, (50,)), np.arange(50))
    with pytest.raises(
        UnsupportedForOnnxError, match="GB of weights, since one ONNX file holds at most 2 GB: fit a smaller"
    ):
        graph.build({"features": made})
