"""Print the system, the versions, the augmentation kernel and the devices, for bug reports."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

REQUIRED = (
    "numpy", "scipy", "scikit-learn", "joblib", "torch", "skorch", "safetensors", "tqdm", "filelock", "lazy_loader"
)  # fmt: skip
OPTIONAL = ("timm", "torchvision", "Pillow", "matplotlib", "pandas", "transformers", "skops")


def show_versions() -> None:
    """Print the system, the versions of the dependencies, the augmentation kernel, and the devices.

    Versions are read from package metadata: apart from torch, almost nothing is imported, and a package that is
    installed but broken still shows its version.

    Examples
    --------
    >>> from sktricks import show_versions
    >>> show_versions()
    System:
          python: 3...
      executable: ...
         machine: ...
    <BLANKLINE>
    Python dependencies:
        sktricks: ...
           numpy: ...
    """
    from .augment.kernels import _kernels

    sections = {
        "System": {
            "python": sys.version.replace("\n", " "),
            "executable": sys.executable,
            "machine": platform.platform(),
        },
        "Python dependencies": {name: installed(name) for name in ("sktricks", *REQUIRED)},
        "Optional dependencies": {name: installed(name) for name in OPTIONAL},
        "Augmentation": {"kernel": _kernels.describe()},
        "Devices": devices(),
    }
    for title, lines in sections.items():
        print(f"\n{title}:")
        for name, value in lines.items():
            print(f"{name:>14}: {value}")


def installed(name):
    """Return the version of a distribution from its metadata, or ``"not installed"``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def devices():
    """Return the devices of torch, or the reason why torch cannot be imported."""
    try:
        import torch
    except (ImportError, OSError) as error:  # the report must work even if torch is broken
        return {"torch": f"cannot be imported: {error}"}
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    return {
        "CPU threads": torch.get_num_threads(),
        "CUDA": torch.cuda.get_device_name() if cuda else "not available",
        "MPS": "available" if mps else "not available",
    }
