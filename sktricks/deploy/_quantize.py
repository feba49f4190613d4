"""Quantize the backbone of a graph to int8: a quarter of the size, and faster on processors with int8 instructions.

Only the nodes in the scope ``backbone``, which ends before the pooling, are quantized: activations with fixed ranges
from calibration rows, weights with one scale per channel. The head stays in floats: in int8 the ``+ 0.001`` of the
signed power would become 0, and its division NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .._optional import import_optional
from ._compare_outputs import Outputs
from ._correct_biases import correct_biases
from ._onnx_errors import OnnxMismatchError
from ._shift_outputs import shift_outputs
from .converters._torch_graphs import BACKBONE, quiet

AT_ONCE = 8  # calibration rows per call
LEAST_SHARE = 0.5  # smallest fraction of a backbone's weights that must belong to convolutions
FULL, REDUCED = 127, 64  # the largest weight in 8 and in 7 bits
TINY = 1e-12  # the smallest probability, so that its logarithm is finite


def quantize_backbone(model, feeds: Mapping[str, np.ndarray], *, reduce_range: bool = False):
    """Return a model whose backbone computes in int8.

    Parameters
    ----------
    model : onnx.ModelProto
        The graph of a fitted estimator; it is not changed.
    feeds : dict of ndarray
        The inputs of a few hundred training rows, by name.
    reduce_range : bool, default=False
        Use 7 bits for weights, since sums of 8-bit products can overflow on processors without VNNI.

    Returns
    -------
    model : onnx.ModelProto

    Raises
    ------
    ValueError
        If the model has no backbone of convolutions, or if there are no rows.
    """
    quantization, onnx = (import_optional(name, "onnx") for name in ("onnxruntime.quantization", "onnx"))
    check_backbone(model)
    if not len(next(iter(feeds.values()))):
        raise ValueError("calibration_data must have at least one row, got none")
    names = [node.name for node in model.graph.node if is_in_backbone(node.name)]
    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    correct_biases(corrected, names, split_rows(feeds), REDUCED if reduce_range else FULL)
    with TemporaryDirectory() as folder, quiet():
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(corrected, source)
        quantization.quantize_static(
            source,
            target,
            make_reader(split_rows(feeds)),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=names,
        )
        quantized = onnx.load(target)
    shift_outputs(model, quantized, is_in_backbone, list(split_rows(feeds)))
    return quantized


def is_in_backbone(name: str) -> bool:
    """Return True for the name of a node in the scope of a backbone."""
    return f"/{BACKBONE}/" in f"/{name}"


def check_backbone(model) -> None:
    """Raise an error unless most weights of the backbones in a model belong to convolutions."""
    sizes = {tensor.name: prod(tensor.dims) for tensor in model.graph.initializer}
    backbone: set[str] = set()
    convolved: set[str] = set()
    for node in model.graph.node:
        if any(f"{BACKBONE}." in name for name in node.input) or is_in_backbone(node.name):
            backbone.update(sizes.keys() & set(node.input))
            convolved.update(sizes.keys() & set(node.input) if node.op_type == "Conv" else ())
    total, found = (sum(sizes[name] for name in names) for names in (backbone, convolved))
    if found and found >= LEAST_SHARE * total:
        return
    reason = "no backbone" if not total else f"a backbone with {1 - found / total:.0%} of its weights in other layers"
    raise ValueError(
        f"quantize='int8' requires a backbone of convolutions, but the estimator has {reason}: use quantize=None, or a "
        "backbone such as 'tiny32', 'lite0' or a ResNet"
    )


def split_rows(feeds: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the inputs in batches of a few rows."""
    for start in range(0, len(next(iter(feeds.values()))), AT_ONCE):
        yield {name: array[start : start + AT_ONCE] for name, array in feeds.items()}


def make_reader(parts: Iterator[dict[str, np.ndarray]]):
    """Return a calibration data reader for onnxruntime."""
    base = import_optional("onnxruntime.quantization", "onnx").CalibrationDataReader
    return type("Reader", (base,), {"get_next": lambda self: next(parts, None)})()


def check_quantized(
    before: Outputs, after: Outputs, max_label_changes: float, max_loss_increase: float
) -> dict[str, float]:
    """Return the changes through quantization, or raise an error if they exceed the limits.

    Parameters
    ----------
    before, after : dict of ndarray
        The outputs of the float model and of the int8 model for the same rows.
    max_label_changes : float
        Maximum fraction of rows whose label changes; for multilabel targets, of rows with any change.
    max_loss_increase : float
        Maximum increase of the cross-entropy against the probabilities of the float model; for values or features, of
        the mean squared difference as a fraction of their variance.

    Returns
    -------
    changes : dict
        ``label_changes`` and ``loss_increase``.
    """
    changed = measure_label_changes(before, after)
    increase = measure_loss_increase(before, after)
    if not (changed <= max_label_changes and increase <= max_loss_increase):
        raise OnnxMismatchError(
            f"int8 changes {changed:.2%} of the labels (max_label_changes={max_label_changes:g} allows "
            f"{max_label_changes:.2%}) and raises the loss by {increase:.4f} (max_loss_increase={max_loss_increase:g}):"
            " pass more, and more varied, rows as calibration_data, raise the limits, or omit quantize"
        )
    return {"label_changes": changed, "loss_increase": increase}


def measure_label_changes(before: Outputs, after: Outputs) -> float:
    """Return the fraction of rows whose label changes; 0 if there are no labels."""
    if "label" in before:
        labels = before["label"], after["label"]
    elif "probabilities" in before:
        labels = before["probabilities"].argmax(axis=1), after["probabilities"].argmax(axis=1)
    else:
        return 0.0
    different = np.reshape(labels[0] != labels[1], (len(labels[0]), -1))
    return float(different.any(axis=1).mean())


def measure_loss_increase(before: Outputs, after: Outputs) -> float:
    """Return the increase of the loss; infinity if some outputs are not finite."""
    name = next((name for name in ("probabilities", "prediction", "features") if name in before), None)
    if name is None:
        return 0.0
    expected, found = (outputs[name].astype(np.float64) for outputs in (before, after))
    if not np.isfinite(found).all():
        return float("inf")
    if name != "probabilities":
        return float(np.mean((found - expected) ** 2) / max(np.var(expected, axis=0).mean(), TINY))
    binary = "label" in before and before["label"].ndim == 2
    pairs = [(expected, found)] + ([(1 - expected, 1 - found)] if binary else [])
    return float(sum(np.mean(cross_entropy(a, b) - cross_entropy(a, a)) for a, b in pairs))


def cross_entropy(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each row."""
    return -(expected * np.log(np.maximum(found, TINY))).sum(axis=1)
