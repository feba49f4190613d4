"""Plans: what is to be done to each row, and how it is done chunk by chunk.

A *plan* is a list of pairs (step, parameters); the parameters are a dict of arrays with one entry a row. All randomness
is in the plan. Applying it (:func:`apply_plan`) computes each row on its own, so neither the chunks nor the threads
change a bit, and memory beyond the result stays at a few chunks. Between the steps of a plan integer images are floats;
they are rounded once, at the end.

Two names among the parameters mean the same in every step: ``chosen``, the rows that the step is for (all, if there is
none), and ``partner``, the row that each row is mixed with.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
from joblib import effective_n_jobs

from ._pixel_values import from_float, to_float
from .kernels import _kernels
from .kernels._fuse import fuse

CHUNK_FLOATS = 98_304  # a chunk and its temporaries stay in the cache, and numpy's cost per call is spread
CHUNK_COMPILED = 4_194_304  # the compiled loops go image by image, so that only the number of calls matters
BLOCK_ROWS = 65_536  # a map is larger than what was drawn for it; of so many rows it takes little


def run_plan(plan, images, rows, value_range, out=None):
    """The images of these rows after the whole plan; the last step may write them to ``out``.

    A step that mixes asks for the rows it mixes in as they are just before it; so no step ever needs the whole batch.
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
    if np.may_share_memory(here, images):  # the step may overwrite it
        there = np.empty_like(here) if out is None or out.dtype != here.dtype or out.shape != here.shape else out
        there[:] = here
        here = there

    def read(others):
        if before or step.needs_float or "partner" not in params:
            return run_plan(before, images, others, value_range)
        return [images[row] for row in others]  # views: a rectangle of each is copied, not all of it

    return _apply_step(step, here, params, value_range, read)


def _runs_whole(step, params):
    """Return True if a step reads all images in whatever dtype they have, and may write them in that of the result."""
    return step._has_kernel and "chosen" not in params


def _only_moves(planned):
    """Return True if a step only moves values of whatever dtype, and draws nothing per value."""
    step, params = planned
    return not (step._has_kernel or step.needs_float or (step.mixes_rows and "partner" not in params))


def _apply_step(step, images, params, value_range, read):
    """Apply one step to the rows that it is for; ``read`` returns other rows as they are before it."""
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
    """Images of this ``shape`` (height, width, channels) and the dtype of ``images``, chunk by chunk (in ``out``)."""
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
        with ThreadPoolExecutor(n_threads) as threads:  # joblib's own take longer to start than some plans to run
            list(threads.map(fill, starts))  # raises what was raised
    return out


def mix_targets(plan, targets):
    """Targets after the mixing steps of a plan: ``share`` of a row's own and the rest of its partner's."""
    for _, params in plan:
        if "partner" in params:
            share = params["share"].astype(targets.dtype).reshape(-1, *(1,) * (targets.ndim - 1))
            targets = share * targets + (1 - share) * targets[params["partner"]]
    return targets


def weight_targets(targets, weight):
    """Weighted targets that can be mixed like any others: each row times its weight, and the weight as a last column.

    :func:`split_weights` undoes it after mixing. A row that is mixed of ``share * own + (1 - share) * partner`` then
    has the weight ``share * own weight + (1 - share) * partner's weight`` and the mean target of both by these two
    parts. So each part of a mixed target carries the weight of the row that it comes from: for a loss that is linear in
    the target (cross-entropy, binary cross-entropy) the loss of the mixed row is exactly the sum of the weighted losses
    of both parts, and for the squared error it is, up to a constant without a gradient.

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
    """Targets of this shape of a row, () or (columns,), and their weights, from weighted targets after mixing."""
    weight = columns[:, -1]
    return (columns[:, :-1] / weight[:, None]).reshape(len(columns), *shape), weight
