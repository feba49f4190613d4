"""The precision of a net's computation: float32, or bfloat16 if requested, or if faster on a GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from .._warnings import SlowPrecisionWarning, warn

FLOAT32, BFLOAT16 = "float32", "bfloat16"
HALF = (torch.bfloat16, torch.float16)
AMPERE = 8  # compute capability of NVIDIA's first GPUs with hardware support for bfloat16
FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # Linux's names of CPU features for bfloat16


def choose_precision(precision: str, device: torch.device, images: bool) -> str:
    """Return ``"float32"`` or ``"bfloat16"``; warn if bfloat16 was requested but is only emulated.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"`` is bfloat16 for images on a GPU that supports it, otherwise float32, so that predictions do not
        depend on the processor.
    device : torch.device
    images : bool
        False for a table.
    """
    if precision == "auto":
        return BFLOAT16 if images and device.type == "cuda" and computes_bfloat16(device) else FLOAT32
    if precision == BFLOAT16 and device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"precision='bfloat16' requires a device of type 'cpu' or 'cuda', got {device.type!r}: use device='cpu', "
            "or precision='float32'"
        )
    if precision == BFLOAT16 and not computes_bfloat16(device):
        warn(
            f"precision='bfloat16' is slow here, since this {'GPU' if device.type == 'cuda' else 'processor'} has no "
            "instructions for it and emulates them: precision='float32' is faster",
            SlowPrecisionWarning,
        )
    return precision


def fit_precision(precision: str, asked: str, dtype: torch.dtype, role: str) -> str:
    """Return the precision for a net of this dtype; a float64 net never computes in bfloat16.

    Parameters
    ----------
    precision : {"float32", "bfloat16"}
        The result of :func:`choose_precision`.
    asked : {"auto", "float32", "bfloat16"}
        The user's parameter.
    dtype : torch.dtype
    role : {"module", "backbone"}
    """
    if dtype != torch.float64 or precision == FLOAT32:
        return precision
    if asked == BFLOAT16:
        raise ValueError(
            f"precision='bfloat16' requires a {role} with float32 parameters, got float64: call {role}.float(), or use "
            "precision='auto'"
        )
    return FLOAT32


def computes_bfloat16(device: torch.device) -> bool:
    """Return True if a CPU or CUDA device has instructions for bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= AMPERE
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known is not None and known()) or bool(FLAGS & cpu_flags())


def cpu_flags() -> set[str]:
    """Return the CPU features of the first core, as listed by Linux; an empty set on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next(
        (set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))), set()
    )


def computing_in(precision: str, device: torch.device | str) -> AbstractContextManager:
    """Return a context in which nets compute in a precision; weights, losses and sums keep their dtype."""
    return nullcontext() if precision == FLOAT32 else torch.autocast(torch.device(device).type, torch.bfloat16)
