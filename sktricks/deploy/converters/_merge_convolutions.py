"""Merge operators into the convolution before them: a BatchNorm in evaluation mode, or a slice of the outputs.

A runtime may do this itself, but for int8 it must be done before: operators between quantized nodes compute in floats.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ..._optional import import_optional

FAR = 2**31 - 1  # a slice with at least this end extends to the end of the axis


def merge_into_convolutions(model) -> None:
    """Merge slices and BatchNorms into convolutions, in place, in a model of torch's exporter."""
    numpy_helper = import_optional("onnx.numpy_helper", "onnx")
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    users = Counter(name for node in model.graph.node for name in node.input)
    users.update(output.name for output in model.graph.output)
    convolutions: dict[str, Any] = {}  # by the name of the output
    kept = []
    for node in model.graph.node:
        conv = convolutions.get(node.input[0]) if node.input and users[node.input[0]] == 1 else None
        merges = {"Slice": merge_slice, "BatchNormalization": merge_norm}.get(node.op_type)
        if conv is not None and merges is not None and merges(conv, node, arrays, users):
            conv.output[0] = node.output[0]
        else:
            kept.append(node)
            conv = node if node.op_type == "Conv" else None
        if conv is not None:
            convolutions[conv.output[0]] = conv
    read = {name for node in kept for name in node.input}
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items() if name in read]
    for field, values in ((model.graph.node, kept), (model.graph.initializer, constants)):
        del field[:]
        field.extend(values)


def merge_slice(conv, node, arrays: dict[str, np.ndarray], users: Counter) -> bool:
    """Reduce the padding at the start instead of slicing off its outputs; return False if that is not equivalent."""
    if not all(name in arrays for name in node.input[1:]):
        return False
    starts, ends, axes, *steps = (arrays[name].ravel().tolist() for name in node.input[1:])
    pads, strides = attribute(conv, "pads"), attribute(conv, "strides")
    if len(starts) != 1 or axes[0] < 2 or ends[0] < FAR or steps not in ([], [[1]]) or pads is None or strides is None:
        return False
    side = axes[0] - 2
    less = pads.ints[side] - starts[0] * strides.ints[side]
    if starts[0] < 0 or less < 0:
        return False
    pads.ints[side] = less
    return True


def merge_norm(conv, node, arrays: dict[str, np.ndarray], users: Counter) -> bool:
    """Scale weights and bias as a BatchNorm scales the outputs; return False if any of them is shared."""
    names = [*conv.input[1:], *node.input[1:]]
    if not all(name in arrays for name in names) or any(users[name] > 1 for name in conv.input[1:]):
        return False
    scale, shift, mean, variance = (arrays[name].astype(np.float64) for name in node.input[1:])
    epsilon = attribute(node, "epsilon")
    factor = scale / np.sqrt(variance + (1e-5 if epsilon is None else epsilon.f))
    weight, *bias = (arrays[name] for name in conv.input[1:])
    arrays[conv.input[1]] = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype)
    shift = shift + ((bias[0] if bias else 0) - mean) * factor
    if not bias:
        conv.input.append(conv.input[1] + "/bias")
    arrays[conv.input[2]] = shift.astype(weight.dtype)
    users[conv.input[2]] = 1
    return True


def attribute(node, name: str):
    """Return an attribute of a node; None if it is not set."""
    return next((one for one in node.attribute if one.name == name), None)
