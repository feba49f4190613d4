"""The file: safetensors, whose header also holds a manifest in JSON and a checksum of the whole content.

The checksum detects damage, not forgery: whoever writes a file can write its checksum. A forged archive is harmless
because it is read against a closed description, and nothing that it names is imported, opened or run.
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
MARK = "sktricks_archive"  # the key of the version in the header


def write_archive(path, manifest, arrays):
    """Write an archive, completely or not at all.

    Parameters
    ----------
    path : str or path-like
        An existing file is replaced and keeps its permissions; a symbolic link is followed.
    manifest : dict
        JSON as Python objects.
    arrays : dict of ndarray
        C-contiguous, of dtypes that safetensors has.
    """
    manifest = json.dumps(manifest, allow_nan=False)
    arrays = arrays or {"nothing": np.zeros(1, np.uint8)}  # safetensors 0.4 cannot read a file without any
    metadata = {MARK: str(VERSION), "manifest": manifest, "sha256": checksum(manifest, arrays)}
    replace_file(path, save(arrays, metadata))


# -- reading -----------------------------------------------------------------------------------------------------------


def read_archive(path):
    """Return the manifest and the arrays of a file; raise an error that says what is wrong with it."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ValueError(f"path={str(path)!r} must be a file, got a pipe, socket or device")
    with open(path, "rb") as file:
        hint = find_hint(path, file.read(1))
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            check_version(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, TypeError) as error:  # TypeError: a type of numbers that numpy lacks
        raise ValueError(
            f"path={str(path)!r} is not an archive that sktricks.save wrote, or it is truncated: {error}{hint}"
        ) from error
    if metadata.get("sha256") != checksum(metadata.get("manifest", ""), arrays):
        raise ValueError(f"path={str(path)!r} was altered or damaged after it was saved: its checksum does not match")
    return metadata["manifest"], arrays


def find_hint(path, start):
    """Return what a file seems to be instead, from its name and its first byte: the end of an error."""
    if start == b"\x80":
        return ". It looks like a pickle, which can run any code when it is opened: load never does"
    if os.fsdecode(path).lower().endswith(".onnx"):
        return ". It looks like a file of export_onnx: load it with load_onnx, or with OnnxModel"
    return ""


def check_version(path, metadata):
    """Raise an error unless :func:`~sktricks.save` wrote an archive in a format that this version reads."""
    if MARK not in metadata:
        raise ValueError(f"path={str(path)!r} holds tensors, but is not an archive that sktricks.save wrote")
    if metadata[MARK] != str(VERSION):
        raise ValueError(
            f"path={str(path)!r} is an archive of format {metadata[MARK]}, this version of sktricks reads format "
            f"{VERSION}: load it with the version that saved it, or a newer one"
        )


def checksum(manifest, arrays):
    """Return the SHA-256 of the manifest and of name, dtype, shape and bytes of every array."""
    digest = hashlib.sha256(manifest.encode("utf-8", "surrogatepass"))
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode("utf-8", "surrogatepass"))
        digest.update(array.reshape(-1).view("u1"))
    return digest.hexdigest()
