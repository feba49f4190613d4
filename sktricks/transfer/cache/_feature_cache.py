"""FeatureCache: a frozen net encodes each image only once.

A row is identified by its content, and a net by a fingerprint of everything that determines its features. Epochs,
folds, candidates of a search, members of an ensemble and :class:`PretrainedFeatures` therefore share features without
any coordination.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import uuid
from contextlib import closing
from functools import cache as memoize
from typing import NamedTuple
from weakref import WeakSet, WeakValueDictionary

import numpy as np

from ..._progress import SILENT
from ..._warnings import FeaturesNotSharedWarning, warn
from ._feature_folder import BLOCK, FeatureFolder, folder_of, remove_features, size_on_disk
from ._feature_memory import Memory, Request, compress, cost_of, row_digests

MAX_BYTES = 512 * 2**20
MEMORY_ONLY = "memory-only:"  # prefix of a fingerprint that is valid only in this process
PREDICTIONS = 8  # predictions may fill one eighth of the memory after each fit


class CacheInfo(NamedTuple):
    """The content of a :class:`FeatureCache`, and its use in this process.

    Parameters
    ----------
    rows, n_bytes, max_bytes : int
        Number of rows and bytes in memory, and maximum number of bytes.
    encoded, reused : int
        Number of rows that were encoded, and of rows that were found in the cache instead.
    dropped : int
        Number of rows that were encoded but are not stored, for lack of memory.
    rows_in_folder, bytes_in_folder : int
        Number of rows in the folder of the cache, and their size on disk. Both are 0 if the cache has no folder.

    See Also
    --------
    cache_info : Return the content of the cache that all estimators share.

    Examples
    --------
    >>> from sktricks import cache_info, clear_cache
    >>> clear_cache()
    >>> cache_info().rows
    0
    """

    rows: int
    n_bytes: int
    max_bytes: int
    encoded: int
    reused: int
    dropped: int
    rows_in_folder: int
    bytes_in_folder: int


class FeatureCache:
    """A cache for the features that frozen nets compute from images.

    ``cache=FeatureCache(...)`` shares one cache among all estimators that receive it, clones included.

    Parameters
    ----------
    folder : str or path, default=None
        Folder in which features are stored, shared by processes and kept for later ones. It is created if necessary.
        Any number of processes can write to it; a killed process leaves no incomplete file. If the folder cannot be
        written to, features are kept in memory, with a :class:`FeatureCacheWarning`. Let only people whom you trust
        write to it; see the notes. None stores features only in memory.
    max_bytes : int, default=512 * 2**20
        Maximum number of bytes in memory; the least recently used features are dropped first. A folder has no limit.
    dtype : {"float32", "float16"}, default="float32"
        Dtype of stored features. ``"float16"`` halves memory and files, with a relative error of at most 0.05% per
        number. With ``"float32"``, the features of a float64 backbone are stored in float64.

    See Also
    --------
    cache_info : Return the content of the cache that all estimators share.
    clear_cache : Remove everything from it.

    Notes
    -----
    ``fit`` stores all features that it encodes. ``predict`` and ``transform`` store at most one eighth of ``max_bytes``
    after each ``fit``: enough for the held-out fold, on which the next ``fit`` of a search trains, while a stream of
    new images does not fill the cache.

    No code in a folder is run. Damaged files, and rows whose length differs from the features of the net, are ignored
    with a :class:`FeatureCacheWarning`. However, nothing proves that features belong to their image: anyone who can
    write to the folder can change what every net that uses it learns and predicts. Files have the permissions of the
    umask; with the usual one, others can read but not write them.

    Processes that share a folder lock the rows that they encode, and others wait for them. If a process is suspended,
    so that nothing is stored for two minutes, the others encode its rows as well, with a :class:`FeatureCacheWarning`.

    If the code of a net is not in a file, as in a console or a notebook, its features are kept only in memory.

    The processes of a search with ``n_jobs`` share features only through a folder. A different number of threads
    changes the last bits of features; a row keeps the bits with which it was first encoded.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sktricks import FeatureCache, FineTuneClassifier
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> cache = FeatureCache(max_bytes=64 * 2**20)
    >>> net = FineTuneClassifier(image_shape=(8, 8), cache=cache, max_epochs=5, random_state=0)
    >>> search = GridSearchCV(net, {"lr": [1e-3, 1e-2]}, cv=2).fit(X[:60], y[:60])
    >>> cache.info().encoded, cache.info().reused
    (60, 240)
    """

    def __init__(self, folder: str | os.PathLike | None = None, *, max_bytes: int = MAX_BYTES, dtype: str = "float32"):
        if not (folder is None or isinstance(folder, str | os.PathLike)):
            raise TypeError(f"folder must be a path or None, got {folder!r}")
        if not isinstance(max_bytes, int | np.integer) or isinstance(max_bytes, bool) or max_bytes < 0:
            raise ValueError(f"max_bytes must be a non-negative int, got {max_bytes!r}")
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype must be 'float32' or 'float16', got {dtype!r}")
        self.folder = None if folder is None else os.path.abspath(os.path.expanduser(folder))
        self.max_bytes, self.dtype = int(max_bytes), dtype
        self._name = self.folder or uuid.uuid4().hex
        self._memory = Memory(self.max_bytes)
        self._nets: dict[str, NetFeatures] = {}
        self._lock = threading.Lock()  # guards the memory and all counts
        CACHES.add(self)

    def __repr__(self) -> str:
        return f"FeatureCache({self.folder!r}, max_bytes={self.max_bytes}, dtype={self.dtype!r})"

    # A copy is the cache itself, so that clones share it. Unpickling returns one cache per process.

    def _identity(self):
        return self._name, self.folder, self.max_bytes, self.dtype

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        KNOWN[self._identity()] = self
        return find_cache, self._identity()

    def info(self) -> CacheInfo:
        """Return the content of the cache and its use in this process.

        Returns
        -------
        info : CacheInfo
            Numbers of rows and bytes.
        """
        with self._lock:
            nets = list(self._nets.values())
            in_memory = len(self._memory.rows), self._memory.n_bytes, self.max_bytes
            used = (sum(net.encoded for net in nets), sum(net.reused for net in nets), sum(map(self._n_dropped, nets)))
        return CacheInfo(*in_memory, *used, *((0, 0) if self.folder is None else size_on_disk(self.folder)))

    def clear(self) -> None:
        """Remove all features from memory and from the folder, and reset the counts."""
        with self._lock:
            self._memory, self._nets = Memory(self.max_bytes), {}
        if self.folder is not None:
            remove_features(self.folder)

    def report(self, fingerprint: str) -> str:
        """Return a sentence about the use of the cache by one net in this process.

        Parameters
        ----------
        fingerprint : str
            The fingerprint passed to :meth:`encode`.

        Returns
        -------
        text : str
            How many rows were encoded and reused.
        """
        net = self._net(fingerprint)
        with self._lock:
            n_dropped = self._n_dropped(net)
        once = "" if n_dropped else " once"
        dropped = f"; {n_dropped:,} no longer stored" if n_dropped else ""
        return f"{net.encoded:,} rows encoded{once}, reused {net.reused:,} times{dropped}"

    def encode(
        self,
        images,
        fingerprint: str,
        encode_rows,
        fill: bool = True,
        n_features: int | None = None,
        dtype=np.float32,
        progress=SILENT,
    ) -> np.ndarray:
        """Return the features of images, computing only those that are not stored.

        Parameters
        ----------
        images : array or tensor of shape (n, height, width, channels), or sequence of images with ``digests()``
            Must support indexing with an array of indices. ``digests()`` returns 16 bytes per image that are equal if
            and only if the images are.
        fingerprint : str
            Equal if and only if the features of equal images are equal. If it starts with ``MEMORY_ONLY``, nothing is
            written to the folder.
        encode_rows : callable
            Maps some of the images to their features (m, features). Each row must depend only on its image.
        fill : bool, default=True
            Store all rows. False stores only a limited number, as in ``predict``.
        n_features : int, default=None
            Number of features per row. Rows of another length in the folder are ignored with a
            :class:`FeatureCacheWarning`. None assumes that all rows in the folder have the same length.
        dtype : numpy dtype, default=float32
            Dtype that the features are returned in: float64 for a float64 net.
        progress : Progress
            Counts the images that are not encoded; ``encode_rows`` counts the others.

        Returns
        -------
        features : ndarray of shape (n, features) and of ``dtype``
            A row of features per image.
        """
        net, request = self._net(fingerprint), Request(row_digests(images), dtype)
        if net.folder is not None:
            net.folder.n_columns, net.folder.dtype = n_features or net.folder.n_columns, dtype
        if fill:
            net.allowance = self.max_bytes // PREDICTIONS
            if self.folder is None and multiprocessing.parent_process() is not None:
                warn_of_processes()
        for block in blocks(request.missing):
            request.take(self._find(net, block))
        progress.skip(len(request.digests) - len(request.missing))
        if request.missing:
            # Other threads that need the same rows wait here, and then find them in the cache.
            with net.lock, closing(net.portions(request.missing, fill)) as portions:
                for portion in portions:
                    self._encode_portion(net, request, portion, images, encode_rows, fill, progress)
        with self._lock:
            net.encoded += request.n_encoded
            net.reused += len(request.digests) - request.n_encoded
        return request.result()

    def _net(self, fingerprint):
        with self._lock:
            if fingerprint not in self._nets:
                folder = None
                if self.folder is not None and not fingerprint.startswith(MEMORY_ONLY):
                    folder = FeatureFolder(folder_of(self.folder, f"{fingerprint} {self.dtype}"))
                self._nets[fingerprint] = NetFeatures(fingerprint, folder)
            return self._nets[fingerprint]

    def _n_dropped(self, net):
        """Return how many rows were encoded but are not stored; the caller holds the lock."""
        is_stored = net.folder is not None and net.folder.writable
        return 0 if is_stored else max(0, net.encoded - self._memory.n_rows[net.fingerprint])

    def _find(self, net, digests):
        """Return the rows that are in memory or in files, as a dict by digest."""
        with self._lock:
            found = self._memory.get(net.fingerprint, digests)
        if net.folder is not None and len(found) < len(digests):
            read = net.folder.read([digest for digest in digests if digest not in found])
            with self._lock:
                self._memory.put(net.fingerprint, read)
            found |= read
        return found

    def _encode_portion(self, net, request, portion, images, encode_rows, fill, progress):
        """Encode those of the given rows that are still missing."""
        request.take(self._find(net, portion))
        missing = [digest for digest in portion if digest in request.missing]
        progress.skip(len(portion) - len(missing))
        if not missing:
            return
        indices = np.array([request.first[digest] for digest in missing])
        features = np.asarray(encode_rows(images[indices]), dtype=request.dtype)
        rows = {digest: compress(row, self.dtype) for digest, row in zip(missing, features, strict=True)}
        request.take(rows)
        request.n_encoded += len(rows)
        with self._lock:
            stored = rows if fill else net.affordable(rows)
            self._memory.put(net.fingerprint, stored)
        if net.folder is not None and stored:
            net.folder.write(stored)


class NetFeatures:
    """The features of one net: their folder, a lock for encoding, and counts of rows."""

    def __init__(self, fingerprint, folder):
        self.fingerprint, self.folder, self.lock = fingerprint, folder, threading.Lock()
        self.encoded = self.reused = self.allowance = 0

    def portions(self, missing, fill):
        """Yield the rows to encode next; if a folder stores them, they are locked against other processes."""
        is_stored = self.folder is not None and (fill or self.allowance > 0)
        return self.folder.portions(missing) if is_stored else blocks(missing)

    def affordable(self, rows):
        """Return those of the rows that predictions may still store."""
        cost = cost_of(next(iter(rows.values())))
        stored = list(rows)[: self.allowance // cost]
        self.allowance -= len(stored) * cost
        return {digest: rows[digest] for digest in stored}


def blocks(digests):
    """Yield the present digests in lists of ``BLOCK``."""
    digests = list(digests)
    for start in range(0, len(digests), BLOCK):
        yield digests[start : start + BLOCK]


# -- which cache -------------------------------------------------------------------------------------------------------

CACHES: WeakSet[FeatureCache] = WeakSet()
# Caches that were pickled in this process, or created in it for a path or by unpickling, by their identity.
KNOWN: WeakValueDictionary[tuple, FeatureCache] = WeakValueDictionary()
IN_USE: dict[tuple, FeatureCache] = {}


def renew_locks():
    """Replace the locks of all caches in a forked process, where the threads that hold them do not exist."""
    for cache in list(CACHES):
        cache._lock = threading.Lock()
        for net in cache._nets.values():
            net.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_locks)


def find_cache(name, folder, max_bytes, dtype):
    """Return this process's cache for a path or a pickle; create it if necessary."""
    identity = name, folder, max_bytes, dtype
    cache = KNOWN.get(identity) or IN_USE.get(identity)
    if cache is None:
        cache = FeatureCache(folder, max_bytes=max_bytes, dtype=dtype)
        cache._name = name
        cache = IN_USE.setdefault(identity, cache)
    return cache


DEFAULT = FeatureCache()


def resolve_cache(cache):
    """Return the :class:`FeatureCache` for a value of the parameter ``cache``, or None."""
    if cache is None or isinstance(cache, FeatureCache):
        return cache
    if isinstance(cache, str) and cache == "auto":
        return DEFAULT
    if str(cache) == "" or "\0" in str(cache):
        raise ValueError(f"cache must be 'auto', None, a FeatureCache or the path of a folder, got {cache!r}")
    folder = os.path.abspath(os.path.expanduser(cache))
    return find_cache(folder, folder, MAX_BYTES, "float32")


def clear_cache() -> None:
    """Remove all features that ``cache="auto"`` has stored in this process.

    Examples
    --------
    >>> from sktricks import cache_info, clear_cache
    >>> clear_cache()
    >>> cache_info().rows
    0
    """
    DEFAULT.clear()


def cache_info() -> CacheInfo:
    """Return the content of ``cache="auto"`` and its use in this process.

    Returns
    -------
    info : CacheInfo
        Numbers of rows and bytes.

    Examples
    --------
    >>> from sktricks import cache_info
    >>> cache_info().max_bytes == 512 * 2**20
    True
    """
    return DEFAULT.info()


@memoize
def warn_of_processes():
    """Warn once that processes do not share features."""
    warn(
        "each process encodes all rows itself: set cache to a folder, which all processes share, or omit n_jobs",
        FeaturesNotSharedWarning,
    )
