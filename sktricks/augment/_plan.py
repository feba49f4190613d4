"""Plans: the drawn parameters of all steps, applied chunk by chunk.

A *plan* is a list of pairs (step, parameters); the parameters are a dict of arrays with one entry per row. A plan
contains all random draws. :func:`apply_plan` computes each row independently, so the result is the same to the last bit
for any chunks and threads, and needs temporary memory for a few chunks only. Between the steps of a plan integer images
are floats; they are rounded once, at the end.

Two parameters have the same meaning in every step: ``chosen``, the rows to apply the step to (default: all), and
``partner``, the row that each row is mixed with.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
from joblib import effective_n_jobs

from ._pixel_values import from_float, to_float
from .kernels import _kernels
from .kernels._fuse import fuse

# Large enough that numpy's overhead per call does not matter, small enough that a chunk fits into the cache.
CHUNK_FLOATS = 98_304
CHUNK_COMPILED = 4_194_304  # compiled loops process one image at a time, so only their overhead per call matters
BLOCK_ROWS = 65_536  # bounds the memory of affine maps, which are larger than the parameters they are computed from


def run_plan(plan, images, rows, value_range, out=None):
    """Return the images of these rows after all steps of the plan; the last step may write them to ``out``.

    A step that mixes rows computes the partners recursively, so no step needs the whole batch at once.
    """
    if not plan:
        return np.ascontiguousarray(images[rows])
    *before, (step, params) = plan
    params = {name: values[rows] for name, values in params.items()}
    here = run_plan(before, images, rows, value_range)
    if _runs_whole(step, params):
        return step._run(here, params, value_range, out)
    if step.needs_float:
        here = to_float(here)
    if np.may_share_memory(here, images):  # copy, because the step may overwrite them
        there = np.empty_like(here) if out is None or out.dtype != here.dtype or out.shape != here.shape else out
        there[:] = here
        here = there

    def read(others):
        if before or step.needs_float or "partner" not in params:
            return run_plan(before, images, others, value_range)
        return [images[row] for row in others]  # views, because only a rectangle of each is copied

    return _apply_step(step, here, params, value_range, read)


def _runs_whole(step, params):
    """Return True if a step applies to all images, in any dtype, and may write its output in the final dtype."""
    return step._has_kernel and "chosen" not in params


def _only_moves(planned):
    """Return True if a step only moves values, in any dtype, and draws no random numbers per value."""
    step, params = planned
    return not (step._has_kernel or step.needs_float or (step.mixes_rows and "partner" not in params))


def _apply_step(step, images, params, value_range, read):
    """Apply one step to its chosen rows; ``read`` returns other rows as they are before the step."""
    chosen = params.pop("chosen", None)
    if chosen is not None and not chosen.all():
        if chosen.any():
            params = {name: values[chosen] for name, values in params.items()}
            images[chosen] = _apply_step(step, images[chosen], params, value_range, read)
        return images
    if step.mixes_rows:
        return step.mix(images, params, read)
    return (step._run if step._has_kernel else step.apply)(images, params, value_range)


def apply_plan(plan, images, value_range, shape, n_jobs=None, out=None):
    """Apply a plan chunk by chunk.

    Parameters
    ----------
    plan : list of (step, dict)
    images : ndarray of shape (n, height, width, channels)
    value_range : tuple of float or None
    shape : tuple of int
        (height, width, channels) of the result.
    n_jobs : int, default=None
        Number of threads.
    out : ndarray, default=None
        Array for the result; None allocates one.

    Returns
    -------
    out : ndarray of shape (n, *shape)
        The result, in the dtype of ``images``.
    """
    out = np.empty((len(images), *shape), dtype=images.dtype) if out is None else out
    if len(images) > BLOCK_ROWS and not any(step.mixes_rows for step, _ in plan):
        for start in range(0, len(images), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            part = [(step, {name: values[rows] for name, values in params.items()}) for step, params in plan]
            apply_plan(part, images[rows], value_range, shape, n_jobs, out[rows])
        return out
    for step, _ in plan:
        step._check_dtype(images.dtype)
    plan = fuse(plan, images.shape[1:], value_range)
    compiled = _kernels.is_fast(images) and all(_runs_whole(step, params) for step, params in plan)
    floats = CHUNK_COMPILED if compiled else CHUNK_FLOATS * (8 if all(map(_only_moves, plan)) else 1)
    n_threads = effective_n_jobs(n_jobs)
    size = max(1, floats // max(1, *(prod(s) for s in (shape, images.shape[1:]))))
    size = max(1, min(size, -(-len(images) // n_threads)))

    def fill(start):
        rows = slice(start, min(start + size, len(images)))
        target = out[rows]
        new = run_plan(plan, images, rows, value_range, target)
        if new is not target:
            target[:] = from_float(new, images.dtype)

    starts = range(0, len(images), size)
    if min(n_threads, len(starts)) < 2:
        for start in starts:
            fill(start)
    else:
        with ThreadPoolExecutor(n_threads) as threads:  # starts faster than joblib's threads
            list(threads.map(fill, starts))  # re-raises exceptions
    return out


def mix_targets(plan, targets):
    """Mix targets by the mixing steps of a plan: ``share`` is the weight of a row's own target."""
    for _, params in plan:
        if "partner" in params:
            share = params["share"].astype(targets.dtype).reshape(-1, *(1,) * (targets.ndim - 1))
            targets = share * targets + (1 - share) * targets[params["partner"]]
    return targets


def weight_targets(targets, weight):
    """Multiply targets by sample weights and append the weights as a column, so that both can be mixed.

    :func:`split_weights` is the inverse, applied after mixing. A row that is mixed as ``share * own + (1 - share) *
    partner`` then has the weight ``share * own_weight + (1 - share) * partner_weight``, and its target is the mean of
    both targets, weighted by these two terms. For a loss that is linear in the target (cross-entropy, binary
    cross-entropy), the weighted loss of the mixed row is exactly the sum of the weighted losses of both parts; for the
    squared error it is the same up to a constant without a gradient.

    Parameters
    ----------
    targets : float ndarray of shape (n,) or (n, columns)
    weight : float ndarray of shape (n,)

    Returns
    -------
    columns : ndarray of shape (n, columns + 1)
    """
    columns = targets.reshape(len(targets), -1) * weight[:, None]
    return np.concatenate([columns, weight[:, None]], axis=1, dtype=targets.dtype)


def split_weights(columns, shape):
    """Return targets and weights from mixed weighted targets; ``shape`` is that of a target, () or (columns,)."""
    weight = columns[:, -1]
    return (columns[:, :-1] / weight[:, None]).reshape(len(columns), *shape), weight
