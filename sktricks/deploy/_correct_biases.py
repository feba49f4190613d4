"""Correct biases for rounded weights before a graph is quantized.

Rounding the weights of a convolution shifts the mean of each output channel by the errors of its weights times the
means of its inputs. The bias corrects for this shift (Nagel et al., "Data-free quantization through weight equalization
and bias correction", ICCV 2019). Depthwise convolutions, with few weights per channel, profit most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .._optional import import_optional


def correct_biases(model, names: Iterable[str], parts: Iterable[Mapping[str, np.ndarray]], levels: int) -> None:
    """Correct the biases of convolutions, in place, for weights that will be rounded.

    Parameters
    ----------
    model : onnx.ModelProto
    names : list of str
        Names of the nodes that will be quantized.
    parts : iterable of dict of ndarray
        Inputs of the model, in batches.
    levels : int
        The integer to which the largest weight of a channel is mapped.
    """
    numpy_helper = import_optional("onnx.numpy_helper", "onnx")
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    chosen = set(names)
    convolutions = [
        node
        for node in model.graph.node
        if node.name in chosen
        and node.op_type == "Conv"
        and len(node.input) == 3
        and tensors.keys() >= {*node.input[1:]}
    ]
    means = find_means(model, [node.input[0] for node in convolutions], parts)
    for node in convolutions:
        weight, bias = (numpy_helper.to_array(tensors[name]) for name in node.input[1:])
        shift = shift_of_means(weight.astype(np.float64), means[node.input[0]], levels)
        tensors[node.input[2]].CopyFrom(numpy_helper.from_array((bias - shift).astype(bias.dtype), node.input[2]))


def shift_of_means(weight: np.ndarray, means: np.ndarray, levels: int) -> np.ndarray:
    """Return the shift of the mean of each output channel of a convolution when its weights are rounded.

    Parameters
    ----------
    weight : ndarray of shape (outputs, inputs of a group, height, width)
    means : ndarray of shape (inputs,)
    levels : int
    """
    n_outputs, n_inputs = weight.shape[:2]
    error = (rounded(weight, levels) - weight).reshape(n_outputs, n_inputs, -1).sum(axis=2)
    groups = means.reshape(-1, n_inputs)  # one row per group of the convolution
    return (error * np.repeat(groups, n_outputs // len(groups), axis=0)).sum(axis=1)


def rounded(weight: np.ndarray, levels: int) -> np.ndarray:
    """Return weights rounded as in int8, with one scale per output channel."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1).reshape(-1, *[1] * (weight.ndim - 1))
    scale = np.where(largest > 0, largest, 1) / levels
    return np.rint(weight / scale) * scale


def find_means(model, names: Iterable[str], parts: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the mean per channel of some values in a graph, over rows and positions."""
    onnx, runtime = (import_optional(name, "onnx") for name in ("onnx", "onnxruntime"))
    names, probed = list(dict.fromkeys(names)), onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 3]), "probe/axes"))
    del probed.graph.output[:]
    for number, name in enumerate(names):
        output = f"probe/{number}"
        probed.graph.node.append(onnx.helper.make_node("ReduceMean", [name, "probe/axes"], [output], keepdims=0))
        probed.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    session = runtime.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    found = [session.run(None, dict(part)) for part in parts]
    return {
        name: np.concatenate(rows).mean(axis=0, dtype=np.float64)
        for name, rows in zip(names, zip(*found, strict=True), strict=True)
    }
