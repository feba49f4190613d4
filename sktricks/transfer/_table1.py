"""table1: the pretrained weights of the net for small tables, and the temperature of its predictions."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open
from safetensors.torch import load

from ._in_context_net import InContextNet

WEIGHTS = Path(__file__).parent / "weights" / "table1.safetensors"
VARIABLE = "SKTRICKS_TABLE1"


class Table1(NamedTuple):
    """The net with its weights, the temperature by which its logits are divided, and the SHA-256 of the file."""

    net: InContextNet
    temperature: float
    sha256: str


def load_table1(device):
    """Return the weights that came with the package, or those that ``SKTRICKS_TABLE1`` points to, on a device."""
    path = Path(os.environ.get(VARIABLE) or WEIGHTS)
    try:
        state = path.stat()
    except OSError as error:
        raise unreadable(path, error.strerror) from error
    return read_table1(path, device, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def read_table1(path, device, changed, size):
    """Return the weights in a file; ``changed`` and ``size`` tell its versions apart."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error.strerror) from error
    try:
        weights = {name: tensor.float() for name, tensor in load(content).items()}
        with safe_open(path, "pt") as file:
            settings = file.metadata() or {}
    except Exception as error:  # safetensors raises errors of several kinds for a damaged header
        raise ValueError(f"the weights of table1 in {path} are truncated or modified: {error}") from error
    net = InContextNet(**find_sizes(path, weights)).eval().requires_grad_(False)
    check_weights(path, net, weights)
    net.load_state_dict(weights)
    return Table1(net.to(device), read_temperature(path, settings), hashlib.sha256(content).hexdigest())


def unreadable(path, reason):
    """Return the error about a file that cannot be read."""
    return ValueError(f"the weights of table1 cannot be read from {path}: {reason}")


def find_sizes(path, weights):
    """Return the arguments of the net from the shapes of its weights."""
    depth = 0
    while f"layers.{depth}.attention.sharpness" in weights:
        depth += 1
    try:
        width, n_inputs = weights["embed.weight"].shape
        heads, n_classes = len(weights["layers.0.attention.sharpness"]), len(weights["label.weight"])
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"the weights in {path} do not fit table1: they are those of another net") from error
    if width % heads:
        raise ValueError(f"the weights in {path} do not fit table1: {heads} heads do not divide {width} columns")
    return {"n_columns": n_inputs // 2, "n_classes": n_classes, "width": width, "depth": depth, "heads": heads}


def check_weights(path, net, weights):
    """Raise an error unless the weights have the names and shapes of the net's, and are finite."""
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise ValueError(
            f"the weights in {path} do not fit table1: {wrong[0]} should have the shape {expected.get(wrong[0])}, the "
            f"file has {found.get(wrong[0])}"
        )
    odd = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if odd:
        raise ValueError(f"the weights of table1 in {path} are not finite: {odd[0]}")


def read_temperature(path, settings):
    """Return the temperature that a file states; 1 if it states none."""
    text = settings.get("temperature", "1")
    try:
        temperature = float(text)
    except ValueError:
        temperature = 0.0
    if not 0.1 <= temperature <= 10:
        raise ValueError(f"the temperature of table1 in {path} must be a number from 0.1 to 10, got {text!r}")
    return temperature


def check_same(found, fitted):
    """Raise an error if an estimator was fitted with other weights than are here now; both are SHA-256."""
    if found != fitted:
        raise ValueError(
            f"this estimator was fitted with the weights of table1 whose SHA-256 begins with {fitted[:12]}, and those "
            f"here begin with {found[:12]}: fit again, or point {VARIABLE} at the file of that time"
        )
