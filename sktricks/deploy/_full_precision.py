"""A copy of an estimator whose nets compute in float32, as its graph does, in place of bfloat16."""

from __future__ import annotations

from copy import deepcopy
from typing import Any


def in_full_precision(estimator):
    """Return a copy of a fitted estimator, in which all nets and backbones, however deep inside, compute in float32."""
    from ..training._inner_net import InnerNet  # imports torch, which exports of other estimators need not
    from ..training._precision import FLOAT32
    from ..transfer._prefix import Prefix

    memo: dict[int, Any] = {}  # whatever is copied, by its identity
    copied = deepcopy(estimator, memo)
    for part in memo.values():
        if isinstance(part, InnerNet):
            part.precision_ = FLOAT32
        elif isinstance(part, Prefix):
            part.precision = FLOAT32
    return copied
