"""OnnxModel: a file of export_onnx as it runs where only numpy and onnxruntime are installed."""

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
SMALL = 10_000  # numbers
CHECKED: set[tuple] = set()  # what this process has checked: each file once, since workers load it again and again


class OnnxModel:
    """A model that :func:`export_onnx` wrote; it needs numpy and onnxruntime, neither torch nor scikit-learn.

    When a file is loaded, its checksum is compared, and the rows of its check are run: another version of onnxruntime,
    another processor or a damaged file that would predict something else is an error.

    Parameters
    ----------
    path : str, path-like or bytes
        The file, or its content.
    n_threads : int, default=None
        Threads for each prediction. None: ``OMP_NUM_THREADS``, if it is set, as joblib does in its workers, otherwise
        one per core.
    providers : list of str, default=None
        Execution providers of onnxruntime, the first preferred. None: the CPU.
    check : bool, default=True
        False skips the checksum and the check.

    Attributes
    ----------
    kind : {"classifier", "regressor", "transformer"}
        What the estimator was.
    classes : ndarray or None
        Of a classifier.
    feature_names : list of str or None
        The columns that the estimator was fitted on, if it was fitted on a DataFrame.
    inputs : list of (name, dtype, shape)
        Of the graph; shape is that of one row, and dtype ``object`` stands for strings.
    outputs : list of str
        ``label`` and ``probabilities`` of a classifier, ``prediction`` of a regressor, ``features`` of a transformer.

    Raises
    ------
    ValueError
        If the file is damaged, from a newer version, or not one of :func:`export_onnx`.
    OnnxMismatchError
        If the rows of its check give other outputs here than where it was exported.
    ImportError
        If onnxruntime is not installed.

    See Also
    --------
    load_onnx : Load the file as an estimator of scikit-learn.

    Notes
    -----
    Predictions may run in threads. A pickle holds the content of the file, and the threads and providers asked for.

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
            raise ValueError(f"{self._name} is damaged: its checksum does not match. Copy or export it again")
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
            Like the X that the model was exported with. Integers are converted to floats where the model takes these;
            other conversions that would change values are errors.

        Returns
        -------
        outputs : dict of ndarray
            By the names in ``outputs``.
        """
        return self._run(self._make_feeds(X))

    def predict(self, X) -> np.ndarray:
        """Return the labels or values that the estimator would predict.

        Parameters
        ----------
        X : array-like, DataFrame, or column of image files
            Like the X that the estimator was exported with.

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
        raise AttributeError(f"{self._name} has no labels or values, only {self.outputs}: see run")

    def predict_proba(self, X) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like, DataFrame, or column of image files
            Like the X that the estimator was exported with.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes``.
        """
        if "probabilities" not in self.outputs:
            raise AttributeError(f"{self._name} has no probabilities, only {self.outputs}")
        return self.run(X)["probabilities"]

    def check(self) -> float:
        """Run the check of the file, and return the largest difference.

        Returns
        -------
        difference : float
            The largest absolute difference of a number from the one expected.

        Raises
        ------
        OnnxMismatchError
            If labels differ, or a number differs by more than the tolerance of the file.
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
        """Raise an error for the NaN and infinite values that the estimator would refuse."""
        # For a single row the sum of squares is faster. It may overflow.
        if (array.size < SMALL and math.isfinite(np.vdot(array, array))) or np.isfinite(array).all():
            return
        allowed = self._metadata.missing.get(name, False)
        if np.isinf(array).any():
            raise ValueError(f"Input {name} contains infinity or a value too large for {array.dtype}.")
        columns = np.flatnonzero(np.isnan(array.reshape(len(array), -1)).any(axis=0))
        if allowed is not True and not (allowed and set(columns.tolist()) <= set(allowed)):
            raise ValueError(f"Input {name} contains NaN, which the estimator that was exported does not accept.")

    def _compare(self, run) -> float:
        """Return the largest difference in the rows of the check; an error if it is too large."""
        check = self._metadata.check
        rows = check.rows if check.description is None else sample_rows(check.description, check.seed)
        found = run(rows)
        difference = compare(check.outputs, found, check.atol)
        if difference.bad.any():
            raise OnnxMismatchError(
                f"{self._name} predicts something else here than where it was exported, in "
                f"{int(difference.bad.sum())} of {len(difference.bad)} rows of its check: "
                f"{describe_row(check.outputs, found, difference.worst)}, the largest difference is "
                f"{difference.largest:.2g}. onnxruntime {import_optional('onnxruntime', 'onnx').__version__} with "
                f"{self._providers} computes wrong results here: install another version, or use other providers"
            )
        return difference.largest

    def _run(self, feeds):
        if self._session is None or self._process != os.getpid():  # a fork has none of the threads of a session
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
        """Open a session, and check the file if this process has not yet."""
        session = open_session(self._content, self._name, self._n_threads, self._providers)
        self._metadata: Metadata = read_metadata(session.get_modelmeta().custom_metadata_map, self._name)
        if self._check and read_seal(self._content) is None:
            raise ValueError(f"{self._name} was changed after it was exported: pass check=False if this was on purpose")
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
    """Return a session of onnxruntime, whose threads sleep while they have nothing to do."""
    runtime = import_optional("onnxruntime", "onnx")
    wanted = [one if isinstance(one, str) else one[0] for one in providers]
    known = runtime.get_available_providers()
    if not set(wanted) <= set(known):
        raise ValueError(f"providers must be among {known}, which this onnxruntime has, got {wanted}")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = int(n_threads or 0) or threads_of_worker()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(content, options, providers=list(providers))
    except Exception as error:  # onnxruntime's errors have no common class
        hint = ". It looks like an archive of sktricks.save: load it with sktricks.load" if is_archive(content) else ""
        raise ValueError(f"{name} is truncated, damaged, or not an ONNX file: {error}{hint}") from error
    if wanted[0] not in session.get_providers():
        raise ValueError(f"providers={wanted} cannot be used: onnxruntime could not start {wanted[0]} here")
    return session


def is_archive(content: bytes) -> bool:
    """Return True for a file of safetensors: the length of its header, and the header in JSON."""
    return content[8:9] == b"{"


def threads_of_worker() -> int:
    """Return the threads that joblib grants a worker; 0, one per core, outside of workers."""
    found = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(found) if found.isdecimal() else 0


def describe(value) -> tuple[str, np.dtype, tuple[int, ...]]:
    """Return name, dtype and shape of a row of an input of a session."""
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    return value.name, np.dtype(DTYPES.get(kind) or kind), tuple(value.shape[1:])
