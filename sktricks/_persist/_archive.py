"""The file: safetensors, whose header also holds a manifest in JSON and a checksum of all there is.

The checksum tells damage, not forgery: whoever can write a file can write its checksum. What makes a forged archive
harmless is that nothing it says is imported or run.
"""

import hashlib
import json
import os
from pathlib import Path
from uuid import uuid4

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

VERSION = 1
MARK = "sktricks_archive"  # the key under which the header has the version


def write_archive(path, manifest, arrays):
    """Write a file whole or not at all.

    Parameters
    ----------
    path : str or path-like
        A file that is there is replaced.
    manifest : dict
        Plain JSON.
    arrays : dict of ndarray
        C-contiguous, of types that safetensors has.
    """
    manifest = json.dumps(manifest, allow_nan=False)
    arrays = arrays or {"nothing": np.zeros(1, np.uint8)}  # safetensors 0.4 cannot read a file without any
    metadata = {MARK: str(VERSION), "manifest": manifest, "sha256": checksum(manifest, arrays)}
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path={str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")
    beside = path.with_name(f".{path.name}.{uuid4().hex}.tmp")  # on the same disk, so that the replacement is atomic
    try:
        with open(beside, "xb") as file:  # safetensors' own save_file would hide it from all other users
            file.write(save(arrays, metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_archive(path):
    """The manifest and the arrays of a file, or an error that says what is wrong with it."""
    with open(path, "rb") as file:
        pickled = file.read(1) == b"\x80"
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            check_version(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except SafetensorError as error:
        hint = ". It looks like a pickle, which can run any code when it is opened: load never does" if pickled else ""
        raise ValueError(
            f"path={str(path)!r} is not an archive that sktricks.save wrote, or it is truncated: {error}{hint}"
        ) from error
    if metadata.get("sha256") != checksum(metadata.get("manifest", ""), arrays):
        raise ValueError(f"path={str(path)!r} was altered or damaged after it was saved: its checksum does not match")
    return json.loads(metadata["manifest"]), arrays


def check_version(path, metadata):
    """An error unless an archive is one of ours that this version can read."""
    if MARK not in metadata:
        raise ValueError(f"path={str(path)!r} holds tensors, but is not an archive that sktricks.save wrote")
    if metadata[MARK] != str(VERSION):
        raise ValueError(
            f"path={str(path)!r} is an archive of format {metadata[MARK]}, this version of sktricks reads format "
            f"{VERSION}: load it with the version that saved it, or a newer one"
        )


def checksum(manifest, arrays):
    """SHA-256 of the manifest and of name, type, shape and bytes of every array."""
    digest = hashlib.sha256(manifest.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view("u1"))
    return digest.hexdigest()
