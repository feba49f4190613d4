"""The automatic batch size and its learning rate, as pure functions of the number of rows."""

from __future__ import annotations

import math

SMALLEST, LARGEST = 128, 1024
STEPS = 36  # approximate steps per epoch, unless the batch size is the smallest or the largest
RATE, HIGHEST = 2e-3, 8e-3  # learning rates for the smallest and for the largest batch size


def auto_batch_size(n_rows: int, images: bool = False) -> int:
    """Return the batch size for a number of rows: the power of two nearest to a 36th of them, from 128 to 1,024.

    For example, it is 512 for 18,000 rows. Larger batches take less time per row, but up to about 6,500 rows this does
    not outweigh the smaller number of steps. For images it is 128, since larger batches are hardly faster and take too
    much memory.
    """
    if images:
        return SMALLEST
    return min(LARGEST, max(SMALLEST, 2 ** round(math.log2(n_rows / STEPS))))


def auto_rate(batch_size: int) -> float:
    """Return the learning rate for an automatic batch size: 2e-3 for 128, in proportion to the size, at most 8e-3.

    A quarter of the steps, each four times as large, has about the same effect (Goyal et al. 2017). Higher rates must
    be set explicitly.
    """
    return min(HIGHEST, RATE * batch_size / SMALLEST)


def resolve_batches(batch_size: int | str, lr: float | str | None, auto_size: int) -> dict:
    """Return ``batch_size`` and ``lr`` of a training; given numbers are not changed.

    Parameters
    ----------
    batch_size : int or "auto"
    lr : float, "auto" or None
        None means :func:`auto_rate` if ``batch_size`` is ``"auto"``, otherwise 2e-3.
    auto_size : int
        The batch size of ``"auto"``.
    """
    is_auto = isinstance(batch_size, str)
    default = auto_rate(auto_size) if is_auto else RATE
    return {"batch_size": auto_size if is_auto else batch_size, "lr": default if lr is None else lr}
