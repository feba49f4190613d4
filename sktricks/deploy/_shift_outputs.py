"""Shift the feature maps of a quantized backbone such that the mean of each channel is the same as in floats.

Rounding activations shifts these means, above all if they are small and round to zero. A head would see this shift in
every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .._optional import import_optional
from ._correct_biases import find_means

Reader = tuple[str, int]  # the name of a node, and the index of one of its inputs


def shift_outputs(before, after, is_inside: Callable[[str], bool], parts: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Add a constant per channel to the outputs of the quantized nodes of a graph, in place.

    Parameters
    ----------
    before, after : onnx.ModelProto
        The graph in floats, and with quantized nodes; other nodes have the same names in both.
    is_inside : callable
        Returns True for the name of a node that was quantized.
    parts : list of dict of ndarray
        Inputs of the graph, in batches.
    """
    onnx = import_optional("onnx", "onnx")
    readers = find_readers(before, is_inside)
    nodes = {node.name: node for node in after.graph.node}
    values = {name: nodes[reader].input[index] for name, ((reader, index), *_) in readers.items()}
    values = {name: value for name, value in values.items() if is_feature_map(after, value)}
    if not values:
        return
    expected, found = find_means(before, values, parts), find_means(after, values.values(), parts)
    for number, (name, value) in enumerate(values.items()):
        shift = (expected[name] - found[value]).astype(np.float32).reshape(1, -1, 1, 1)
        constant, output = f"shift/{number}", f"shift/{number}/output"
        after.graph.initializer.append(onnx.numpy_helper.from_array(shift, constant))
        first = min(find_index(after, reader) for reader, _ in readers[name])
        node = onnx.helper.make_node("Add", [value, constant], [output], name=f"shift/Add_{number}")
        after.graph.node.insert(first, node)
        for reader, index in readers[name]:
            nodes[reader].input[index] = output


def find_readers(model, is_inside: Callable[[str], bool]) -> dict[str, list[Reader]]:
    """Return the nodes outside that read outputs of nodes inside, by the names of these outputs."""
    made = {name for node in model.graph.node if is_inside(node.name) for name in node.output}
    readers: dict[str, list[Reader]] = {}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name in made and not is_inside(node.name):
                readers.setdefault(name, []).append((node.name, index))
    return readers


def find_index(model, name: str) -> int:
    """Return the index of a node in a graph."""
    return next(index for index, node in enumerate(model.graph.node) if node.name == name)


def is_feature_map(model, name: str) -> bool:
    """Return True if a value has the four axes of feature maps."""
    onnx, runtime = (import_optional(module, "onnx") for module in ("onnx", "onnxruntime"))
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = runtime.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    return len(session.get_outputs()[-1].shape) == 4
