"""The batch size ``"auto"``, and the learning rate that goes with it: pure functions of the number of rows."""

from __future__ import annotations

import math

SMALLEST, LARGEST = 128, 1024
STEPS = 36  # per epoch, about, of any number of rows between those that have the smallest and the largest batch
RATE, HIGHEST = 2e-3, 8e-3  # for the smallest batch, and for the largest


def auto_batch_size(n_rows: int, images: bool = False) -> int:
    """Return the batch size for a number of rows: the power of two nearest to a 36th of them, from 128 to 1,024.

    18,000 rows have batches of 512. A row of a larger batch takes less time, but up to about 6,500 rows that is not
    worth the steps that an epoch would lose. Batches of images stay at 128: they gain little, and would fill the
    memory.
    """
    if images:
        return SMALLEST
    return min(LARGEST, max(SMALLEST, 2 ** round(math.log2(n_rows / STEPS))))


def auto_rate(batch_size: int) -> float:
    """Return the learning rate for an automatic batch size: 2e-3 for 128, in proportion to the size, at most 8e-3.

    A quarter of the steps, each four times as long, go as far (Goyal et al. 2017). Higher rates are left to those who
    know their module.
    """
    return min(HIGHEST, RATE * batch_size / SMALLEST)


def resolve_batches(batch_size: int | str, lr: float | str | None, auto_size: int) -> dict:
    """Return ``batch_size`` and ``lr`` of a training; a number that is given stays as it is.

    Parameters
    ----------
    batch_size : int or "auto"
    lr : float, "auto" or None
        None is :func:`auto_rate` if ``batch_size`` is ``"auto"``, otherwise 2e-3.
    auto_size : int
        The batch size of ``"auto"``.
    """
    is_auto = isinstance(batch_size, str)
    default = auto_rate(auto_size) if is_auto else RATE
    return {"batch_size": auto_size if is_auto else batch_size, "lr": default if lr is None else lr}
