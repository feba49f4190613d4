"""Features in a folder: segments that are written whole or not at all.

What one fingerprint gives lies in a folder of its own, as any number of segments. A segment holds the rows of one block
of encodings and never changes:

    head     what it is, its version, the kind and number of its columns, the number of its rows
    table    the digest of each row's image and the checksum of its features
    checksum of head and table
    rows     one after the other

A process reads heads and tables, which are small, and of the rows those that it needs. A segment comes into being under
a temporary name and gets its own by one move, so that neither a kill nor another writer can leave half of one.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import time
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import Timeout

from ..._warnings import FeatureCacheWarning, warn
from ._claims import CHOOSING, CLAIM, LOCK, TEMPORARY, Claims, suffix_of
from ._feature_memory import DIGEST

VERSION = 1
MAGIC = b"sktricks features\n"
HEAD = struct.Struct("<18sHHIQ")  # magic, version, bytes a number, columns, rows
CHECKSUM = 8  # bytes
KINDS = {2: np.float16, 4: np.float32}
SUFFIX = ".features"
BATCH = 128  # rows in a batch of a net, or in two; the last batch is filled up, and takes as long as a whole one


class Segment(NamedTuple):
    """Where the rows of a file are."""

    path: Path
    digests: list
    checksums: list
    dtype: type
    n_columns: int
    start: int


class FeatureFolder:
    """The features of one fingerprint, on disk.

    Parameters
    ----------
    path : Path
        Made when something is first written.

    Attributes
    ----------
    n_columns : int or None
        The length of each row, once it is known: segments of another length are ignored.
    """

    def __init__(self, path, dtypes=(np.float16, np.float32)):
        self.path, self.dtypes, self.n_columns, self.writable = path, dtypes, None, True
        self._seen, self._where = set(), {}
        self.claims, self.may_claim = Claims(path), True

    def __len__(self):
        return len(self._where)

    def refresh(self):
        """Learn of the segments that have come since the last look."""
        with suppress(OSError):
            # by name, which begins with the time: what was encoded again, since it was damaged, counts
            for name in sorted(set(os.listdir(self.path)) - self._seen):
                self._seen.add(name)
                if name.endswith(SUFFIX):
                    self._learn(self.path / name)

    def _learn(self, path):
        try:
            segment = read_table(path)
            self._check(segment)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            warn(f"features in {path} are ignored: {error}", FeatureCacheWarning)
            return
        self._where.update({digest: (segment, place) for place, digest in enumerate(segment.digests)})

    def _check(self, segment):
        """Raise an error if a segment, though undamaged, cannot hold the features of this folder."""
        if self.n_columns not in (None, segment.n_columns):
            raise ValueError(f"its rows have {segment.n_columns} numbers, those of this net {self.n_columns}")
        if segment.dtype not in self.dtypes:
            raise ValueError(f"its numbers are {np.dtype(segment.dtype)}, which this folder does not hold")

    def read(self, digests):
        """Those of the wanted rows that are here, as a dict; a damaged row is not, and a warning says so."""
        wanted = {}
        for digest in digests:
            if digest in self._where:
                segment, place = self._where[digest]
                wanted.setdefault(segment.path, (segment, []))[1].append(place)
        found = {}
        for segment, places in wanted.values():
            found.update(read_rows(segment, places))
            self._forget(segment, [place for place in places if segment.digests[place] not in found])
        return found

    def _forget(self, segment, places):
        for place in places:
            del self._where[segment.digests[place]]
        if places and segment.path.exists():  # else another process has emptied the folder
            warn(
                f"{len(places)} of {len(segment.digests)} rows in {segment.path} are damaged and encoded again",
                FeatureCacheWarning,
            )

    def write(self, rows):
        """Keep a dict of rows, or warn once and write no more."""
        for dtype in KINDS.values():  # a few rows may not fit float16
            same = {digest: row for digest, row in rows.items() if row.dtype == dtype}
            if same and self.writable:
                try:
                    self._write(same)
                except OSError as error:
                    self.give_up(error)

    def _write(self, rows):
        try:
            path = write_segment(self.path, rows, self.claims.number)
        except FileNotFoundError:  # another process has emptied the folder meanwhile
            path = write_segment(self.path, rows, self.claims.number)
        self._seen.add(path.name)
        self._learn(path)

    def give_up(self, error):
        """Say, once, that nothing is kept here."""
        if self.writable:
            warn(
                f"features are not kept in {self.path.parent}, which cannot be written to ({error}): they are kept in "
                "memory, and other processes encode anew",
                FeatureCacheWarning,
            )
        self.writable = False

    def portions(self, digests, most):
        """Give out all of the rows by and by, at most so many of them unknown, which no other process gets meanwhile.

        A process claims a quarter of the rows that are not here yet, and at least a batch, so that several encode at
        the same time. Where others have claimed all of them it waits. Where there can be no locks, all processes get
        all rows.
        """
        left, given_up = dict.fromkeys(digests), set()
        while left:
            with ExitStack() as claim:
                some, others = self._choose(left, most, claim, given_up)
                for digest in some:
                    del left[digest]
                if some:
                    yield some
            stopped = set() if some else self.claims.wait(set(others))
            if stopped:
                given_up |= stopped
                warn_of_stopped(self.path, len([name for name in others if name in stopped]))

    def _choose(self, digests, most, claim, given_up):
        """Those of the rows that are here with some that are not, claimed from now on; and the claims of others."""
        try:
            if self.writable and self.may_claim:
                with self.claims.choosing():
                    # before the look at what is here: a claim ends when its rows are
                    taken = {row: name for row, name in self.claims.of_others().items() if name not in given_up}
                    known, unknown = self._divide(digests)
                    free = [digest for digest in unknown if digest not in taken]
                    mine = free[: min(most, portion_of(len(free)))]
                    if mine:
                        claim.enter_context(self.claims.make(mine))
                    return known + mine, [taken[digest] for digest in unknown if digest in taken]
        except FileNotFoundError:  # another process has emptied the folder meanwhile
            pass
        except Timeout:
            self.may_claim = False
            warn_of_stopped(self.path)
        except (NotImplementedError, OSError):
            self.may_claim = False  # rows may be encoded twice; where nothing can be written, ``write`` will say so
        known, unknown = self._divide(digests)
        return known + unknown[:most], []

    def _divide(self, digests):
        """Rows that are here, and rows that are not."""
        self.refresh()
        known = [digest for digest in digests if digest in self._where]
        return known, [digest for digest in digests if digest not in self._where]


def warn_of_stopped(folder, n_rows=None):
    """Say that a process holds rows, or the lock with which all choose theirs, and does not go on."""
    what = "the lock of the claims" if n_rows is None else f"{n_rows} rows that are wanted here"
    warn(
        f"another process holds {what} in {folder.parent} and gives no sign of life: it may be stopped, and the rows "
        "are encoded here too",
        FeatureCacheWarning,
    )


def portion_of(n_rows):
    """How many of the rows that nobody encodes a process takes, in whole batches."""
    return -(-max(BATCH, n_rows // 4) // BATCH) * BATCH


# -- segments ----------------------------------------------------------------------------------------------------------


def checksum(content, size=CHECKSUM):
    """A few bytes that change with any of the content."""
    return hashlib.blake2b(content, digest_size=size).digest()


def write_segment(folder, rows, number):
    """Write a dict of rows of one dtype and length, while a lock of this number is held; returns the path."""
    first = next(iter(rows.values()))
    head = HEAD.pack(MAGIC, VERSION, first.itemsize, len(first), len(rows))
    table = head + b"".join(digest + checksum(row) for digest, row in rows.items())
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{uuid.uuid4().hex}{suffix_of(number)}"
    try:
        with open(part, "xb") as file:  # others may read it as far as the umask lets them
            file.write(table + checksum(table, DIGEST))
            for row in rows.values():
                file.write(row)
        path = folder / f"{time.time_ns():020d}-{part.stem}{SUFFIX}"
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.remove(part)
        raise
    return path


def read_table(path):
    """The :class:`Segment` of a file, or a ValueError that says what is wrong with it."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for whoever writes into it
        raise ValueError("it is no regular file")
    with open(path, "rb") as file:
        head = file.read(HEAD.size)
        if len(head) < HEAD.size or not head.startswith(MAGIC):
            raise ValueError("the file is damaged, or was not written by sktricks")
        _, version, itemsize, n_columns, n_rows = HEAD.unpack(head)
        if itemsize not in KINDS:
            raise ValueError(f"the file is damaged: its numbers have {itemsize} bytes")
        if version != VERSION:
            raise ValueError(f"they have version {version}, this sktricks reads version {VERSION}")
        size = n_rows * (DIGEST + CHECKSUM)
        start = HEAD.size + size + DIGEST
        fits = start + n_rows * n_columns * itemsize == os.fstat(file.fileno()).st_size
        table = file.read(size) if fits else b""
        if not fits or checksum(head + table, DIGEST) != file.read(DIGEST):
            raise ValueError("the file is damaged")
    entries = [table[at : at + DIGEST + CHECKSUM] for at in range(0, size, DIGEST + CHECKSUM)]
    digests, checksums = [e[:DIGEST] for e in entries], [e[DIGEST:] for e in entries]
    return Segment(path, digests, checksums, KINDS[itemsize], n_columns, start)


def read_rows(segment, places):
    """The rows at some places of a segment, by their digests, without those that are damaged."""
    found, size = {}, segment.n_columns * np.dtype(segment.dtype).itemsize
    with suppress(OSError), open(segment.path, "rb") as file:
        for place in places:
            file.seek(segment.start + place * size)
            content = file.read(size)
            if checksum(content) == segment.checksums[place]:
                found[segment.digests[place]] = np.frombuffer(content, segment.dtype)
    return found


# -- the whole folder --------------------------------------------------------------------------------------------------


def folder_of(root, fingerprint):
    """The folder for one fingerprint."""
    return Path(root) / f"features-{checksum(fingerprint.encode(), DIGEST).hex()}"


def segments_in(root):
    """The files of all fingerprints."""
    return Path(root).glob(f"features-*/*{SUFFIX}")


def size_on_disk(root):
    """The number of rows that are written, one as often as it is written, and of bytes."""
    n_rows = n_bytes = 0
    for path in segments_in(root):
        with suppress(OSError, ValueError):
            n_rows += len(read_table(path).digests)
            n_bytes += path.stat().st_size
    return n_rows, n_bytes


def remove_features(root):
    """Remove all that was kept in a folder, and leave whatever else lies there."""
    for folder in filter(Path.is_dir, Path(root).glob("features-*")):
        for path in folder.iterdir():
            if path.suffix in (SUFFIX, TEMPORARY):
                path.unlink(missing_ok=True)
            elif path.name.startswith((CLAIM, LOCK, CHOOSING)):
                with suppress(OSError):  # that somebody holds
                    path.unlink()
        with suppress(OSError):
            folder.rmdir()
