"""Batcher: predict rows from many threads in one call."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from .._optional import import_optional
from ..images._image_column import SOURCES, describe_single


class Request(NamedTuple):
    """The rows of one call of :meth:`Batcher.submit`."""

    X: Any
    n_rows: int
    kind: tuple  # only requests of the same kind can be joined
    future: Future
    deadline: float


class Batcher:
    """Predict the rows of many threads in one call.

    Rows that arrive while a batch is being predicted form the next batch. A row therefore never waits for others to
    arrive: a single client gets its prediction at once, and 16 clients get theirs in about the time of one call with
    16 rows. Use it where the threads of a server share a model that takes more than about 0.3 ms per row. For faster
    models, passing rows between threads takes longer than the prediction.

    Parameters
    ----------
    predict : callable
        Takes rows and returns an array or DataFrame with one row for each, for example ``model.predict_proba`` or
        ``OnnxModel(path).predict``. It is never called by two threads at the same time.
    max_batch_size : int, default=64
        Maximum number of rows per call of ``predict``. A request with more rows is predicted in a call of its own.
    max_wait_ms : float, default=0
        Milliseconds to wait for more rows before each call, unless the batch is full. 0 adds no delay and is
        usually the fastest as well.
    max_queue_size : int, default=1024
        Maximum number of waiting requests; further ones raise ``queue.Full``.
    timeout : float, default=None
        Maximum number of seconds that a request waits in the queue; its future then raises a ``TimeoutError``. It also
        limits how long a call of the batcher waits for its result. None means no limit.

    See Also
    --------
    OnnxModel : Run a file of :func:`export_onnx`, usually the fastest model for a batcher.

    Notes
    -----
    Only neighboring requests with the same dtypes (and column names) are joined, so that each request gets what
    ``predict`` returns for it alone, up to rounding. If a batch fails, its requests are predicted one by one, and only
    the faulty ones raise the error.

    Do not modify an array that was passed before its result is available.

    The worker thread starts with the first request that has to wait. When the interpreter exits, an open batcher
    finishes the waiting requests and is closed. After a fork, the child starts with an empty queue and a thread of its
    own; the requests of the parent stay in the parent.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sktricks import Batcher
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    >>> with Batcher(forest.predict_proba) as batcher, ThreadPoolExecutor(16) as clients:
    ...     found = list(clients.map(batcher, [row[None] for row in X]))
    >>> np.allclose(np.concatenate(found), forest.predict_proba(X))
    True
    >>> batcher.stats()["rows"]
    150
    """

    def __init__(
        self,
        predict: Callable[[Any], Any],
        *,
        max_batch_size: int = 64,
        max_wait_ms: float = 0,
        max_queue_size: int = 1024,
        timeout: float | None = None,
    ):
        check_parameters(predict, max_batch_size, max_wait_ms, max_queue_size, timeout)
        self.predict = predict
        self.max_batch_size, self.max_wait_ms = max_batch_size, max_wait_ms
        self.max_queue_size, self.timeout = max_queue_size, timeout
        self._row_shape: tuple | None = None  # set by the first rows that predict accepts
        self._closed = False
        self._thread: threading.Thread | None = None
        self._reset()
        BATCHERS.add(self)

    def submit(self, X) -> Future:
        """Put rows into the queue and return at once.

        Parameters
        ----------
        X : array, DataFrame or list, (n, ...)
            At least one row; all requests have rows of the same shape. Pass a single image file as a list that holds
            its path or its bytes.

        Returns
        -------
        future : concurrent.futures.Future
            Its result is ``predict(X)``. In asyncio, await ``asyncio.wrap_future(future)``.

        Raises
        ------
        queue.Full
            If ``max_queue_size`` requests are waiting.
        RuntimeError
            If the batcher is closed.
        ValueError
            If the rows differ in shape from earlier ones.
        """
        X, kind = self._check_rows(X)
        deadline = np.inf if self.timeout is None else time.monotonic() + self.timeout
        request = Request(X, len(X), kind, Future(), deadline)
        with self._changed:
            self._check_open()
            if len(self._waiting) >= self.max_queue_size:
                raise queue.Full(f"max_queue_size={self.max_queue_size} requests are waiting already: try again later")
            if self._thread is None:
                # Any other than a daemon thread would keep the interpreter from exiting while a batcher is open.
                thread = threading.Thread(target=self._work, name="sktricks-batcher", daemon=True)
                thread.start()
                self._thread = thread
                atexit.register(self.close)
            self._waiting.append(request)
            self._changed.notify()
        return request.future

    def __call__(self, X):
        """Return ``predict(X)``.

        Parameters and errors are those of :meth:`submit`; a ``TimeoutError`` is raised after ``timeout`` seconds. If
        the batcher is idle, the calling thread runs ``predict`` itself, so that the call takes no longer than
        ``predict``.
        """
        at_once = self.timeout is None and not self.max_wait_ms and not self._waiting
        predicting = self._predicting  # a local name, since a fork inside predict replaces the attribute
        if at_once and predicting.acquire(blocking=False):
            try:
                self._check_open()
                return self._predict([self._check_rows(X)[0]])[0]
            finally:
                predicting.release()
        future = self.submit(X)
        try:
            return future.result(self.timeout)
        except TimeoutError:
            if future.done():  # the request waited too long in the queue, or predict itself raised this error
                raise
            raise TimeoutError(f"the prediction took longer than timeout={self.timeout} seconds") from None
        finally:
            future.cancel()  # without effect on a finished future

    def stats(self) -> dict[str, int]:
        """Return counts of the requests so far.

        Returns
        -------
        stats : dict of int
            ``requests`` and ``rows`` that were predicted, ``batches`` (calls of ``predict``), ``largest_batch`` in
            rows, and requests that are ``waiting`` now.
        """
        return {**self._counts, "waiting": len(self._waiting)}

    def close(self, *, cancel_futures: bool = False) -> None:
        """Refuse further requests, and return once the waiting ones have been predicted.

        Parameters
        ----------
        cancel_futures : bool, default=False
            True cancels the waiting requests; only the batch that is being predicted is finished.
        """
        with self._changed:
            self._closed = True
            cancelled = list(self._waiting) if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
            self._changed.notify_all()
        for request in cancelled:
            if request.future.cancel():
                request.future.set_running_or_notify_cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        atexit.unregister(self.close)

    def __enter__(self) -> Batcher:
        return self

    def __exit__(self, *error):
        self.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        """Start with new locks, an empty queue and no thread.

        The child of a fork needs this: its copies of the locks may be held by threads that exist only in the parent.
        """
        self._waiting: deque[Request] = deque()
        self._changed, self._predicting = threading.Condition(), threading.Lock()
        self._thread = None
        self._counts = dict.fromkeys(("requests", "rows", "batches", "largest_batch"), 0)

    def _check_open(self):
        if self._closed:
            raise RuntimeError("the Batcher is closed and accepts no more requests: create a new one")

    def _check_rows(self, X) -> tuple[Any, tuple]:
        X, kind = inspect_rows(X)
        if self._row_shape is not None and X.shape[1:] != self._row_shape:
            raise ValueError(
                f"X must have the shape {format_shape(self._row_shape)}, like the first rows that were predicted, "
                f"got {X.shape}: use one Batcher for each shape"
            )
        return X, kind

    def _work(self):
        """Predict one batch after another until the batcher is closed."""
        while self._wait():
            with self._predicting:
                self._run(self._take_batch())

    def _wait(self) -> bool:
        """Wait for requests; return False if the batcher is closed and none are left."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self.max_wait_ms:
                self._changed.wait_for(self._is_full, self.max_wait_ms / 1000)
            return bool(self._waiting)

    def _is_full(self):
        return self._closed or sum(request.n_rows for request in self._waiting) >= self.max_batch_size

    def _take_batch(self) -> list[Request]:
        """Take the requests of the next call from the queue; drop those that were cancelled or waited too long."""
        taken: list[Request] = []
        n_rows = 0
        with self._changed:
            while self._waiting:
                first = self._waiting[0]
                n_rows += first.n_rows
                if taken and (first.kind != taken[0].kind or n_rows > self.max_batch_size):
                    break
                taken.append(self._waiting.popleft())
        taken = [request for request in taken if request.future.set_running_or_notify_cancel()]
        now = time.monotonic()
        late = TimeoutError(f"the request waited longer than timeout={self.timeout} seconds")
        fail([request for request in taken if request.deadline <= now], late)
        return [request for request in taken if request.deadline > now]

    def _run(self, batch: list[Request]) -> None:
        """Predict requests and set their futures."""
        try:
            found = self._predict([request.X for request in batch]) if batch else []
        except BaseException as error:
            if len(batch) == 1 or isinstance(error, PredictionsError):
                fail(batch, error)
            else:  # one client's rows are faulty: the others get their results
                for request in batch:
                    self._run([request])
        else:
            for request, one in zip(batch, found, strict=True):
                request.future.set_result(one)

    def _predict(self, parts: list) -> list:
        """Return the predictions of each request; the caller holds the lock ``_predicting``."""
        sizes = [len(X) for X in parts]
        n_rows = sum(sizes)
        self._counts["batches"] += 1
        self._counts["largest_batch"] = max(self._counts["largest_batch"], n_rows)
        found = split(self.predict(join(parts)), sizes)
        if self._row_shape is None:
            self._row_shape = parts[0].shape[1:]
        self._counts["requests"] += len(parts)
        self._counts["rows"] += n_rows
        return found


def fail(batch, error):
    """Set an error as the result of all requests of a batch."""
    for request in batch:
        request.future.set_exception(error)


class PredictionsError(ValueError):
    """The callable predict did not return one prediction per row; no request is to blame."""


BATCHERS: weakref.WeakSet[Batcher] = weakref.WeakSet()


def reset_all():
    """Reset all batchers in the child of a fork."""
    for batcher in list(BATCHERS):
        batcher._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_all)


def check_parameters(predict, max_batch_size, max_wait_ms, max_queue_size, timeout):
    """Raise an error for an invalid parameter of Batcher."""
    if not callable(predict):
        raise TypeError(f"predict must be a function such as model.predict_proba, got {type(predict).__name__}")
    for name, value in {"max_batch_size": max_batch_size, "max_queue_size": max_queue_size}.items():
        if not (isinstance(value, Integral) and value > 0):
            raise ValueError(f"{name} must be an int above 0, got {value!r}")
    if not (isinstance(max_wait_ms, Real) and 0 <= max_wait_ms < np.inf):
        raise ValueError(f"max_wait_ms must be a finite number of milliseconds, at least 0, got {max_wait_ms!r}")
    if timeout is not None and not (isinstance(timeout, Real) and 0 < timeout < np.inf):
        raise ValueError(f"timeout must be a finite number of seconds above 0, or None, got {timeout!r}")


def inspect_rows(X) -> tuple[Any, tuple]:
    """Return X as an array or DataFrame, and its kind, which is equal for rows that can be joined."""
    if hasattr(X, "iloc"):  # pandas
        columns = X if X.ndim == 2 else X.to_frame()
        kind: tuple = (X.ndim, tuple(columns.columns), tuple(columns.dtypes))
    elif hasattr(X, "columns") or isinstance(X, dict):
        raise TypeError(f"X must be an array, a list of rows, or a DataFrame of pandas, got {type(X).__name__}")
    else:
        given, X = X, as_rows(X)
        if not X.ndim:
            raise TypeError(
                f"X must be an array, a list of rows, or a DataFrame of pandas, got a single {type(given).__name__}"
            )
        # Strings of any length can be joined.
        kind = (X.shape[1:], X.dtype.kind if X.dtype.kind in "US" else X.dtype)
    if not len(X):
        raise ValueError(f"X must have at least one row, got the shape {X.shape}: pass a single row as row[None]")
    return X, kind


def as_rows(X) -> np.ndarray:
    """Return X as an array; file contents become objects, since an array of bytes would drop trailing zeros."""
    if isinstance(X, SOURCES):
        raise ValueError(f"X must hold one value per row, got {describe_single(X)}")
    if isinstance(X, list | tuple) and any(isinstance(value, bytes) for value in X):
        rows = np.empty(len(X), dtype=object)
        rows[:] = X
        return rows
    return np.asarray(X)


def join(parts: list):
    """Join the rows of several requests in one copy; a single request is returned without a copy."""
    if len(parts) == 1:
        return parts[0]
    if hasattr(parts[0], "iloc"):
        return import_optional("pandas", "images").concat(parts, ignore_index=True)
    return np.concatenate(parts)


def split(result, sizes: Sequence[int]) -> list:
    """Split predictions by request."""
    shape = getattr(result, "shape", ())
    if not shape or shape[0] != sum(sizes):
        got = f"an array of shape {shape}" if shape else type(result).__name__
        raise PredictionsError(f"predict must return an array with one row for each of {sum(sizes)} rows, got {got}")
    if len(sizes) == 1:
        return [result]
    rows = getattr(result, "iloc", result)
    ends = np.cumsum(sizes).tolist()
    return [rows[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def format_shape(row_shape) -> str:
    """Return the shape of X as text, with ``n`` as the number of rows."""
    return f"({', '.join(['n', *map(str, row_shape)])})" if row_shape else "(n,)"
