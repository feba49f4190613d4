"""Determine from the nodes of a graph how exact it is: its precision, and whether it compares computed values."""

from __future__ import annotations

from typing import Any

from .._optional import import_optional

COMPARISONS = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Binarizer", "Sign", "Floor", "Ceil", "Round"}
TREES = {"TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"}
EXACT = COMPARISONS | {  # operators that never round: their results are the same bits on every machine
    *(
        "Cast",
        "Gather",
        "Concat",
        "Reshape",
        "Identity",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Split",
        "Where",
    ),
    *("IsNaN", "Equal", "Not", "And", "Or", "LabelEncoder", "Constant", "Expand", "Shape", "Imputer", "Flatten"),
    *("ArrayFeatureExtractor", "GatherElements", "GatherND", "OneHot", "ConstantOfShape", "Tile", "Pad", "Max", "Min"),
}


def is_double(model) -> bool:
    """Return True if all floating-point values of a graph are float64, which excludes trees: they sum in float32."""
    onnx = import_optional("onnx", "onnx")
    lower = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    types = {value.type.tensor_type.elem_type for value in values} | {one.data_type for one in graph.initializer}
    return onnx.TensorProto.DOUBLE in types and not types & lower and not model.functions


def compares_computed_values(model) -> bool:
    """Return True if a graph rounds a value before it compares it with a threshold.

    A row on a threshold may then fall on either side; otherwise it must fall on the same side as in the estimator.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    comparing = [node for node in model.graph.node if node.op_type in COMPARISONS | TREES]
    return any(is_computed(node, made_by) for node in comparing)


def is_computed(node, made_by: dict[str, Any]) -> bool:
    """Return True if the inputs of a node depend on arithmetic that rounds."""
    waiting, seen = list(node.input), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in made_by:
            continue
        seen.add(name)
        if made_by[name].op_type not in EXACT:
            return True
        waiting.extend(made_by[name].input)
    return False


def texts_in(model) -> set[str]:
    """Return all strings in a graph, such as categories and labels."""
    found = {text for one in model.graph.initializer for text in one.string_data}
    for node in model.graph.node:
        for attribute in node.attribute:
            found.update(attribute.strings, attribute.t.string_data)
    return {text.decode("utf-8", "replace") for text in found}
