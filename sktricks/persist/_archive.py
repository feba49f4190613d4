"""The file: safetensors, whose header also holds a manifest in JSON and a checksum of all there is.

The checksum tells damage, not forgery: whoever can write a file can write its checksum. What makes a forged archive
harmless is that it is read against a closed description, and that nothing it says is imported, opened or run.
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

VERSION = 2
MARK = "sktricks_archive"  # the key under which the header has the version
DAY = 86_400  # seconds after which a temporary file of another machine is taken for abandoned


def write_archive(path, manifest, arrays):
    """Write a file whole or not at all.

    Parameters
    ----------
    path : str or path-like
        An existing file is replaced and keeps its permissions; a symbolic link is followed.
    manifest : dict
        Plain JSON.
    arrays : dict of ndarray
        C-contiguous, of types that safetensors has.
    """
    manifest = json.dumps(manifest, allow_nan=False)
    arrays = arrays or {"nothing": np.zeros(1, np.uint8)}  # safetensors 0.4 cannot read a file without any
    metadata = {MARK: str(VERSION), "manifest": manifest, "sha256": checksum(manifest, arrays)}
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path={str(path)!r} cannot be written: there is no folder {str(target.parent)!r}")
    replace_file(target, save(arrays, metadata))


def replace_file(target, content):
    """Write bytes to a file beside the target, and put it in the target's place in one step."""
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
    """Create a file that only those can open who can open the target, and return its descriptor."""
    old = target.stat() if target.exists() else None
    mode = 0o666 if old is None else stat.S_IMODE(old.st_mode)  # of a new file the umask takes its part
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    if old is not None and hasattr(os, "fchown"):
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, mode)
    return descriptor


# -- temporary files, which a save that is killed leaves behind --------------------------------------------------------


def temporary_prefix(target):
    """The beginning of the names of temporary files: short, since the target's own name may have 255 bytes."""
    return f".sktricks-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def host_key():
    """A short name for this machine."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def remove_abandoned(target):
    """Remove the temporary files that saves to the same target left behind when they were killed."""
    for path in target.parent.glob(f"{temporary_prefix(target)}*.tmp"):
        with suppress(OSError):
            if is_abandoned(path):
                path.unlink()


def is_abandoned(path):
    """Whether nobody writes to a temporary file: its process is gone, or it is a day old."""
    host, pid = path.name.split("-")[2:4]
    if host == host_key() and sys.platform != "win32" and pid.isdecimal():  # where signal 0 ends a process
        return not is_running(int(pid))
    return time.time() - path.stat().st_mtime > DAY


def is_running(pid):
    """Whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


# -- reading -----------------------------------------------------------------------------------------------------------


def read_archive(path):
    """The manifest and the arrays of a file, or an error that says what is wrong with it."""
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
    digest = hashlib.sha256(manifest.encode("utf-8", "surrogatepass"))
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode("utf-8", "surrogatepass"))
        digest.update(array.reshape(-1).view("u1"))
    return digest.hexdigest()
