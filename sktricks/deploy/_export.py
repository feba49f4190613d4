"""Export a fitted estimator as one ONNX file, checked before it is written."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .. import __version__
from .._optional import import_optional
from .._parameter_checks import check_verbose
from .._progress import progress
from .._replace_file import check_target, replace_file
from ._check import METHODS, CheckResult, Run, check_graph, expected_outputs
from ._describe_model import describe_model
from ._exactness import compares_computed_values, is_double
from ._export_parameters import as_rows, check_outputs, check_parameters, check_rows, check_writable, refuse_common_rows
from ._feeds import check_shapes, make_feeds
from ._full_precision import in_full_precision
from ._graph import Graph, Prediction
from ._graph_inputs import add_inputs
from ._made_rows import make_all
from ._measure_speed import measure_speed
from ._metadata import Metadata, seal, write_metadata
from ._onnx_errors import OnnxMismatchError, UnsupportedForOnnxError
from ._onnx_model import OnnxModel, describe, open_session
from ._report import ExportReport
from ._sample_rows import N_ROWS
from .converters._registry import as_labels, convert

FLOAT_ATOL, DOUBLE_ATOL, INT8_ATOL = 1e-5, 1e-9, 0.05


def export_onnx(
    estimator: BaseEstimator,
    path: str | os.PathLike,
    X: Any,
    *,
    quantize: Literal["int8"] | None = None,
    calibration_data: Any = None,
    max_label_changes: float = 0.02,
    max_loss_increase: float = 0.01,
    atol: float | Literal["auto"] = "auto",
    outputs: Literal["all", "probabilities"] = "all",
    embed_rows: bool = False,
    verbose: int = 0,
) -> ExportReport:
    """Export a fitted estimator as one ONNX file, after checking that both predict the same.

    The graph computes labels and probabilities from the columns of a table, or from pixels, for any number of rows. It
    is compared with the estimator on ``X`` and on rows derived from X: next to them, between them, far outside their
    range, with shuffled columns, with missing values, and one row at a time. If anything differs, nothing is written.

    Parameters
    ----------
    estimator : estimator
        A fitted net, Pipeline, vote or stack, or another fitted classifier, regressor or transformer.
    path : str or path-like
        The file, usually ``"<name>.onnx"``. An existing file is replaced atomically, and only after all checks.
    X : array-like, DataFrame, or column of image files
        Input of the estimator. Its names and dtypes become those of the graph's inputs, and the graph is compared with
        the estimator on its rows: pass a few hundred rows of the training data, in the dtype used for predictions.
    quantize : {"int8"}, default=None
        Store and compute the backbone of a ``FineTune*`` estimator in 8 bits: a quarter of the size, and faster.
    calibration_data : array-like, default=None
        Rows like X that determine the ranges of the 8-bit numbers: a few hundred training rows, none of which is in X.
    max_label_changes : float, default=0.02
        Maximum fraction of the labels of X that quantization may change.
    max_loss_increase : float, default=0.01
        Maximum increase of the cross-entropy on X through quantization, against the probabilities of the float model.
    atol : float or "auto", default="auto"
        The largest difference allowed. ``"auto"`` is 1e-9 if the whole graph computes in float64, otherwise 1e-5.
        Predicted values and features are compared relative to the largest of their column.
    outputs : {"all", "probabilities"}, default="all"
        ``"probabilities"`` omits the labels, for runtimes without strings.
    embed_rows : bool, default=False
        The file carries rows on which it is checked again when it is loaded. False: synthetic rows, drawn from the
        rounded ranges of the columns. True: the first 64 rows of X, which then are in the file.
    verbose : int, default=0
        0: silent. 1: a bar of steps, the check above all. 2: lines in the log instead.

    Returns
    -------
    report : ExportReport
        Differences, size, speed; ``print`` shows it as a table.

    Raises
    ------
    UnsupportedForOnnxError
        If a step, or one of its settings, cannot be converted; the message names it.
    OnnxMismatchError
        If the graph and the estimator differ; the message shows the worst row and both outputs.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError, TypeError
        If a parameter is invalid, or the estimator does not accept X.
    ImportError
        If onnx or onnxruntime is missing: ``pip install "sktricks[onnx]"``.

    See Also
    --------
    load_onnx : Load the file as an estimator of scikit-learn, without torch.
    OnnxModel : Run the file where only numpy and onnxruntime are installed.

    Notes
    -----
    If a net predicts in bfloat16 (``precision="auto"`` on a GPU), its graph computes in float32. It is then compared
    with a copy of the net in float32, whose predictions differ from those of the net by about 0.01.

    The file runs in any ONNX runtime. An array is passed as the input ``X``; each column of a DataFrame is an input of
    shape (n, 1) under its own name, with ``""`` for a missing string. The outputs are ``label`` and ``probabilities``
    for a classifier, ``prediction`` for a regressor, and ``features`` for a transformer::

        import numpy as np, onnxruntime

        session = onnxruntime.InferenceSession("model.onnx")
        label, probabilities = session.run(["label", "probabilities"], {"X": X})

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, export_onnx, load_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=10, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = export_onnx(net, Path(folder) / "iris.onnx", X)
    ...     model = load_onnx(Path(folder) / "iris.onnx")
    >>> report.largest_difference < 1e-5
    True
    >>> bool((model.predict(X) == net.predict(X)).all())
    True
    """
    check_parameters(quantize, calibration_data, max_label_changes, max_loss_increase, atol, outputs)
    check_verbose(verbose)
    check_target(path)
    check_writable(path)
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(f"estimator must be a fitted estimator, got {estimator!r} of type {type(estimator).__name__}")
    check_is_fitted(estimator)
    if issparse(X):
        raise TypeError("X must be dense, got a sparse matrix: pass X.toarray(), since the graph takes dense rows")
    import_optional("onnxruntime", "onnx")
    X, calibration_data = as_rows(X), as_rows(calibration_data)
    if quantize:
        refuse_common_rows(X, calibration_data)
    check_rows(estimator, X)
    with progress(5 if quantize else 4, "export", "step", verbose) as done:
        done.tell("conversion")
        graph, model = build_model(estimator, X, outputs)
        done.step(1, "check")
        names = [value.name for value in model.graph.output]
        check_outputs(estimator, names, outputs)
        original, estimator = estimator, in_full_precision(estimator) if graph.is_rounded else estimator
        expected = expected_outputs(estimator, X, names)
        if atol == "auto":
            atol = DOUBLE_ATOL if is_double(model) else FLOAT_ATOL
        run = make_run(model, graph)
        how = {"decodings": graph.decodings, "forgive": compares_computed_values(model), "progress": done}
        result = check_graph(estimator, run, X, expected, atol, **how)
        done.step(1, "quantization" if quantize else "metadata")
        changes = {}
        if quantize:
            before, model = run, quantize_model(estimator, model, graph, calibration_data)
            run = make_run(model, graph)
            changes = check_quantized_model(before, run, X, graph, max_label_changes, max_loss_increase)
            done.step(1, "metadata")
        file_atol = INT8_ATOL if quantize else atol
        metadata = describe_model(estimator, X, graph, model, run, expected, file_atol, result, embed_rows)
        content = as_bytes(model, metadata)
        loaded = OnnxModel(content)
        done.step(1, "speed")
        report = make_report(path, original, X, graph, loaded, content, result, atol, quantize, changes)
        done.step()
    replace_file(path, content)
    return report


def build_model(estimator, X, outputs="all"):
    """Return the graph of a fitted estimator, from rows like X to its predictions, and its ONNX model.

    Parameters
    ----------
    estimator : estimator
    X : array-like
        Some rows, for the names and dtypes of the inputs.
    outputs : {"all", "probabilities"}

    Returns
    -------
    graph : Graph
    model : onnx.ModelProto
        Its outputs are ``label`` and ``probabilities`` for a classifier, ``prediction`` for a regressor, ``features``
        for a transformer.
    """
    check_is_fitted(estimator)
    graph = Graph()
    result = convert(graph, estimator, add_inputs(graph, X))
    return graph, graph.build(name_outputs(graph, estimator, result, outputs))


def name_outputs(graph, estimator, result, outputs):
    """Return the outputs of the graph by name."""
    if not isinstance(result, Prediction):
        return {"features": graph.matrix(result)}
    if result.values is not None:
        return {"prediction": result.values}
    named = {} if result.probabilities is None else {"probabilities": result.probabilities}
    if outputs == "probabilities" and named:
        return named
    several = result.codes.shape != ()  # multilabel: a column of 0 and 1 per label
    label = result.codes if several else as_labels(graph, result.codes, estimator.classes_)
    return {"label": label, **named}


def quantize_model(estimator, model, graph, calibration_data):
    """Return a model whose backbone computes in int8, with ranges from rows like X."""
    from ._quantize import quantize_backbone

    try:
        check_rows(estimator, calibration_data)
        inputs = [(value.name, value.dtype, value.shape) for value in graph.inputs]
        feeds = make_feeds(calibration_data, inputs, graph.decodings)
        check_shapes(feeds, inputs)
    except (ValueError, TypeError) as error:
        raise type(error)(f"calibration_data must hold rows like X: {error}") from error
    return quantize_backbone(model, feeds)


def check_quantized_model(before: Run, after: Run, X, graph, max_label_changes, max_loss_increase) -> dict[str, float]:
    """Return the changes of the predictions for X through quantization.

    Raise an error if they are too large, or if the outputs for derived rows are no longer finite.
    """
    from ._quantize import check_quantized

    changes = check_quantized(before(X), after(X), max_label_changes, max_loss_increase)
    for name, rows, _ in make_all(X, graph.decodings):
        pairs = [(values, after(rows)[key]) for key, values in before(rows).items() if values.dtype.kind == "f"]
        if any((np.isfinite(a) & ~np.isfinite(b)).any() for a, b in pairs):
            raise OnnxMismatchError(
                f"the int8 model returns numbers that are not finite for rows derived from X ({name}), but the float "
                "model does not: omit quantize"
            )
    return changes


def make_run(model, graph) -> Run:
    """Return a function that runs the model on rows and returns its outputs."""
    try:
        session = open_session(as_bytes(model), "the graph", None, ["CPUExecutionProvider"])
    except ValueError as error:
        version = import_optional("onnxruntime", "onnx").__version__
        raise UnsupportedForOnnxError(
            f"the estimator cannot be exported to ONNX, because onnxruntime {version} cannot run its graph: "
            "install another version, or export the steps one by one, and replace the one that fails"
        ) from error
    names = [value.name for value in session.get_outputs()]
    inputs = [describe(value) for value in session.get_inputs()]

    def run(X):
        feeds = X if isinstance(X, dict) else make_feeds(X, inputs, graph.decodings)
        return dict(zip(names, session.run(names, feeds), strict=True))

    return run


def as_bytes(model, metadata: Metadata | None = None) -> bytes:
    """Return the content of an ONNX file."""
    helper = import_optional("onnx.helper", "onnx")
    if metadata is not None:
        helper.set_model_props(model, write_metadata(metadata, __version__))
    try:
        content = model.SerializeToString()
    except Exception as error:  # protobuf raises several kinds of errors for messages that are too large
        raise ValueError(f"the graph must fit into one ONNX file of at most 2 GB, but it does not: {error}") from error
    return content if metadata is None else seal(content)


def make_report(path, estimator, X, graph, loaded, content, result: CheckResult, atol, quantize, changes):
    """Return the report of an export."""
    method = METHODS["probabilities" if "probabilities" in loaded.outputs else loaded.outputs[0]]
    predict = getattr(estimator, method)
    speeds = [measure_speed(predict, loaded.run, X, n_rows, graph.decodings) for n_rows in (1, N_ROWS)]
    return ExportReport(
        path=os.fspath(path),
        estimator=type(estimator).__name__,
        size=len(content),
        inputs=dict(map(describe_value, loaded._session.get_inputs())),
        outputs=dict(map(describe_value, loaded._session.get_outputs())),
        n_rows=result.n_given,
        n_made_rows=result.n_made,
        largest_difference=result.largest_difference,
        largest_made_difference=result.largest_made_difference,
        atol=atol,
        n_ties=result.ties,
        threshold_fraction=result.on_threshold / max(result.n_made, 1),
        refused=tuple(result.refused),
        speed_1=speeds[0],
        speed_64=speeds[1],
        quantize=quantize,
        bfloat16=graph.is_rounded,
        **changes,
    )


def describe_value(value) -> tuple[str, str]:
    """Return the name of an input or output of a session, and its dtype and shape as text."""
    name, dtype, shape = describe(value)
    kind = "str" if dtype.kind == "O" else dtype.name
    return name, f"{kind} ({', '.join(['n', *map(str, shape)])})"
