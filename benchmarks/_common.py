"""Helpers of the benchmarks: a header with versions, threads, tables, image files."""

import argparse
import io
import os
import platform
from pathlib import Path

import numpy as np


def make_parser(text):
    """Return a parser with the arguments of every benchmark; ``text`` is the script's docstring."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch and the BLAS may use (default: 1)")
    return parser


def start(title, threads):
    """Set the number of threads, and print the benchmark, the versions and the machine."""
    import sklearn
    import skorch
    import torch
    from threadpoolctl import threadpool_limits

    import sktricks

    torch.set_num_threads(threads)
    threadpool_limits(threads)
    versions = {module.__name__: module.__version__ for module in (sktricks, torch, sklearn, skorch, np)}
    print(f"{title}\n")
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {number}" for name, number in versions.items()))
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, threads used: {threads}\n", flush=True)


def print_table(header, rows):
    """Return a markdown table with aligned columns."""
    rows = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    print("\n" + "\n".join(f"| {line} |" for line in lines) + "\n", flush=True)


def read_arrays(path):
    """Return X (n, height, width) or (n, height, width, 3) uint8 and y of an ``.npz`` file.

    The images are the array ``X``, or JPEG files that are concatenated in the bytes ``jpeg`` and start at ``offsets``.
    """
    with np.load(Path(path).expanduser()) as file:
        y = file["y"].astype(np.int64)
        if "X" in file:
            return file["X"], y
        from PIL import Image

        jpeg, offsets = file["jpeg"].tobytes(), file["offsets"]
    images = [Image.open(io.BytesIO(jpeg[a:b])).convert("RGB") for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    return np.stack([np.asarray(image) for image in images]), y
