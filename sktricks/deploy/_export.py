"""The export of a fitted estimator as one ONNX file, checked before it is written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from .. import __version__
from .._optional import import_optional
from .._replace_file import check_target, replace_file
from ..images._image_column import as_column
from ._check import METHODS, CheckResult, check_graph, expected_outputs, find_missing
from ._compare_outputs import Outputs, near_ties
from ._converters import as_labels, convert
from ._exactness import compares_computed_values, is_double, texts_in
from ._feeds import make_feeds
from ._graph import Graph, Prediction
from ._graph_inputs import add_inputs
from ._metadata import Check, Metadata, seal, write_metadata
from ._onnx_model import OnnxModel, describe, open_session
from ._report import ExportReport
from ._sample_rows import N_ROWS, SEED, describe_input, sample_rows

FLOAT_ATOL, DOUBLE_ATOL, INT8_ATOL = 1e-5, 1e-9, 0.05
SECONDS = 0.4  # for each measurement of speed
KINDS = {"label": "classifier", "probabilities": "classifier", "prediction": "regressor", "features": "transformer"}


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
) -> ExportReport:
    """Export a fitted estimator as one ONNX file, after checking that both predict the same.

    The graph leads from the columns of a table, or from pixels, to labels and probabilities, for any number of rows. It
    is compared with the estimator on ``X`` and on rows made of X: beside them, between them, far outside, with shuffled
    columns, each alone. If anything differs, nothing is written.

    Parameters
    ----------
    estimator : estimator
        Fitted: a net, a Pipeline, a vote or stack, or another classifier, regressor or transformer.
    path : str or path-like
        The file, usually ``"<name>.onnx"``. An existing file is replaced in one step, only after all checks.
    X : array-like, DataFrame, or column of image files
        Rows as the estimator takes them. They show the names and dtypes of the inputs, and are what the graph is
        compared on: pass some hundred rows of the training data, in the dtype in which you will predict.
    quantize : {"int8"}, default=None
        Store and compute the backbone of a ``FineTune*`` estimator in 8 bits: a quarter of the size, and faster.
    calibration_data : array-like, default=None
        Rows like X from which the ranges of the 8-bit numbers are taken; a few hundred training rows, none of which is
        in X.
    max_label_changes : float, default=0.02
        The fraction of the labels of X that quantization may change.
    max_loss_increase : float, default=0.01
        By how much quantization may raise the cross-entropy on X, against the probabilities of the float model.
    atol : float or "auto", default="auto"
        The largest difference allowed. ``"auto"``: 1e-9 if the whole graph computes in float64, otherwise 1e-5.
        Predicted values and features are compared relative to the largest of their column.
    outputs : {"all", "probabilities"}, default="all"
        ``"probabilities"`` leaves the labels out, for runtimes that know no strings.
    embed_rows : bool, default=False
        The file carries rows on which it is checked again when it is loaded. False: synthetic rows, drawn from the
        rounded ranges of the columns. True: the first 64 rows of X, which then are in the file.

    Returns
    -------
    report : ExportReport
        Differences, size, speed; ``print`` shows it as a table.

    Raises
    ------
    UnsupportedForOnnxError
        If a step, or a setting of it, cannot be converted; the message names it.
    OnnxMismatchError
        If the graph and the estimator differ; the message has the worst row and both outputs.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError, TypeError
        If a parameter is wrong, or X is not as the estimator needs it.
    ImportError
        If onnx or onnxruntime is missing: ``pip install "sktricks[onnx]"``.

    See Also
    --------
    load_onnx : Load the file as an estimator of scikit-learn, without torch.
    OnnxModel : Run the file where only numpy and onnxruntime are installed.

    Notes
    -----
    The file runs in any runtime for ONNX. An array is the input ``X``; the columns of a DataFrame are inputs of their
    names, of shape (n, 1), where a missing string is ``""``. The outputs are ``label`` and ``probabilities`` of a
    classifier, ``prediction`` of a regressor, and ``features`` of a transformer::

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
    check_target(path)
    check_writable(path)
    if not hasattr(estimator, "fit"):
        raise TypeError(f"estimator must be a fitted estimator, got {estimator!r} of type {type(estimator).__name__}")
    check_is_fitted(estimator)
    if issparse(X):
        raise TypeError("X must be dense, got a sparse matrix: pass X.toarray(), as the graph takes dense rows")
    import_optional("onnxruntime", "onnx")
    if quantize:
        refuse_common_rows(X, calibration_data)
    check_rows(estimator, X)
    graph, model = build_model(estimator, X, outputs)
    names = [value.name for value in model.graph.output]
    check_outputs(estimator, names, outputs)
    expected = expected_outputs(estimator, X, names)
    if atol == "auto":
        atol = DOUBLE_ATOL if is_double(model) else FLOAT_ATOL
    run = make_run(model, graph)
    result = check_graph(
        estimator, run, X, expected, atol, decodings=graph.decodings, forgive=compares_computed_values(model)
    )
    changes = {}
    if quantize:
        from ._quantize import check_quantized, quantize_backbone

        inputs = [(value.name, value.dtype, value.shape) for value in graph.inputs]
        model = quantize_backbone(model, make_feeds(calibration_data, inputs, graph.decodings))
        before, run = run(X), make_run(model, graph)
        changes = check_quantized(before, run(X), max_label_changes, max_loss_increase)
    metadata = describe_model(estimator, X, graph, model, run, expected, INT8_ATOL if quantize else atol, embed_rows)
    content = as_bytes(model, metadata)
    loaded = OnnxModel(content)
    report = make_report(path, estimator, X, names, loaded, content, result, atol, quantize, changes)
    replace_file(path, content)
    return report


def build_model(estimator, X, outputs="all"):
    """Return the graph of a fitted estimator, from rows like X to its predictions, and the ONNX model of it.

    Parameters
    ----------
    estimator : estimator
    X : array-like
        Some rows, which show names and dtypes of the inputs.
    outputs : {"all", "probabilities"}

    Returns
    -------
    graph : Graph
    model : onnx.ModelProto
        Its outputs are ``label`` and ``probabilities`` of a classifier, ``prediction`` of a regressor, ``features`` of
        a transformer.
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
    several = result.codes.shape != ()  # 0 and 1 for each of several labels
    label = result.codes if several else as_labels(graph, result.codes, estimator.classes_)
    return {"label": label, **named}


# -- parameters --------------------------------------------------------------------------------------------------------


def check_parameters(quantize, calibration_data, max_label_changes, max_loss_increase, atol, outputs) -> None:
    """Raise an error about parameters that are wrong whatever the estimator."""
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize must be 'int8' or None, got {quantize!r}")
    if quantize and calibration_data is None:
        raise ValueError(
            "quantize='int8' needs calibration_data: a few hundred training rows like X, none of which is in X"
        )
    if calibration_data is not None and not quantize:
        raise ValueError("calibration_data is for quantize='int8', got quantize=None: pass both or neither")
    if outputs not in ("all", "probabilities"):
        raise ValueError(f"outputs must be 'all' or 'probabilities', got {outputs!r}")
    for name, value in {"max_label_changes": max_label_changes, "max_loss_increase": max_loss_increase}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ValueError(f"{name} must be a number from 0 on, got {value!r}")
    is_number = isinstance(atol, int | float) and not isinstance(atol, bool)
    if atol != "auto" and not (is_number and 0 <= atol < np.inf):
        raise ValueError(f"atol must be 'auto' or a number from 0 on, got {atol!r}")


def check_writable(path) -> None:
    """Raise an error if the folder of a path cannot be written to."""
    folder = os.path.dirname(os.path.realpath(path))
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"path={os.fspath(path)!r} cannot be written: no files may be created in {folder!r}")


def check_rows(estimator, X) -> None:
    """Raise the estimator's own error about an X that it does not take."""
    method = next((name for name in ("predict", "transform") if hasattr(estimator, name)), None)
    if method is None:
        raise TypeError(f"estimator must have predict or transform, which {type(estimator).__name__} has not")
    getattr(estimator, method)(_safe_indexing(X, [0]) if hasattr(X, "shape") and len(X) else X)


def check_outputs(estimator, names: Sequence[str], outputs: str) -> None:
    """Raise an error if an estimator has none of the outputs asked for."""
    if outputs == "probabilities" and "probabilities" not in names:
        kind = KINDS[names[0]]
        raise ValueError(
            f"outputs='probabilities' needs a classifier with predict_proba, got {type(estimator).__name__}, a {kind} "
            f"whose graph has {', '.join(names)}: pass outputs='all'"
        )


def refuse_common_rows(X, calibration_data) -> None:
    """Raise an error if rows for calibration are rows of X too, on which quantization is judged."""
    common = row_keys(X) & row_keys(calibration_data)
    if common:
        raise ValueError(
            f"calibration_data must hold other rows than X, which judges the result, but {len(common)} rows are in "
            "both: split the rows first, such as X[:200] and X[200:]"
        )


def row_keys(X) -> set:
    """Return something that is equal for equal rows."""
    files = as_column(X)
    if files is not None:
        return set(map(os.fsdecode, files) if not any(isinstance(file, bytes) for file in files) else files)
    array = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    if array.dtype.kind in "biuf":
        return {row.tobytes() for row in np.ascontiguousarray(array, np.float64 if array.ndim == 2 else None)}
    return {repr(row) for row in array.tolist()}


# -- the file ----------------------------------------------------------------------------------------------------------


def make_run(model, graph) -> Callable[[Any], Outputs]:
    """Return a function from rows to the outputs of a model."""
    session = open_session(as_bytes(model), "the graph", None, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    inputs = [describe(value) for value in session.get_inputs()]

    def run(X):
        feeds = X if isinstance(X, dict) else make_feeds(X, inputs, graph.decodings)
        return dict(zip(names, session.run(names, feeds), strict=True))

    return run


def as_bytes(model, metadata: Metadata | None = None) -> bytes:
    """Return an ONNX model as the content of a file."""
    helper = import_optional("onnx.helper", "onnx")
    if metadata is not None:
        helper.set_model_props(model, write_metadata(metadata, __version__))
    try:
        content = model.SerializeToString()
    except Exception as error:  # protobuf has several errors for messages that are too large
        raise ValueError(f"the graph does not fit into one ONNX file, which holds at most 2 GB: {error}") from error
    return content if metadata is None else seal(content)


def describe_model(estimator, X, graph, model, run, expected, atol, embed_rows) -> Metadata:
    """Return what the file says of itself."""
    inputs = [(value.name, value.dtype, value.shape) for value in graph.inputs]
    feeds = make_feeds(X, inputs, graph.decodings)
    if embed_rows:
        rows = {name: array[:N_ROWS] for name, array in feeds.items()}
        check = Check(atol, run(rows), rows=rows)
    else:
        known = texts_in(model)
        description = [describe_input(name, array, known) for name, array in feeds.items()]
        check = Check(atol, run(sample_rows(description)), description, SEED)
    names = getattr(estimator, "feature_names_in_", None)
    classes = getattr(estimator, "classes_", None)
    is_classifier = KINDS[next(iter(expected))] == "classifier"
    return Metadata(
        kind=KINDS[next(iter(expected))],
        estimator=type(estimator).__name__,
        classes=np.asarray(classes) if is_classifier and classes is not None else None,
        feature_names=None if names is None else [str(name) for name in names],
        n_features=getattr(estimator, "n_features_in_", None),
        labels=labels_follow(estimator, X, expected, atol),
        missing=find_missing_of(estimator, X, graph, list(expected)),
        decodings=graph.decodings,
        check=check,
    )


def labels_follow(estimator, X, expected: Outputs, atol: float) -> bool:
    """Return True if the label of an estimator is that of the largest probability."""
    probabilities = expected.get("probabilities")
    if probabilities is None or probabilities.shape[1] != len(estimator.classes_):
        return False
    labels = np.asarray(expected["label"] if "label" in expected else estimator.predict(X))
    if labels.ndim != 1:
        return False
    largest = np.asarray(estimator.classes_)[probabilities.argmax(axis=1)]
    return bool(((labels == largest) | near_ties(probabilities, labels, atol)).all())


def find_missing_of(estimator, X, graph, names) -> dict[str, bool | list[int]]:
    """Return for each input in which columns the estimator takes missing values."""
    if as_column(X) is not None or np.ndim(X) > 2:
        return {}
    accepted = find_missing(estimator, X, names)
    if len(graph.inputs) == 1 and graph.inputs[0].shape != (1,):
        (value,) = graph.inputs
        return {value.name: len(accepted) == value.shape[0] or accepted}
    return {value.name: index in accepted for index, value in enumerate(graph.inputs)}


# -- the report --------------------------------------------------------------------------------------------------------


def make_report(
    path, estimator, X, names, loaded, content, result: CheckResult, atol, quantize, changes
) -> ExportReport:
    """Return the report of an export."""
    session = loaded._session
    method = METHODS["probabilities" if "probabilities" in names else names[0]]
    speeds = [measure_speed(estimator, loaded, X, n_rows, method) for n_rows in (1, N_ROWS)]
    return ExportReport(
        path=os.fspath(path),
        estimator=type(estimator).__name__,
        size=len(content),
        inputs=dict(map(describe_value, session.get_inputs())),
        outputs=dict(map(describe_value, session.get_outputs())),
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
        **changes,
    )


def describe_value(value) -> tuple[str, str]:
    """Return the name of an input or output of a session, and its dtype and shape as text."""
    name, dtype, shape = describe(value)
    kind = "str" if dtype.kind == "O" else dtype.name
    return name, f"{kind} ({', '.join(['n', *map(str, shape)])})"


def measure_speed(estimator, loaded: OnnxModel, X, n_rows: int, method: str) -> float:
    """Return how many times as fast as the estimator a file predicts some rows."""
    n_given = X.shape[0] if hasattr(X, "shape") else len(X)
    rows = _safe_indexing(X, np.arange(n_rows) % n_given)
    return median_seconds(getattr(estimator, method), rows) / median_seconds(loaded.run, rows)


def median_seconds(function, rows) -> float:
    """Return the median time of some calls."""
    times: list[float] = []
    while not times or (sum(times) < SECONDS and len(times) < 9):
        start = time.perf_counter()
        function(rows)
        times.append(time.perf_counter() - start)
    return float(np.median(times))
