"""Copy an estimator such that its nets compute in float32, as its graph does, instead of bfloat16."""

from __future__ import annotations

from copy import deepcopy
from typing import Any


def in_full_precision(estimator):
    """Return a copy of a fitted estimator in which all nets and backbones, at any depth, compute in float32."""
    from ..training._inner_net import InnerNet  # imports torch, which exports of other estimators do not require
    from ..training._precision import FLOAT32
    from ..transfer._prefix import Prefix

    memo: dict[int, Any] = {}  # every copied object, by the id of the original
    copied = deepcopy(estimator, memo)
    for part in memo.values():
        if isinstance(part, InnerNet):
            part.precision_ = FLOAT32
        elif isinstance(part, Prefix):
            part.precision = FLOAT32
    return copied
