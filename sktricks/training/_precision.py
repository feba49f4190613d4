"""The precision that a net computes in: float32, or bfloat16 where it is asked for or pays on a GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from .._warnings import SlowPrecisionWarning, warn

FLOAT32, BFLOAT16 = "float32", "bfloat16"
HALF = (torch.bfloat16, torch.float16)
AMPERE = 8  # the compute capability of NVIDIA's first GPUs with units for bfloat16
FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of processors with instructions for bfloat16, as Linux names them


def choose_precision(precision: str, device: torch.device, images: bool) -> str:
    """Return ``"float32"`` or ``"bfloat16"``, with a warning if a processor was asked for what it can only emulate.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"`` is bfloat16 for images on a GPU that is made for it, and float32 otherwise: predictions do not depend
        on the processor.
    device : torch.device
    images : bool
        False for a table.
    """
    if precision == "auto":
        return BFLOAT16 if images and device.type == "cuda" and computes_bfloat16(device) else FLOAT32
    if precision == BFLOAT16 and device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"precision='bfloat16' needs a device of type 'cpu' or 'cuda', got {device.type!r}: use device='cpu', or "
            "precision='float32'"
        )
    if precision == BFLOAT16 and not computes_bfloat16(device):
        warn(
            f"precision='bfloat16' is slow here: this {'GPU' if device.type == 'cuda' else 'processor'} has no "
            "instructions for it and emulates them. precision='float32' is faster",
            SlowPrecisionWarning,
        )
    return precision


def fit_precision(precision: str, asked: str, dtype: torch.dtype, role: str) -> str:
    """Return a precision for a net of this dtype: never bfloat16 for float64, which stays float64.

    Parameters
    ----------
    precision : {"float32", "bfloat16"}
        As chosen before the net was known.
    asked : {"auto", "float32", "bfloat16"}
    dtype : torch.dtype
    role : {"module", "backbone"}
    """
    if dtype != torch.float64 or precision == FLOAT32:
        return precision
    if asked == BFLOAT16:
        raise ValueError(
            f"precision='bfloat16' needs a {role} with float32 parameters, got float64: call {role}.float(), or use "
            "precision='auto'"
        )
    return FLOAT32


def computes_bfloat16(device: torch.device) -> bool:
    """Return True if a CPU or a CUDA device has instructions for products in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= AMPERE
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known is not None and known()) or bool(FLAGS & cpu_flags())


def cpu_flags() -> set[str]:
    """Return the features of the processor as Linux lists them, those of its first core; elsewhere none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next(
        (set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))), set()
    )


def computing_in(precision: str, device: torch.device | str) -> AbstractContextManager:
    """Return a context in which nets compute in a precision; weights, loss and sums keep their dtype."""
    return nullcontext() if precision == FLOAT32 else torch.autocast(torch.device(device).type, torch.bfloat16)
