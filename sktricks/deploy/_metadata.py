"""The metadata of a file: kind, classes, columns, decoding of images, and a check; requires only numpy.

They are stored as JSON in the ``metadata_props`` of the model. The last entry is a checksum of the file: its 64 digits
are the last bytes of the file, and any reader of ONNX treats them as a regular entry.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

FORMAT = 1
FORMAT_KEY, VERSION_KEY, MODEL_KEY, SUM_KEY = (f"sktricks.{name}" for name in ("format", "version", "model", "sha256"))
N_DIGITS = 64
# Field 14 of a ModelProto, metadata_props: an entry with a key (field 1) and a value (field 2), each with its length.
TAIL = bytes([0x72, 4 + len(SUM_KEY) + N_DIGITS, 0x0A, len(SUM_KEY)]) + SUM_KEY.encode() + bytes([0x12, N_DIGITS])


@dataclass(frozen=True)
class Check:
    """Rows, and the outputs that the model must return for them wherever the file is loaded.

    Parameters
    ----------
    atol : float
        The largest difference allowed; for values and features, relative to the largest of their column.
    outputs : dict of ndarray
        The expected outputs, by name.
    description : list of dict or None
        Describes synthetic rows, see :func:`~sktricks.deploy._sample_rows.sample_rows`; None if ``rows`` are given.
    seed : int
        Seed of the synthetic rows.
    rows : dict of ndarray or None
        Real rows, by the names of the inputs.
    """

    atol: float
    outputs: dict[str, np.ndarray]
    description: list[dict[str, Any]] | None = None
    seed: int = 0
    rows: dict[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Metadata:
    """The metadata of a file.

    Parameters
    ----------
    kind : {"classifier", "regressor", "transformer"}
    estimator : str
        The name of the estimator's class.
    classes : ndarray or None
    feature_names : list of str or None
        The columns of the DataFrame that the estimator was fitted on.
    n_features : int or None
        Number of columns, or of pixels times channels.
    labels : bool
        True if labels follow from the largest probability; used if the file has no output for labels.
    missing : dict
        For each input, the columns in which the estimator accepts NaN: True for all, or their indices.
    gaps : dict
        For each input of strings, the kinds of missing values that may become the empty string, see
        :func:`~sktricks.deploy._feeds.gap_kind`.
    any_order : bool
        True if the estimator finds the columns of a DataFrame by name, in any order and among others.
    rows_at_once : int
        Maximum number of rows per call of the runtime; more rows are split into blocks.
    decodings : dict
        For each input of pixels that replaces a column of image files, how the files are decoded.
    check : Check
    """

    kind: str
    estimator: str
    check: Check
    classes: np.ndarray | None = None
    feature_names: list[str] | None = None
    n_features: int | None = None
    labels: bool = True
    missing: dict[str, bool | list[int]] = field(default_factory=dict)
    gaps: dict[str, list[str]] = field(default_factory=dict)
    any_order: bool = False
    rows_at_once: int = 2**14
    decodings: dict[str, dict[str, Any]] = field(default_factory=dict)


# -- to text and back --------------------------------------------------------------------------------------------------


def write_metadata(metadata: Metadata, version: str) -> dict[str, str]:
    """Return the entries of ``metadata_props``; ``version`` is the version of sktricks."""
    entries = {FORMAT_KEY: str(FORMAT), VERSION_KEY: version}
    return {**entries, MODEL_KEY: json.dumps(asdict(metadata), default=array_to_json)}


def read_metadata(props: Mapping[str, str], name: str) -> Metadata:
    """Return the metadata of a file, which errors call ``name``."""
    if FORMAT_KEY not in props:
        raise ValueError(f"{name} must be a file of export_onnx, got another ONNX file: run it with onnxruntime")
    if not props[FORMAT_KEY].isdecimal() or int(props[FORMAT_KEY]) > FORMAT:
        raise ValueError(
            f"{name} has format {props[FORMAT_KEY]}, but this version of sktricks reads formats up to {FORMAT}: "
            f"install sktricks {props.get(VERSION_KEY, '')} or newer"
        )
    try:
        found = json.loads(props[MODEL_KEY], object_hook=array_from_json)
        return Metadata(**{**found, "check": Check(**found["check"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is damaged: its metadata cannot be read ({error})") from error


def array_to_json(array: Any) -> Any:
    """Return an array as JSON: strings as a list, numbers as compressed bytes; NumPy scalars become Python numbers."""
    if isinstance(array, np.generic):
        return array.item()
    if array.dtype.kind in "OU":
        return {"array": array.ravel().tolist(), "dtype": array.dtype.str, "shape": array.shape}
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes())).decode()
    return {"array": data, "dtype": array.dtype.str, "shape": array.shape}


def array_from_json(entry: dict) -> Any:
    """Return the array encoded by a JSON object; other objects are returned unchanged."""
    if entry.keys() != {"array", "dtype", "shape"}:
        return entry
    data, dtype = entry["array"], np.dtype(entry["dtype"])
    if isinstance(data, list):
        return np.array(data, dtype=dtype).reshape(entry["shape"])
    return np.frombuffer(zlib.decompress(base64.b64decode(data)), dtype).reshape(entry["shape"])


# -- the checksum ------------------------------------------------------------------------------------------------------


def seal(content: bytes) -> bytes:
    """Append the checksum to the bytes of a model."""
    return content + TAIL + hashlib.sha256(content).hexdigest().encode()


def read_seal(content: bytes) -> str | None:
    """Return the checksum at the end of a file, None if there is none."""
    end = len(content) - N_DIGITS
    return content[end:].decode("latin-1") if content[max(0, end - len(TAIL)) : end] == TAIL else None


def is_intact(content: bytes) -> bool:
    """Return True if the checksum of a file matches."""
    body = memoryview(content)[: len(content) - N_DIGITS - len(TAIL)]
    return hashlib.sha256(body).hexdigest() == read_seal(content)
