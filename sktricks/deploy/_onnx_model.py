"""OnnxModel: run a file of export_onnx with only numpy and onnxruntime installed."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from .._optional import import_optional
from ._compare_outputs import compare, describe_row
from ._feeds import STRING, check_shapes, make_feeds
from ._metadata import Metadata, is_intact, read_metadata, read_seal
from ._onnx_errors import OnnxMismatchError
from ._sample_rows import sample_rows

DTYPES: dict[str, Any] = {"string": STRING, "float": np.float32, "double": np.float64, "float16": np.float16}
SMALL = 10_000  # numbers in an array
CHECKED: set[tuple] = set()  # files that this process has checked; workers may load a file repeatedly


class OnnxModel:
    """A model written by :func:`export_onnx`; requires numpy and onnxruntime, but neither torch nor scikit-learn.

    When a file is loaded, its checksum is verified, and its predictions for the rows in the file are compared with the
    expected outputs. A damaged file raises an error, as does a processor or a version of onnxruntime with which the
    predictions differ.

    Parameters
    ----------
    path : str, path-like or bytes
        The file, or its content.
    n_threads : int, default=None
        Number of threads per prediction. None means ``OMP_NUM_THREADS`` if it is set, as in joblib's workers, otherwise
        one per core.
    providers : list of str, default=None
        Execution providers of onnxruntime, in order of preference. None means the CPU.
    check : bool, default=True
        False skips the checksum and the comparison.

    Attributes
    ----------
    kind : {"classifier", "regressor", "transformer"}
        The kind of the exported estimator.
    classes : ndarray or None
        The labels of a classifier.
    feature_names : list of str or None
        The columns that the estimator was fitted on, if it was fitted on a DataFrame.
    inputs : list of (name, dtype, shape)
        The inputs of the graph; shape is that of one row, and dtype ``object`` means strings.
    outputs : list of str
        ``label`` and ``probabilities`` for a classifier, ``prediction`` for a regressor, ``features`` for a
        transformer.

    Raises
    ------
    ValueError
        If the file is damaged, from a newer version, or not written by :func:`export_onnx`.
    OnnxMismatchError
        If the outputs for the rows in the file differ from those where it was exported.
    ImportError
        If onnxruntime is not installed.

    See Also
    --------
    load_onnx : Load the file as a scikit-learn estimator.

    Notes
    -----
    Several threads can predict at once. A pickle contains the file, ``n_threads`` and ``providers``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sktricks import OnnxModel, export_onnx
    >>> X, _ = load_iris(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = export_onnx(StandardScaler().fit(X), Path(folder) / "scaler.onnx", X)
    ...     model = OnnxModel(Path(folder) / "scaler.onnx")
    >>> model.run(X[:1])["features"].round(1)
    array([[-0.9,  1. , -1.3, -1.3]])
    """

    def __init__(
        self,
        path: str | os.PathLike | bytes,
        *,
        n_threads: int | None = None,
        providers: Sequence[Any] | None = None,
        check: bool = True,
    ):
        if n_threads is not None and not (isinstance(n_threads, Integral) and n_threads > 0):
            raise ValueError(f"n_threads must be an int above 0, or None, got {n_threads!r}")
        if isinstance(providers, str):
            raise TypeError(f"providers must be a list of names, got the string {providers!r}: pass [{providers!r}]")
        self._name = "the content" if isinstance(path, bytes) else f"path={os.fspath(path)!r}"
        self._content = path if isinstance(path, bytes) else read_file(path)
        self._n_threads, self._check = n_threads, bool(check)
        self._providers = list(providers or ["CPUExecutionProvider"])
        self._session, self._process, self._lock = None, None, threading.Lock()
        if check and read_seal(self._content) is not None and not is_intact(self._content):
            raise ValueError(f"{self._name} is damaged, since its checksum does not match: copy or export it again")
        self._start()

    # -- what the file says ----------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """The kind of the exported estimator."""
        return self._metadata.kind

    @property
    def classes(self) -> np.ndarray | None:
        """The labels of a classifier, in the order of its probabilities."""
        return self._metadata.classes

    @property
    def feature_names(self) -> list[str] | None:
        """The columns that the estimator was fitted on."""
        return self._metadata.feature_names

    def __repr__(self):
        columns = ", ".join(name for name, *_ in self.inputs)
        return f"<OnnxModel of a {self._metadata.estimator}: {columns} -> {', '.join(self.outputs)}>"

    # -- predictions -----------------------------------------------------------------------------------------------

    def run(self, X) -> dict[str, np.ndarray]:
        """Return all outputs for some rows.

        Parameters
        ----------
        X : array, DataFrame, dict of columns, or column of image files
            Rows like the X that was passed to :func:`export_onnx`. Integers are converted to floats if the model takes
            floats; other conversions that would change values raise an error.

        Returns
        -------
        outputs : dict of ndarray
            The outputs, by name.
        """
        return self._run(self._make_feeds(X))

    def predict(self, X) -> np.ndarray:
        """Return the labels or values that the exported estimator would predict.

        Parameters
        ----------
        X : array-like, DataFrame, or column of image files
            Rows like the X that was passed to :func:`export_onnx`.

        Returns
        -------
        y : ndarray of shape (n,) or (n, outputs)
            Predicted labels or values.
        """
        found = self.run(X)
        if "prediction" in found:
            return found["prediction"]
        if "label" in found:
            return self._as_labels(found["label"])
        if "probabilities" in found and self._metadata.labels:
            assert self.classes is not None
            return self.classes[found["probabilities"].argmax(axis=1)]
        raise AttributeError(f"{self._name} has no labels or values, only {self.outputs}: call run instead")

    def predict_proba(self, X) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like, DataFrame, or column of image files
            Rows like the X that was passed to :func:`export_onnx`.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes``.
        """
        if "probabilities" not in self.outputs:
            raise AttributeError(f"{self._name} has no probabilities, only {self.outputs}: call run instead")
        return self.run(X)["probabilities"]

    def check(self) -> float:
        """Compare predictions for the rows in the file with the expected outputs; return the largest difference.

        Returns
        -------
        difference : float
            The largest absolute difference of a number from the one expected.

        Raises
        ------
        OnnxMismatchError
            If labels differ, or numbers differ by more than the tolerance in the file.
        """
        return self._compare(self._run)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _make_feeds(self, X):
        feeds = make_feeds(X, self.inputs, self._metadata.decodings, self._metadata.gaps)
        check_shapes(feeds, self.inputs)
        for name, array in feeds.items():
            if array.dtype.kind == "f":
                self._check_finite(name, array)
        return feeds

    def _check_finite(self, name, array):
        """Raise an error for NaN and infinite values that the estimator would reject."""
        # For few numbers the sum of squares is faster. It may overflow, hence the second test.
        if (array.size < SMALL and math.isfinite(np.vdot(array, array))) or np.isfinite(array).all():
            return
        allowed = self._metadata.missing.get(name, False)
        if np.isinf(array).any():
            raise ValueError(f"Input {name} contains infinity or a value too large for {array.dtype}.")
        columns = np.flatnonzero(np.isnan(array.reshape(len(array), -1)).any(axis=0))
        if allowed is not True and not (allowed and set(columns.tolist()) <= set(allowed)):
            raise ValueError(f"Input {name} contains NaN, which the exported estimator does not accept.")

    def _compare(self, run) -> float:
        """Return the largest difference in the rows of the check; raise an error if it is too large."""
        check = self._metadata.check
        rows = check.rows if check.description is None else sample_rows(check.description, check.seed)
        found = run(rows)
        difference = compare(check.outputs, found, check.atol)
        if difference.bad.any():
            raise OnnxMismatchError(
                f"{self._name} does not predict the same here as where it was exported, in "
                f"{int(difference.bad.sum())} of {len(difference.bad)} rows of its check: "
                f"{describe_row(check.outputs, found, difference.worst)}, the largest difference is "
                f"{difference.largest:.2g}. onnxruntime {import_optional('onnxruntime', 'onnx').__version__} with "
                f"{self._providers} computes wrong results here: install another version, or use other providers"
            )
        return difference.largest

    def _run(self, feeds):
        if self._session is None or self._process != os.getpid():  # the threads of a session do not survive a fork
            with self._lock:
                if self._session is None or self._process != os.getpid():
                    self._start()
        n_rows, size = len(next(iter(feeds.values()))), self._metadata.rows_at_once
        if n_rows <= size:
            return dict(zip(self.outputs, self._session.run(self.outputs, feeds), strict=True))
        starts = range(0, n_rows, size)
        blocks = [{name: array[start : start + size] for name, array in feeds.items()} for start in starts]
        parts = zip(*(self._session.run(self.outputs, block) for block in blocks), strict=True)
        return {name: np.concatenate(part) for name, part in zip(self.outputs, parts, strict=True)}

    def _as_labels(self, labels):
        return labels if self.classes is None or labels.ndim > 1 else labels.astype(self.classes.dtype)

    def _start(self):
        """Open a session, and check the file unless this process already has."""
        session = open_session(self._content, self._name, self._n_threads, self._providers)
        self._metadata: Metadata = read_metadata(session.get_modelmeta().custom_metadata_map, self._name)
        if self._check and read_seal(self._content) is None:
            raise ValueError(f"{self._name} was changed after the export: pass check=False if this was intentional")
        self.inputs = [describe(value) for value in session.get_inputs()]
        self.outputs = [value.name for value in session.get_outputs()]
        key = (read_seal(self._content), repr(self._providers))
        if self._check and key not in CHECKED:
            self._compare(lambda feeds: dict(zip(self.outputs, session.run(self.outputs, feeds), strict=True)))
            CHECKED.add(key)
        self._session, self._process = session, os.getpid()

    def __getstate__(self):
        names = ("_name", "_content", "_n_threads", "_check", "_providers", "_metadata", "inputs", "outputs")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state):
        self.__dict__.update(state, _session=None, _process=None, _lock=threading.Lock())


def read_file(path) -> bytes:
    """Return the content of a regular file."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"path={os.fspath(path)!r} must be a file, got a folder, pipe, socket or device")
    with open(path, "rb") as file:
        return file.read()


def open_session(content: bytes, name: str, n_threads: int | None, providers: Sequence[Any]):
    """Return a session of onnxruntime whose threads sleep, rather than spin, while they are idle."""
    runtime = import_optional("onnxruntime", "onnx")
    wanted = [one if isinstance(one, str) else one[0] for one in providers]
    known = runtime.get_available_providers()
    if not set(wanted) <= set(known):
        raise ValueError(f"providers must be among those of this onnxruntime, {known}, got {wanted}")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = int(n_threads or 0) or threads_of_worker()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(content, options, providers=list(providers))
    except Exception as error:  # onnxruntime's errors have no common base class
        hint = ". It looks like an archive of sktricks.save: load it with sktricks.load" if is_archive(content) else ""
        raise ValueError(f"{name} is truncated, damaged, or not an ONNX file: {error}{hint}") from error
    if wanted[0] not in session.get_providers():
        raise ValueError(f"providers={wanted} cannot be used, since onnxruntime could not start {wanted[0]} here")
    return session


def is_archive(content: bytes) -> bool:
    """Return True for a safetensors file, which starts with the length of a JSON header and the header."""
    return content[8:9] == b"{"


def threads_of_worker() -> int:
    """Return the number of threads of a joblib worker; outside of workers 0, which means one per core."""
    found = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(found) if found.isdecimal() else 0


def describe(value) -> tuple[str, np.dtype, tuple[int, ...]]:
    """Return the name, dtype and shape per row of an input of a session."""
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    return value.name, np.dtype(DTYPES.get(kind) or kind), tuple(value.shape[1:])
