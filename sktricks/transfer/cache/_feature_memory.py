"""Rows of features in memory: how they are known, packed, kept and let go."""

from __future__ import annotations

import hashlib
import threading

import numpy as np

DIGEST = 16  # bytes
OVERHEAD = 250  # bytes that Python needs to hold a row, besides its numbers
LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def row_digests(images):
    """16 bytes a row, equal exactly if dtype, shape and content are."""
    if hasattr(images, "digests"):
        return images.digests()
    rows = np.ascontiguousarray(images)
    start = hashlib.sha256(f"{rows.dtype.str} {rows.shape[1:]}".encode())  # for which processors have instructions
    digests = []
    for row in rows:
        digest = start.copy()
        digest.update(row)
        digests.append(digest.digest()[:DIGEST])
    return digests


def pack(row, dtype):
    """A row as it is kept, apart from its batch; one with numbers beyond the range of float16 stays float32."""
    if dtype == "float16" and np.abs(row).max() <= LARGEST_FLOAT16:
        return row.astype(np.float16)
    return row.copy()


def cost_of(row):
    """The bytes that a row takes in memory."""
    return row.nbytes + OVERHEAD


class Wanted:
    """The rows of one call: where each goes, which are missing, and the features so far."""

    def __init__(self, digests):
        self.n_rows, self.n_encoded, self.features = len(digests), 0, None
        self.call = object()  # stands for the call in the memory, which must not hold its features
        self.places = {}
        for place, digest in enumerate(digests):
            self.places.setdefault(digest, []).append(place)
        self.missing = dict.fromkeys(self.places)

    def first_places(self, digests):
        """Where these rows stand among the images, for the first time."""
        return np.array([self.places[digest][0] for digest in digests])

    def take(self, rows):
        """Put rows, a dict, where they belong."""
        for digest, row in rows.items():
            if self.features is None:
                self.features = np.empty((self.n_rows, len(row)), np.float32)
            for place in self.places[digest]:
                self.features[place] = row
            self.missing.pop(digest, None)


class Space:
    """What belongs to one fingerprint: its files, its locks, and what came of it in this process."""

    def __init__(self, fingerprint, files):
        self.prefix = hashlib.blake2b(fingerprint.encode(), digest_size=DIGEST).digest()
        self.files = files
        self.encoding, self.reading, self.counting = threading.Lock(), threading.Lock(), threading.Lock()
        self.encoded = self.reused = self.dropped = self.allowance = 0

    def count(self, wanted):
        """Add what one call encoded and reused."""
        with self.counting:
            self.encoded += wanted.n_encoded
            self.reused += wanted.n_rows - wanted.n_encoded

    def drop(self, n_rows):
        """Note that rows are no longer kept, unless a file has them."""
        with self.counting:
            if self.files is None or not self.files.writable:
                self.dropped += n_rows

    def affordable(self, rows):
        """As many of the rows as predictions may still keep."""
        with self.counting:
            cost = cost_of(next(iter(rows.values())))
            kept = list(rows)[: self.allowance // cost]
            self.allowance -= len(kept) * cost
        return {digest: rows[digest] for digest in kept}


class Memory:
    """Rows of all fingerprints; those that were not used for longest make room.

    No call drives out a row that it used itself: of more rows than there is room for, some are then there at the next
    time, instead of each being gone when its turn comes.
    """

    def __init__(self, max_bytes):
        self.max_bytes, self.lock = max_bytes, threading.Lock()
        self.clear()

    def clear(self):
        """Forget everything."""
        with self.lock:
            self.rows = {}  # from prefix and digest to the row, its space and the call that used it last
            self.n_bytes = 0

    def get(self, space, digests, call):
        """Those of the rows that are here, as a dict."""
        found = {}
        with self.lock:
            for digest in digests:
                entry = self.rows.pop(space.prefix + digest, None)
                if entry is not None:
                    found[digest] = entry[0]
                    self.rows[space.prefix + digest] = entry[0], space, call  # now the last to go
        return found

    def put(self, space, rows, call):
        """Keep rows as far as there is room."""
        with self.lock:
            for digest, row in rows.items():
                key, cost = space.prefix + digest, cost_of(row)
                if key in self.rows:
                    continue
                while self.n_bytes + cost > self.max_bytes and self._drop_oldest(call):
                    pass
                if self.n_bytes + cost > self.max_bytes:
                    space.drop(1)
                else:
                    self.rows[key] = row, space, call
                    self.n_bytes += cost

    def _drop_oldest(self, call):
        key = next(iter(self.rows), None)
        if key is None or self.rows[key][2] is call:
            return False
        row, space, _ = self.rows.pop(key)
        self.n_bytes -= cost_of(row)
        space.drop(1)
        return True
