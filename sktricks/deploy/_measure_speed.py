"""Measure how much faster a graph predicts than its estimator, with a few calls of each, for an export's report."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from ._made_rows import as_files, is_files

SECONDS, MOST_CALLS = 0.3, 9  # limits of each of the four measurements


def measure_speed(predict: Callable, run: Callable, X, n_rows: int, decodings: dict[str, dict]) -> float:
    """Return the ratio of the median times of ``predict`` and ``run`` for rows like X."""
    times = [median_seconds(function, X, n_rows, decodings) for function in (predict, run)]
    return times[0] / times[1]


def median_seconds(function: Callable, X, n_rows: int, decodings: dict[str, dict]) -> float:
    """Return the median seconds per call."""
    times: list[float] = []
    while not times or (sum(times) < SECONDS and len(times) < MOST_CALLS):
        rows = rows_for_call(X, n_rows, decodings)
        start = time.perf_counter()
        function(rows)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def rows_for_call(X, n_rows: int, decodings: dict[str, dict]) -> Any:
    """Return rows like X, slightly changed in each call, so that no cached features of images are used."""
    if is_files(X, decodings):
        height, width, *_ = next(iter(decodings.values()))["shape"]
        shape = n_rows, 2 * height, 2 * width, 3
        return as_files(np.random.default_rng().integers(0, 256, shape, dtype=np.uint8))
    n_given = X.shape[0] if hasattr(X, "shape") else len(X)
    rows = _safe_indexing(X, np.arange(n_rows) % n_given)
    if not isinstance(rows, np.ndarray) or not (rows.dtype.kind == "f" or rows.dtype == np.uint8):
        return rows
    little = int(np.random.default_rng().integers(1, 256))
    return rows ^ rows.dtype.type(little) if rows.dtype == np.uint8 else rows * rows.dtype.type(1 - 1e-6 * little)
