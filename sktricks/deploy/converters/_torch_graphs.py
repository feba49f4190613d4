"""Convert torch modules to parts of a graph with torch's own exporter."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from io import StringIO

import numpy as np
import torch

from ..._optional import import_optional
from .._graph import OPSET, Graph, Value
from ._merge_convolutions import merge_into_convolutions

N_EXAMPLES = 2  # number of rows: with one row, torch would treat the batch size as a constant
BACKBONE = "backbone"  # the scope of the nodes before the pooling
POOLING = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMax", "ReduceMean")


def embed_module(graph: Graph, module: torch.nn.Module, x: Value, name: str, scope: str | None = None) -> list[Value]:
    """Add a module in evaluation mode, called with one tensor, and return its outputs.

    Parameters
    ----------
    graph : Graph
    module : torch.nn.Module
        It is copied, never changed.
    x : Value
    name : str
        The name of the module in errors.
    scope : str or None
        Prefix of the names of the nodes before the last pooling, if the module has convolutions.
    """
    module = copy_module(module)
    example = torch.rand(N_EXAMPLES, *x.shape, generator=torch.Generator().manual_seed(0)).to(torch_dtype(x.dtype))
    with torch.no_grad():
        outputs = as_tuple(module(example))
    try:
        model = export_module(module, example)
    except Exception as error:  # torch's exporter raises errors of many types
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        if isinstance(error.__cause__ or error, ImportError) or "onnx_ir" in reason or "onnxscript" in reason:
            raise ImportError(
                f"torch {torch.__version__} cannot export modules with the installed onnxscript and onnx_ir "
                f"({reason}): pip install --upgrade onnxscript onnx_ir"
            ) from error
        raise graph.refuse(
            f"the torch module {name}, which torch cannot export ({reason})",
            "make it work with torch.onnx.export(module, ..., dynamo=True), for example by removing branches that "
            "depend on values",
        ) from error
    remove_unused(model)
    merge_into_convolutions(model)
    name_nodes(model, scope)
    described = [
        (output.name, numpy_dtype(tensor), tuple(tensor.shape[1:]))
        for output, tensor in zip(model.graph.output, outputs, strict=True)
    ]
    return graph.embed(model, {model.graph.input[0].name: x}, described)


def copy_module(module: torch.nn.Module):
    """Return a copy of a module on the CPU, in evaluation mode."""
    return deepcopy(module).cpu().eval().requires_grad_(False)


def export_module(module: torch.nn.Module, example: torch.Tensor):
    """Return the ONNX model of a module for any number of rows."""
    import_optional("onnxscript", "onnx")
    rows = torch.export.Dim("n", min=1)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module, (example,), dynamo=True, opset_version=OPSET, dynamic_shapes=({0: rows},), verbose=False
        )
    assert program is not None
    return program.model_proto


@contextmanager
def quiet():
    """Suppress the output, logs and warnings of torch's exporter; errors are still raised."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def remove_unused(model) -> None:
    """Remove nodes and constants that no output needs, such as what follows the last stage of a backbone."""
    wanted, kept = {output.name for output in model.graph.output}, []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    constants = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    for field, values in ((model.graph.node, kept[::-1]), (model.graph.initializer, constants)):
        del field[:]
        field.extend(values)


def name_nodes(model, scope: str | None) -> None:
    """Number the nodes; those before the pooling that follows the last convolution get the prefix ``scope``."""
    after = set() if scope is None else behind_convolutions(model.graph.node)
    for number, node in enumerate(model.graph.node):
        inside = scope is not None and number not in after
        node.name = f"{scope}/{node.op_type}_{number}" if inside else f"{node.op_type}_{number}"


def behind_convolutions(nodes) -> set[int]:
    """Return the indices of poolings that no convolution follows, and of all nodes after them.

    Without convolutions, these are all nodes.
    """
    leading: set[int] = set()
    wanted: set[str] = set()
    for number, node in reversed(list(enumerate(nodes))):
        if node.op_type == "Conv" or wanted.intersection(node.output):
            leading.add(number)
            wanted.update(node.input)
    after: set[int] = set()
    pooled: set[str] = set()
    for number, node in enumerate(nodes):
        begins = node.op_type in POOLING or not leading
        if number not in leading and (begins or pooled.intersection(node.input)):
            after.add(number)
            pooled.update(node.output)
    return after


def as_tuple(outputs) -> tuple:
    """Return the outputs of a module as a tuple."""
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


def torch_dtype(dtype) -> torch.dtype:
    """Return the torch dtype for a numpy dtype."""
    return torch.from_numpy(np.empty(0, dtype)).dtype


def numpy_dtype(tensor: torch.Tensor) -> np.dtype:
    """Return the numpy dtype of a tensor."""
    return torch.empty(0, dtype=tensor.dtype).numpy().dtype


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as a numpy array."""
    return tensor.detach().cpu().numpy()
