"""Fuse adjacent steps of a plan into one pass over the pixels.

A geometric step is an affine map per image (:mod:`._warp`), a color step four factors per image
(:mod:`._color_factors`). :func:`fuse` combines as many adjacent steps as possible into one :class:`Pass`: maps first,
then color factors. Each pixel is read once, and rounded once.

Maps are composed if their borders are equal. A step that never reads outside its image is compatible with any border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from . import _kernels
from ._color_factors import NEUTRAL
from ._warp import IDENTITY, compose


@dataclass(frozen=True)
class Pass:
    """Fused steps: an affine map, if there is one, and then color factors.

    Attributes
    ----------
    size : (height, width) of the output
    border : (mode, fill), or None if nothing outside the images is read
    exact : bool
        True if all maps are flips and shifts by whole pixels.
    """

    size: tuple
    border: tuple | None = None
    exact: bool = True
    _has_kernel: ClassVar = True

    def _run(self, images, params, value_range, out=None):
        """Apply the pass; return ``out`` if it could be written to, otherwise floats or the dtype of ``images``."""
        maps, factors = params.get("map"), params.get("factors")
        border, fill = self.border or ("edge", 0.0)
        if self.exact and factors is None:
            return _kernels.move(images, maps, self.size, border, fill, out)
        return _kernels.transform(images, maps, factors, self.size, border, fill, self.exact, value_range, out)


def fuse(plan, shape, value_range):
    """Replace the geometric and color steps of a plan by as few passes as possible."""
    fused = []
    for step, params in plan:
        output = step.output_shape(shape)
        if step.fuses_as is None:
            fused.append((step, params))
        elif part := _as_pass(step, params, shape, value_range):
            joined = _join(fused[-1], part) if fused else None
            fused[-1:] = [joined] if joined else [*fused[-1:], part]
        shape = output
    return fused


def _as_pass(step, params, shape, value_range):
    """Convert one step to a pass; return None if it changes no row."""
    if step.fuses_as == "color":
        factors = _if_chosen(params, step.to_factors(params, shape), NEUTRAL)
        return None if _all_are(factors, NEUTRAL) else (Pass(shape[:2]), {"factors": factors[:, None]})
    size = step.output_shape(shape)[:2]
    maps = step.to_maps(params, shape)
    if maps is None:
        return None
    maps = _if_chosen(params, maps, IDENTITY)
    if size == tuple(shape[:2]) and _all_are(maps, IDENTITY):
        return None
    return Pass(size, step.find_border(shape, value_range), step.moves_whole_pixels), {"map": maps}


def _all_are(values, neutral):
    """Return True if all rows are neutral; the first row is compared first, which is often enough."""
    return bool((values[:1] == neutral).all() and (values == neutral).all())


def _if_chosen(params, values, neutral):
    chosen = params.get("chosen")
    return values if chosen is None else np.where(chosen.reshape(-1, *[1] * (values.ndim - 1)), values, neutral)


def _join(first, second):
    """Combine two passes into one; return None if that is not possible."""
    (before, params), (after, others) = first, second
    if not isinstance(before, Pass):
        return None
    if "factors" in others:
        factors = [p["factors"] for p in (params, others) if "factors" in p]
        return before, {**params, "factors": np.concatenate(factors, axis=1)}
    if "factors" in params or (before.border and after.border and before.border != after.border):
        return None
    joined = Pass(after.size, before.border or after.border, before.exact and after.exact)
    return joined, {"map": compose(params["map"], others["map"])}
