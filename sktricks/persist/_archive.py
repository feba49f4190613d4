"""The file: safetensors, whose header also holds a manifest in JSON and a checksum of the whole content.

The checksum detects damage, not forgery: whoever writes a file can write its checksum. A forged archive is harmless
because it is read against a closed description, and nothing that it names is imported, opened or run.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

VERSION = 5
MARK = "sktricks_archive"  # the key of the version in the header
DAY = 86_400  # seconds after which a temporary file of another machine counts as abandoned


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
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path={str(path)!r} cannot be written: there is no folder {str(target.parent)!r}")
    replace_file(target, save(arrays, metadata))


def replace_file(target, content):
    """Write bytes to a file beside the target, and rename it to the target."""
    remove_abandoned(target)
    beside = target.with_name(f"{temporary_prefix(target)}{host_key()}-{os.getpid()}-{uuid4().hex[:8]}.tmp")
    try:
        with open(create_like(target, beside), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def create_like(target, path):
    """Create a file with the permissions of the target, and return its descriptor."""
    old = target.stat() if target.exists() else None
    mode = 0o666 if old is None else stat.S_IMODE(old.st_mode)  # the umask applies to a new file
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    if old is not None and hasattr(os, "fchown"):
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, mode)
    return descriptor


# -- temporary files that a killed save leaves behind ------------------------------------------------------------------


def temporary_prefix(target):
    """Return the prefix of the names of temporary files: short, since the target's own name may have 255 bytes."""
    return f".sktricks-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def host_key():
    """Return a short name for this machine."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def remove_abandoned(target):
    """Remove the temporary files that killed saves to the same target left behind."""
    for path in target.parent.glob(f"{temporary_prefix(target)}*.tmp"):
        with suppress(OSError):
            if is_abandoned(path):
                path.unlink()


def is_abandoned(path):
    """Return True if the process that wrote a temporary file is gone, or the file is a day old."""
    host, pid = path.name.split("-")[2:4]
    if host != host_key() or sys.platform == "win32" or not pid.isdecimal():  # signal 0 ends a process of Windows
        return time.time() - path.stat().st_mtime > DAY
    try:
        os.kill(int(pid), 0)  # a PermissionError means that the process runs: the caller keeps the file
    except ProcessLookupError:
        return True
    return False


# -- reading -----------------------------------------------------------------------------------------------------------


def read_archive(path):
    """Return the manifest and the arrays of a file; raise an error that says what is wrong with it."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ValueError(f"path={str(path)!r} must be a file, got a pipe, socket or device")
    with open(path, "rb") as file:
        pickled = file.read(1) == b"\x80"
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            check_version(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, TypeError) as error:  # TypeError: a type of numbers that numpy lacks
        hint = ". It looks like a pickle, which can run any code when it is opened: load never does" if pickled else ""
        raise ValueError(
            f"path={str(path)!r} is not an archive that sktricks.save wrote, or it is truncated: {error}{hint}"
        ) from error
    if metadata.get("sha256") != checksum(metadata.get("manifest", ""), arrays):
        raise ValueError(f"path={str(path)!r} was altered or damaged after it was saved: its checksum does not match")
    return metadata["manifest"], arrays


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
