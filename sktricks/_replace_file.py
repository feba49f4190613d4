"""Write a file atomically: to a temporary file beside it, which is then renamed."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

DAY = 86_400  # seconds after which a temporary file of another machine counts as abandoned


def check_path(path):
    """Raise an error unless ``path`` can be the path of a file."""
    try:
        name = str(Path(path)) if os.fspath(path) else ""
    except TypeError:
        raise TypeError(f"path must be a str or os.PathLike, got {path!r:.200}") from None
    if not name or "\0" in name:
        raise ValueError(f"path must name a file, got {path!r:.200}")


def check_target(path):
    """Raise an error unless a file can be written to ``path``; called before the content is computed."""
    check_path(path)
    if os.path.isdir(path):
        raise ValueError(f"path must name a file, got the folder {str(path)!r}")
    find_target(path)


def find_target(path):
    """Return the file that a path refers to, with symbolic links resolved."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path={str(path)!r} cannot be written: there is no folder {str(target.parent)!r}")
    return target


def replace_file(path, content):
    """Write bytes to a file atomically.

    Parameters
    ----------
    path : str or path-like
        An existing file is replaced and keeps its permissions; a symbolic link is followed.
    content : bytes
    """
    target = find_target(path)
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


# -- temporary files left behind by killed processes -------------------------------------------------------------------


def temporary_prefix(target):
    """Return the prefix of the names of temporary files, with a hash, since the target's name may have 255 bytes."""
    return f".sktricks-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def host_key():
    """Return a short hash of the name of this machine."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def remove_abandoned(target):
    """Remove temporary files that killed processes left behind when they wrote the same target."""
    for path in target.parent.glob(f"{temporary_prefix(target)}*.tmp"):
        with suppress(OSError):
            if is_abandoned(path):
                path.unlink()


def is_abandoned(path):
    """Return True if the process that wrote a temporary file no longer runs, or if the file is a day old."""
    host, pid = path.name.split("-")[2:4]
    if host != host_key() or sys.platform == "win32" or not pid.isdecimal():  # os.kill ends it on Windows
        return time.time() - path.stat().st_mtime > DAY
    try:
        os.kill(int(pid), 0)  # PermissionError means that the process still runs; the caller then keeps the file
    except ProcessLookupError:
        return True
    return False
