"""The cache of features: what a frozen net makes of an image is computed once.

A row is known by its content, and the net by a fingerprint of what decides its features. So epochs, folds, the
candidates of a search, the members of an ensemble and :class:`PretrainedFeatures` share what any of them has encoded,
and nothing has to be said about who they are.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import uuid
from contextlib import closing
from numbers import Integral
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from ..._warnings import FeaturesNotSharedWarning, warn
from ._feature_files import FeatureFolder, folder_of, remove_features, size_on_disk
from ._feature_memory import Memory, Space, Wanted, pack, row_digests

MAX_BYTES = 512 * 2**20
PREDICTIONS = 8  # an eighth of the memory is what predictions may fill after each fit
BLOCK = 4096  # rows to encode before they are kept, so that little is lost if the process ends


class CacheInfo(NamedTuple):
    """What is in a :class:`FeatureCache`, and what came of it in this process.

    Parameters
    ----------
    rows, n_bytes, max_bytes : int
        In memory.
    encoded, reused : int
        Rows encoded, and rows taken from here instead.
    dropped : int
        Rows encoded but not kept, or gone since to make room.
    rows_in_folder, bytes_in_folder : int
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
    """Keep what a frozen net makes of images.

    ``cache=FeatureCache(...)`` shares one among all estimators that are given it, clones included.

    Parameters
    ----------
    folder : str or path, default=None
        Where to keep features, for several processes and for later. It is made if need be; files in it are written
        whole or not at all, so that any number of processes may write, and be killed. Where it cannot be written to,
        a :class:`FeatureCacheWarning` says so and memory serves. Only processes of people you trust may write to it;
        see the notes. None: in memory alone.
    max_bytes : int, default=512 * 2**20
        The most memory to use; what was not used for longest goes first. A folder has no limit.
    dtype : {"float32", "float16"}, default="float32"
        How features are kept. ``"float16"`` halves memory and files; a number is then off by up to 0.05 %.

    Notes
    -----
    ``fit`` keeps whatever it encodes. ``predict`` and ``transform`` keep it while it is little, an eighth of
    ``max_bytes`` after each ``fit``: the held-out fold that the next ``fit`` of a search trains on. A stream of new
    images passes by.

    Nothing in a folder is run, and damaged files and rows of another length are ignored with a
    :class:`FeatureCacheWarning`. But nothing proves that features belong to their image: whoever can write to the
    folder can change what every net that uses it learns and predicts. Files get the permissions of the umask, so with
    the usual one others can read them and cannot write.

    Each process claims the rows that it encodes, and others wait for them. If it gives no sign of life for 15 seconds,
    because it was stopped, they encode these rows too, and a :class:`FeatureCacheWarning` says so.

    A search with ``n_jobs`` over processes shares features through a folder only. Other numbers of threads change the
    last bits of what a net computes; a row keeps those with which it was first encoded.

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
        if not isinstance(max_bytes, Integral) or isinstance(max_bytes, bool) or max_bytes < 0:
            raise ValueError(f"max_bytes must be an int of at least 0, got {max_bytes!r}")
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype must be 'float32' or 'float16', got {dtype!r}")
        self.folder = None if folder is None else os.path.abspath(os.path.expanduser(folder))
        self.max_bytes, self.dtype = int(max_bytes), dtype
        self._name = self.folder or uuid.uuid4().hex
        self._memory = Memory(self.max_bytes)
        self._spaces, self._lock = {}, threading.Lock()

    def __repr__(self):
        return f"FeatureCache({self.folder!r}, max_bytes={self.max_bytes}, dtype={self.dtype!r})"

    # Copies are the cache itself, so that clones share it; so are pickles, in this process and in each other one.

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
        """What is in it, and what came of it in this process.

        Returns
        -------
        info : CacheInfo
        """
        with self._lock:
            spaces = list(self._spaces.values())
        return CacheInfo(
            len(self._memory.rows),
            self._memory.n_bytes,
            self.max_bytes,
            *(sum(getattr(space, name) for space in spaces) for name in ("encoded", "reused", "dropped")),
            *((0, 0) if self.folder is None else size_on_disk(self.folder)),
        )

    def clear(self) -> None:
        """Forget everything, in memory and in the folder; counters begin again."""
        self._memory.clear()
        with self._lock:
            self._spaces = {}
        if self.folder is not None:
            remove_features(self.folder)

    def report(self, fingerprint: str) -> str:
        """What came of it in this process for one net, in words.

        Parameters
        ----------
        fingerprint : str
            As :meth:`encode` was given.

        Returns
        -------
        text : str
        """
        space = self._space(fingerprint)
        once = "" if space.dropped else " once"
        dropped = f"; {space.dropped:,} no longer kept" if space.dropped else ""
        return f"{space.encoded:,} rows encoded{once}, reused {space.reused:,} times{dropped}"

    def encode(
        self, images, fingerprint: str, encode_rows, fill: bool = True, n_features: int | None = None
    ) -> np.ndarray:
        """The features of images, computed as far as they are not known.

        Parameters
        ----------
        images : array or tensor of shape (n, height, width, channels), or sequence of images with ``digests()``
            Indexed by an array of row numbers. ``digests()`` gives 16 bytes an image, equal exactly if the image is.
        fingerprint : str
            Equal exactly if the features of an equal image are.
        encode_rows : callable
            From some of the images to their features (m, features); each row's depend on that row alone.
        fill : bool, default=True
            Keep everything; else only while it is little.
        n_features : int, default=None
            The length of each row of features. Rows of another length in the folder are ignored with a
            :class:`FeatureCacheWarning`. None: the folder is trusted to hold rows of one length.

        Returns
        -------
        features : ndarray of shape (n, features), float32
        """
        space, wanted = self._space(fingerprint), Wanted(row_digests(images))
        if space.files is not None and n_features is not None:
            space.files.n_columns = n_features
        if fill:
            space.allowance = self.max_bytes // PREDICTIONS
            warn_of_processes(self.folder)
        for block in blocks(wanted.missing):
            wanted.take(self._find(space, wanted, block))
        if wanted.missing:
            # whoever else wants these rows waits, and finds them
            with space.encoding, closing(portions(space, wanted.missing, fill)) as some:
                for portion in some:
                    self._encode_portion(space, wanted, portion, images, encode_rows, fill)
        space.count(wanted)
        return wanted.features

    # -- how ---------------------------------------------------------------------------------------------------------

    def _space(self, fingerprint):
        with self._lock:
            if fingerprint not in self._spaces:
                files = None
                if self.folder is not None:
                    # of float16 a row with larger numbers stays float32
                    dtypes = (np.float32,) if self.dtype == "float32" else (np.float16, np.float32)
                    files = FeatureFolder(folder_of(self.folder, f"{fingerprint} {self.dtype}"), dtypes)
                self._spaces[fingerprint] = Space(fingerprint, files)
            return self._spaces[fingerprint]

    def _find(self, space, wanted, digests):
        """Those of the rows that are in memory or in files, as a dict."""
        found = self._memory.get(space, digests, wanted.call)
        absent = [digest for digest in digests if digest not in found]
        if absent and space.files is not None:
            with space.reading:
                space.files.refresh()
                read = space.files.read(absent)
            self._memory.put(space, read, wanted.call)
            found |= read
        return found

    def _encode_portion(self, space, wanted, portion, images, encode_rows, fill):
        """Encode those of some rows that nobody has encoded meanwhile."""
        wanted.take(self._find(space, wanted, portion))
        missing = [digest for digest in portion if digest in wanted.missing]
        if not missing:
            return
        features = np.asarray(encode_rows(images[wanted.first_places(missing)]), dtype=np.float32)
        rows = {digest: pack(row, self.dtype) for digest, row in zip(missing, features, strict=True)}
        wanted.n_encoded += len(rows)
        wanted.take(rows)
        kept = rows if fill else space.affordable(rows)
        space.dropped += len(rows) - len(kept)
        self._keep(space, wanted, kept)

    def _keep(self, space, wanted, rows):
        self._memory.put(space, rows, wanted.call)
        if space.files is not None:
            with space.reading:
                space.files.write(rows)


def blocks(digests):
    """The digests as they are now, in lists of ``BLOCK``."""
    digests = list(digests)
    return (digests[start : start + BLOCK] for start in range(0, len(digests), BLOCK))


def portions(space, digests, fill):
    """Rows to encode, by and by; in a folder no other process encodes a portion that is out, if it is to be kept."""
    is_kept = space.files is not None and (fill or space.allowance > 0)
    return space.files.portions(digests, BLOCK) if is_kept else blocks(digests)


# -- which cache -------------------------------------------------------------------------------------------------------

KNOWN = WeakValueDictionary()  # those that were pickled in this process, by what their pickles say
IN_USE = {}  # those that were made here for a path or for a pickle


def find_cache(name, folder, max_bytes, dtype):
    """The cache in this process that a path or a pickle stands for, made if there is none."""
    identity = name, folder, max_bytes, dtype
    cache = KNOWN.get(identity) or IN_USE.get(identity)
    if cache is None:
        cache = FeatureCache(folder, max_bytes=max_bytes, dtype=dtype)
        cache._name = name
        cache = IN_USE.setdefault(identity, cache)
    return cache


DEFAULT = FeatureCache()


def resolve_cache(cache):
    """The :class:`FeatureCache` that a parameter ``cache`` stands for, or None."""
    if cache is None or isinstance(cache, FeatureCache):
        return cache
    if isinstance(cache, str) and cache == "auto":
        return DEFAULT
    if str(cache) == "" or "\0" in str(cache):
        raise ValueError(f"cache must be 'auto', None, a FeatureCache or the path of a folder, got {cache!r}")
    folder = os.path.abspath(os.path.expanduser(cache))
    return find_cache(folder, folder, MAX_BYTES, "float32")


def clear_cache() -> None:
    """Forget all features that ``cache="auto"`` has kept in this process.

    Examples
    --------
    >>> from sktricks import cache_info, clear_cache
    >>> clear_cache()
    >>> cache_info().rows
    0
    """
    DEFAULT.clear()


def cache_info() -> CacheInfo:
    """What ``cache="auto"`` has kept in this process.

    Returns
    -------
    info : CacheInfo

    Examples
    --------
    >>> from sktricks import cache_info
    >>> cache_info().max_bytes == 512 * 2**20
    True
    """
    return DEFAULT.info()


warned_of_processes = False


def warn_of_processes(folder):
    """Say once that a worker process shares its features with no other."""
    global warned_of_processes
    if folder is None and not warned_of_processes and multiprocessing.parent_process() is not None:
        warned_of_processes = True
        warn(
            "each process encodes all rows for itself: give cache= a folder, where processes find what others have "
            "encoded, or leave n_jobs out",
            FeaturesNotSharedWarning,
        )
