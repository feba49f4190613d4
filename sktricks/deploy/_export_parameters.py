"""Check the parameters of export_onnx before the export begins."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from sklearn.utils import _safe_indexing

from ..images._image_column import as_column
from ..tables._frames import is_frame
from ._check import KINDS


def check_parameters(quantize, calibration_data, max_label_changes, max_loss_increase, atol, outputs) -> None:
    """Raise an error for parameters that are invalid for any estimator."""
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize must be 'int8' or None, got {quantize!r}")
    if quantize and calibration_data is None:
        raise ValueError(
            "quantize='int8' requires calibration_data, got None: pass a few hundred training rows that are not in X"
        )
    if calibration_data is not None and not quantize:
        raise ValueError("calibration_data requires quantize='int8', got quantize=None: pass both or neither")
    if outputs not in ("all", "probabilities"):
        raise ValueError(f"outputs must be 'all' or 'probabilities', got {outputs!r}")
    for name, value in {"max_label_changes": max_label_changes, "max_loss_increase": max_loss_increase}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ValueError(f"{name} must be a non-negative number, got {value!r}")
    is_number = isinstance(atol, int | float) and not isinstance(atol, bool)
    if atol != "auto" and not (is_number and 0 <= atol < np.inf):
        raise ValueError(f"atol must be 'auto' or a non-negative number, got {atol!r}")


def check_writable(path) -> None:
    """Raise an error if the folder of a path cannot be written to."""
    folder = os.path.dirname(os.path.realpath(path))
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"path={os.fspath(path)!r} must be in a writable folder, got {folder!r}: choose another")


def as_rows(X):
    """Return X; arrays of other libraries, such as tensors, become NumPy arrays."""
    return np.asarray(X) if hasattr(X, "__array__") and not is_frame(X) and np.ndim(X) > 1 else X


def check_rows(estimator, X) -> None:
    """Raise the estimator's own error if it does not accept X."""
    method = next((name for name in ("predict", "transform") if hasattr(estimator, name)), None)
    if method is None:
        raise TypeError(f"estimator must have predict or transform, but {type(estimator).__name__} has neither")
    getattr(estimator, method)(_safe_indexing(X, [0]) if hasattr(X, "shape") and len(X) else X)


def check_outputs(estimator, names: Sequence[str], outputs: str) -> None:
    """Raise an error if an estimator lacks the requested outputs."""
    if outputs == "probabilities" and "probabilities" not in names:
        kind = KINDS[names[0]]
        raise ValueError(
            f"outputs='probabilities' requires a classifier with predict_proba, got {type(estimator).__name__}, a "
            f"{kind} whose graph has {', '.join(names)}: pass outputs='all'"
        )


def refuse_common_rows(X, calibration_data) -> None:
    """Raise an error if rows for calibration are also in X, on which quantization is judged."""
    common = row_keys(X) & row_keys(calibration_data)
    if common:
        raise ValueError(
            f"calibration_data must not share rows with X, on which the result is judged, but {len(common)} rows are "
            "in both: split the rows first, for example into X[:200] and X[200:]"
        )


def row_keys(X) -> set:
    """Return a set of keys that are equal for equal rows."""
    files = as_column(X)
    if files is not None:
        return set(map(os.fsdecode, files) if not any(isinstance(file, bytes) for file in files) else files)
    array = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    if array.dtype.kind in "biuf":
        return {row.tobytes() for row in np.ascontiguousarray(array, np.float64 if array.ndim == 2 else None)}
    return {repr(row) for row in array.tolist()}
