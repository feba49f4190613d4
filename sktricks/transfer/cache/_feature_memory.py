"""Store rows of features in memory: digests, compression and eviction."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

DIGEST = 16  # bytes
OVERHEAD = 250  # bytes per row in addition to its numbers
LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def row_digests(images):
    """Return 16 bytes per row that are equal if and only if dtype, shape and content are."""
    if hasattr(images, "digests"):
        return images.digests()
    rows = np.ascontiguousarray(images)
    start = hashlib.sha256(f"{rows.dtype.str} {rows.shape[1:]}".encode())  # SHA-256 is fast in hardware
    digests = []
    for row in rows:
        digest = start.copy()
        digest.update(row)
        digests.append(digest.digest()[:DIGEST])
    return digests


def compress(row, dtype):
    """Return a copy of a row in the dtype for storage; a row beyond the range of float16 keeps its dtype."""
    if dtype == "float16" and np.abs(row).max() <= LARGEST_FLOAT16:
        return row.astype(np.float16)
    return row.copy()


def cost_of(row):
    """Return the number of bytes that a row takes in memory."""
    return row.nbytes + OVERHEAD


class Request:
    """The rows of one call of ``encode``: those that are missing, and the features found so far."""

    def __init__(self, digests, dtype):
        self.digests, self.dtype, self.n_encoded = digests, dtype, 0
        self.first = {}
        for index, digest in enumerate(digests):
            self.first.setdefault(digest, index)
        self.missing = dict.fromkeys(self.first)
        self._features = None

    def take(self, rows):
        """Add rows, a dict by digest, to the result."""
        for digest, row in rows.items():
            if self._features is None:
                self._features = np.empty((len(self.digests), len(row)), self.dtype)
            self._features[self.first[digest]] = row
            self.missing.pop(digest, None)

    def result(self):
        """Return the features of all rows, in order, including those of duplicate images."""
        if len(self.first) == len(self.digests):
            return self._features
        return self._features[[self.first[digest] for digest in self.digests]]


class Memory:
    """The rows of all nets; the least recently used ones are dropped first."""

    def __init__(self, max_bytes):
        self.max_bytes, self.n_bytes = max_bytes, 0
        self.rows = {}  # by fingerprint and digest, the least recently used first
        self.n_rows = Counter()  # by fingerprint

    def get(self, fingerprint, digests):
        """Return the stored rows as a dict by digest."""
        found = {}
        for digest in digests:
            row = self.rows.pop((fingerprint, digest), None)
            if row is not None:
                self.rows[fingerprint, digest] = found[digest] = row
        return found

    def put(self, fingerprint, rows):
        """Store rows, a dict by digest, and drop others to make room."""
        for digest, row in rows.items():
            key, cost = (fingerprint, digest), cost_of(row)
            if key not in self.rows and cost <= self.max_bytes:
                while self.n_bytes + cost > self.max_bytes:
                    self._drop_oldest()
                self.rows[key] = row
                self.n_bytes += cost
                self.n_rows[fingerprint] += 1

    def _drop_oldest(self):
        key = next(iter(self.rows))
        self.n_bytes -= cost_of(self.rows.pop(key))
        self.n_rows[key[0]] -= 1
