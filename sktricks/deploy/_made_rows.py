"""Rows derived from given ones, for which a graph and its estimator are likely to differ.

They lie next to the given rows, between them or far outside their range, or have shuffled columns. Each kind of rows
has a name and the type of X. An estimator may reject some kinds, such as unseen categories.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._optional import import_optional
from ..tables._frames import is_frame, is_missing, is_pandas, is_polars
from ._feeds import gap_kind
from ._sample_rows import UNSEEN, sample_pixels
from ._table_columns import TableColumns, step

N_BASE = 100  # given rows to start from
N_MIDPOINTS = 256
N_IMAGES = 8
FAR = 10.0
SHIFT = 1e-6  # fraction of a column's spread by which rows are moved away from a threshold
Shift = Callable[[np.ndarray, int], Any]  # returns rows, given by indices, after a small step up (1) or down (-1)
Made = tuple[str, Any, Shift | None]


def make_all(X, decodings: dict[str, dict]) -> Iterator[Made]:
    """Yield for each kind of rows its name, the rows, and a function that shifts some of them, None if meaningless."""
    if is_files(X, decodings):
        yield from make_files(decodings)
    elif np.ndim(X) > 2:
        yield from make_images(np.asarray(X))
    else:
        yield from make_table(TableColumns(X))


def is_files(X, decodings: dict[str, dict]) -> bool:
    """Return True if X is a single column of image files, which a graph takes as pixels."""
    return bool(decodings) and (np.ndim(X) == 1 or np.shape(X)[1] == 1)


# -- tables ------------------------------------------------------------------------------------------------------------


def make_table(table: TableColumns) -> Iterator[Made]:
    """Yield the kinds of rows for a table."""
    state = np.random.RandomState(0)  # noqa: NPY002 - the same rows in every version of numpy
    base = table.take(spread_evenly(table.n_rows, N_BASE))
    if any(base.is_number):
        yield made("one step above", base.map_numbers(lambda values: step(values, 1)))
        yield made("one step below", base.map_numbers(lambda values: step(values, -1)))
        yield from make_midpoints(table, base, state)
        yield made("far outside", base.map_numbers(lambda values: far_outside(values, state)))
    yield made("shuffled columns", base.map(lambda values: values[state.permutation(len(values))]))
    for index in np.flatnonzero(~base.is_number):
        unseen = UNSEEN if any(isinstance(value, str) for value in base.columns[index]) else 987654321
        yield made("unseen categories", base.replace(int(index), [unseen] * base.n_rows))


def make_missing(X, decodings: dict[str, dict]) -> Iterator[tuple[int, Any]]:
    """Yield, for each column that may have missing values, its index and rows in which one is missing.

    Columns of strings are included only if they have missing values: see :func:`make_gaps`.
    """
    if is_files(X, decodings) or np.ndim(X) > 2:
        return
    table = TableColumns(X)
    base = table.take(spread_evenly(table.n_rows, 2))
    for index, values in enumerate(table.columns):
        if values.dtype.kind in "biu":
            continue
        given = [value for value in values if is_missing(value)]
        if given or not holds_texts(values):
            gap = given[0] if given else None if is_polars(X) else np.nan
            yield index, base.replace(index, [gap] * base.n_rows).build()


def make_gaps(X, decodings: dict[str, dict]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield, for each column of strings of a table, its index and rows with a missing string of each kind."""
    if is_files(X, decodings) or np.ndim(X) > 2:
        return
    gaps = [None, ""] if is_polars(X) else [np.nan, None, ""]
    gaps += [import_optional("pandas", "images").NA] if is_pandas(X) else []
    table = TableColumns(X)
    base = table.take(spread_evenly(table.n_rows, 2))
    for index, values in enumerate(table.columns):
        if holds_texts(values):
            replaced = [base.replace(index, [gap] * base.n_rows) for gap in gaps]
            yield index, {str(gap_kind(gap)): rows.build(True) for gap, rows in zip(gaps, replaced, strict=True)}


def reorder_columns(X):
    """Return some rows of a DataFrame with its columns in reverse order, and an extra one; None if X is an array."""
    if not is_frame(X):
        return None
    table = TableColumns(X)
    some = table.take(spread_evenly(table.n_rows, N_BASE)).build()
    some = some[list(X.columns)[::-1]]
    more = np.zeros(len(some))
    name = max(map(str, X.columns), key=len) + "_"  # longer than, and so different from, all other names
    return some.assign(**{name: more}) if is_pandas(X) else some.with_columns(type(some.to_series())(name, more))


def holds_texts(values: np.ndarray) -> bool:
    """Return True for a column with some strings."""
    return values.dtype == object and any(isinstance(value, str) for value in values)


def made(name: str, table: TableColumns) -> Made:
    """Return rows of a table with the function that shifts them."""
    pairs = zip(table.columns, table.is_number, strict=True)
    spreads = [spread_of(values) if number else 0.0 for values, number in pairs]

    def shift(rows, sign):
        some = table.take(rows)
        columns = [
            shifted(values, sign, spread) if number else values
            for values, number, spread in zip(some.columns, some.is_number, spreads, strict=True)
        ]
        return some.with_columns(columns).build()

    return name, table.build(), shift


def spread_of(values: np.ndarray) -> float:
    """Return the range of the finite numbers of a column, 0 if there are none."""
    finite = values[np.isfinite(values)].astype(np.float64)
    return float(np.ptp(finite)) if finite.size else 0.0


def shifted(values: np.ndarray, sign: int, spread: float) -> np.ndarray:
    """Return numbers shifted by a millionth of the spread of their column, but by at least four float32 steps."""
    if values.dtype.kind != "f":
        return step(values, sign)
    least = 4 * np.spacing(np.abs(values).astype(np.float32)).astype(np.float64)
    return (values + sign * np.maximum(SHIFT * spread, least)).astype(values.dtype)


def make_midpoints(table: TableColumns, base: TableColumns, state) -> Iterator[Made]:
    """Yield rows in which one number is a midpoint of neighbors in its column, where trees split.

    The midpoints are exact (float64) and rounded to float32.
    """
    pairs = []
    for index in np.flatnonzero(table.is_number):
        values = table.columns[index]
        if values.dtype.kind == "b":
            continue
        found = np.unique(values[np.isfinite(values)]).astype(np.float64)
        pairs += [(index, value) for value in found[:-1] + (found[1:] - found[:-1]) / 2]
    if len(pairs) > N_MIDPOINTS:
        pairs = [pairs[place] for place in sorted(state.permutation(len(pairs))[:N_MIDPOINTS])]
    if not pairs:
        return
    rows = base.take(np.arange(len(pairs)) % base.n_rows)
    exact = np.array([value for _, value in pairs])
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    kinds = [
        ("midpoints", exact),
        ("midpoints in float32", rounded),
        ("one step above midpoints", step(rounded, 1)),
        ("one step below midpoints", step(rounded, -1)),
    ]
    single = all(column.dtype == np.float32 for column in rows.columns if column.dtype.kind in "iuf")
    for name, values in kinds[single:]:  # in float32 the first two are the same
        columns = [column.copy() for column in rows.columns]
        for row, (index, _) in enumerate(pairs):
            columns[index][row] = values[row]
        yield made(name, rows.with_columns(columns))


def far_outside(values: np.ndarray, state) -> np.ndarray:
    """Return numbers outside the range of a column, up to ten times its width, on both sides."""
    finite = values[np.isfinite(values)]
    if values.dtype.kind == "b" or not finite.size:
        return values
    low, high = float(finite.min()), float(finite.max())
    drawn = (low + high) / 2 + FAR * max(high - low, 1.0) * (2 * state.random_sample(len(values)) - 1)
    if values.dtype.kind == "f":
        return drawn.astype(values.dtype)
    limits = np.iinfo(values.dtype)
    return np.clip(np.rint(drawn), float(limits.min), float(min(limits.max, 2**52))).astype(values.dtype)


def spread_evenly(n_rows: int, at_most: int) -> np.ndarray:
    """Return the indices of at most ``at_most`` rows, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, at_most)).astype(int))


# -- images ------------------------------------------------------------------------------------------------------------


def make_images(X: np.ndarray) -> Iterator[Made]:
    """Yield images in the dtype and range of X."""
    low, high = (0, 255) if X.dtype == np.uint8 else (X.min(), X.max())
    for name, unit in unit_images(X.shape[1:]).items():
        values = low + unit * (float(high) - float(low))
        yield name, (np.rint(values) if X.dtype.kind in "iu" else values).astype(X.dtype), None


def make_files(decodings: dict[str, dict]) -> Iterator[Made]:
    """Yield columns of image files in memory, of the size to which a model decodes them and of another size."""
    height, width, *_ = next(iter(decodings.values()))["shape"]
    for side, shape in {"": (height, width, 3), " of another shape": (height // 2 + 9, width + 30, 3)}.items():
        for name, unit in unit_images(shape).items():
            yield name + side, as_files(np.rint(255 * unit).astype(np.uint8)), None


def as_files(images: np.ndarray) -> np.ndarray:
    """Return color images as a column of image files in memory."""
    files = np.empty(len(images), dtype=object)
    files[:] = [to_png(image) for image in images]
    return files


def unit_images(shape) -> dict[str, np.ndarray]:
    """Return images of noise, of patches, and all black or white, with values from 0 to 1."""
    state = np.random.RandomState(0)  # noqa: NPY002 - the same rows in every version of numpy
    full = (N_IMAGES, *shape)
    edges = np.stack([np.zeros(shape), np.ones(shape)])
    return {"noise": state.random_sample(full), "patches": sample_pixels(state, full), "black and white": edges}


def to_png(image: np.ndarray) -> bytes:
    """Return the content of a PNG file."""
    buffer = io.BytesIO()
    import_optional("PIL.Image", "images").fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
