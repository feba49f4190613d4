"""Store features in a folder that several processes share.

The features of each net are safetensors files in a subfolder. Each tensor is one row of features, named by the digest
of its image; the metadata contain a checksum per row. A file never changes: it is written under a temporary name and
then renamed, so that neither a killed process nor another writer can leave an incomplete file.

Rows are divided into ``SHARDS`` shards by their digests, and each shard has a file lock. A process encodes rows of the
shards that it has locked, so that no two processes encode the same row, and writes them before it releases the locks.
The operating system releases the locks of a process that dies.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import uuid
import zlib
from collections import defaultdict
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..._warnings import FeatureCacheWarning, warn

FOLDER, SUFFIX, PART, LOCK = "features-v2-", ".safetensors", ".part", ".lock"
SHARDS = 32
BATCH = 128  # rows in one or two batches of a net; an incomplete batch is padded and takes as long as a full one
BLOCK = 1024  # rows to encode before they are stored, so that little is lost if the process ends
WINDOW = 16 * BLOCK  # rows among which a process selects those to encode next
POLL, PATIENCE = 0.01, 120  # seconds between attempts to lock, and until the locks of others are ignored
UNREADABLE = OSError, TypeError, ValueError, SafetensorError  # TypeError: a dtype that NumPy lacks


class FeatureFolder:
    """The features of one net, on disk.

    Parameters
    ----------
    path : Path
        Created at the first write.

    Attributes
    ----------
    n_columns : int or None
        The length of each row, once known; rows of another length are treated as damaged.
    dtype : type
        The dtype in which the net computes; rows of any other dtype except float16 are treated as damaged.
    """

    def __init__(self, path):
        self.path, self.n_columns, self.dtype = path, None, np.float32
        self.writable = self.lockable = True
        self._seen, self._paths = set(), {}  # names of indexed files, and the path of each row's file by digest

    def read(self, digests):
        """Return the stored rows as a dict by digest, without damaged rows, about which it warns."""
        by_path, found = defaultdict(list), {}
        for digest, path in self._find(digests).items():
            by_path[path].append(digest)
        for path, wanted in by_path.items():
            rows = read_rows(path, wanted, self.n_columns, self.dtype)
            self._forget(path, [digest for digest in wanted if digest not in rows])
            found |= rows
        return found

    def write(self, rows):
        """Store rows, a dict by digest; if this fails, warn and stop writing."""
        if self.writable:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # another process may have just cleared the folder
                    write_rows(self.path, rows)
            except OSError as error:
                self.writable = False
                warn(
                    f"features are not stored in {self.path.parent}, which cannot be written to ({error}): they are "
                    "kept only in memory, and other processes encode them again",
                    FeatureCacheWarning,
                )

    def portions(self, missing):
        """Yield groups of rows, either stored by now or locked against other processes, until none is missing.

        ``missing`` is a dict by digest, which the caller empties. If other processes hold the locks of all rows but
        store none for ``PATIENCE`` seconds, or if the folder cannot be locked, all rows are yielded without locks.
        """
        progress = time.monotonic()
        while missing:
            window = list(islice(missing, WINDOW))
            with ExitStack() as locks:
                portion = list(self._find(window))[:BLOCK] or self._lock_some(window, locks)
                if portion:
                    yield portion
                    progress = time.monotonic()
                    continue
            if time.monotonic() - progress > PATIENCE:
                self.lockable = False
                warn(
                    f"another process has locked {len(missing)} rows in {self.path.parent} but stored none for "
                    f"{PATIENCE} seconds: it may be suspended, and the rows are encoded here as well",
                    FeatureCacheWarning,
                )
            time.sleep(POLL)

    def _find(self, digests):
        """Return the paths of the files with the given rows, by digest, after indexing new files."""
        with suppress(OSError):
            # File names begin with the time, so that a row that was encoded again replaces the damaged one.
            for name in sorted(set(os.listdir(self.path)) - self._seen):
                if name.endswith(SUFFIX):
                    self._index(self.path / name)
                self._seen.add(name)
        found = ((digest, self._paths.get(digest)) for digest in digests)
        return {digest: path for digest, path in found if path is not None}

    def _index(self, path):
        try:
            self._paths |= dict.fromkeys(digests_in(path), path)
        except FileNotFoundError:
            pass  # another process has cleared the folder
        except UNREADABLE as error:
            warn(f"features in {path} are ignored: {error}", FeatureCacheWarning)

    def _forget(self, path, digests):
        for digest in digests:
            self._paths.pop(digest, None)
        if digests and path.exists():  # otherwise another process has cleared the folder
            warn(
                f"{len(digests)} rows in {path} are damaged, or differ in length from the features of this net: they "
                "are encoded again",
                FeatureCacheWarning,
            )

    def _lock_some(self, missing, locks):
        """Lock some shards, and return a quarter of the rows, at least a batch; none if others hold all locks.

        If the folder cannot be locked, a block of rows is returned without locks.
        """
        if not (self.lockable and self.writable):
            return missing[:BLOCK]
        shards, locked = defaultdict(list), []
        for digest in missing:
            shards[digest[-1] % SHARDS].append(digest)
        n_batches = -(-len(missing) // (4 * BATCH))
        n_rows = min(BLOCK, n_batches * BATCH)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            mode = self.path.stat().st_mode & 0o666  # anyone who can write to the folder can lock it
            for shard, digests in shards.items():
                with suppress(Timeout):
                    if len(locked) < n_rows:
                        locks.enter_context(FileLock(self.path / f"{shard}{LOCK}", mode=mode).acquire(timeout=0))
                        locked += digests
        except (NotImplementedError, OSError):
            self.lockable = False  # rows may be encoded twice; if nothing can be written, ``write`` warns
        return locked[:n_rows]


# -- files -------------------------------------------------------------------------------------------------------------


def checksum(digest, row):
    """Return a checksum of a row and of the digest of its image."""
    return str(zlib.crc32(row, zlib.crc32(digest)))


def write_rows(folder, rows):
    """Write rows, a dict by digest, as a new file with the permissions of the umask."""
    checksums = {digest.hex(): checksum(digest, row) for digest, row in rows.items()}
    content = save({digest.hex(): row for digest, row in rows.items()}, checksums)
    part = folder / f"{uuid.uuid4().hex}{PART}"
    try:
        part.write_bytes(content)  # not ``save_file``, whose files only the owner can read
        os.replace(part, folder / f"{time.time_ns():020d}-{part.stem}{SUFFIX}")
    finally:
        with suppress(OSError):  # the file no longer exists if it was renamed
            part.unlink()


def digests_in(path):
    """Return the digests of the rows in a file."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for a writer
        raise ValueError("it is not a regular file")
    with safe_open(path, framework="np") as file:
        return list(map(bytes.fromhex, file.keys()))


def read_rows(path, digests, n_columns, dtype):
    """Return rows of a file as a dict by digest, without damaged rows and those of another length or dtype."""
    rows = {}
    with suppress(*UNREADABLE), safe_open(path, framework="np") as file:
        checksums = file.metadata() or {}
        for digest in digests:
            name = digest.hex()
            shape = file.get_slice(name).get_shape()  # check the shape first: a forged row may be too large to read
            if len(shape) == 1 and n_columns in (None, *shape):
                row = file.get_tensor(name)
                if row.dtype.type in (np.float16, dtype) and checksum(digest, row) == checksums.get(name):
                    rows[digest] = row
    return rows


# -- the whole folder --------------------------------------------------------------------------------------------------


def folder_of(root, fingerprint):
    """Return the folder for the features of one net."""
    return Path(root) / f"{FOLDER}{hashlib.blake2b(fingerprint.encode(), digest_size=16).hexdigest()}"


def size_on_disk(root):
    """Return the number of stored rows, duplicates included, and the number of bytes."""
    n_rows = n_bytes = 0
    for path in Path(root).glob(f"{FOLDER}*/*{SUFFIX}"):
        with suppress(*UNREADABLE):
            n_rows += len(digests_in(path))
            n_bytes += path.stat().st_size
    return n_rows, n_bytes


def remove_features(root):
    """Remove all features from a folder, but no other files."""
    for folder in filter(Path.is_dir, Path(root).glob(f"{FOLDER}*")):
        for path in folder.iterdir():
            if path.suffix in (SUFFIX, PART, LOCK):
                with suppress(OSError):  # another process holds the lock, or has removed the file
                    path.unlink()
        with suppress(OSError):
            folder.rmdir()
