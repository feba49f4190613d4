"""The file format: a safetensors file whose header has a JSON manifest and a checksum of the whole content.

The checksum detects damage, not forgery, since a forger can compute it as well. A forged archive is harmless because it
is checked against a fixed description, and nothing that it refers to is imported, opened or run.
"""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .._replace_file import replace_file

VERSION = 6
MARK = "sktricks_archive"  # the key of the format version in the header


def write_archive(path, manifest, arrays):
    """Write an archive atomically.

    Parameters
    ----------
    path : str or path-like
        An existing file is replaced and keeps its permissions; a symbolic link is followed.
    manifest : dict
        Python objects that JSON can represent.
    arrays : dict of ndarray
        C-contiguous arrays, of dtypes that safetensors supports.
    """
    manifest = json.dumps(manifest, allow_nan=False)
    arrays = arrays or {"nothing": np.zeros(1, np.uint8)}  # safetensors 0.4 cannot read a file without arrays
    metadata = {MARK: str(VERSION), "manifest": manifest, "sha256": checksum(manifest, arrays)}
    replace_file(path, save(arrays, metadata))


# -- reading -----------------------------------------------------------------------------------------------------------


def read_archive(path):
    """Return the manifest and the arrays of a file, or raise an error that describes the problem."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ValueError(f"path={str(path)!r} must be a file, got a pipe, socket or device")
    with open(path, "rb") as file:
        hint = find_hint(path, file.read(1))
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            check_version(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a dict
    except (SafetensorError, TypeError) as error:  # TypeError: a dtype that numpy does not support
        raise ValueError(
            f"path={str(path)!r} was not written by sktricks.save, or is truncated: {error}{hint}"
        ) from error
    if metadata.get("sha256") != checksum(metadata.get("manifest", ""), arrays):
        raise ValueError(f"path={str(path)!r} was altered or damaged after it was saved: its checksum does not match")
    return metadata["manifest"], arrays


def find_hint(path, start):
    """Return a hint for errors about the actual type of a file, from its name and its first byte."""
    if start == b"\x80":
        return ". It looks like a pickle, which load never opens because it can run any code"
    if os.fsdecode(path).lower().endswith(".onnx"):
        return ". It looks like a file written by export_onnx: load it with load_onnx, or with OnnxModel"
    return ""


def check_version(path, metadata):
    """Raise an error unless the file was written by :func:`~sktricks.save`, in a format that this version reads."""
    if MARK not in metadata:
        raise ValueError(f"path={str(path)!r} has tensors, but was not written by sktricks.save")
    if metadata[MARK] != str(VERSION):
        raise ValueError(
            f"path={str(path)!r} must be an archive of format {VERSION}, got format {metadata[MARK]}: load it with the "
            "version of sktricks that saved it, or a newer one"
        )


def checksum(manifest, arrays):
    """Return the SHA-256 of the manifest and of the name, dtype, shape and bytes of every array."""
    digest = hashlib.sha256(manifest.encode("utf-8", "surrogatepass"))
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode("utf-8", "surrogatepass"))
        digest.update(array.reshape(-1).view("u1"))
    return digest.hexdigest()
