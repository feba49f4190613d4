"""Backbones from a weights file and the spec of an architecture."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from ._assemble import fit_images, make_example
from ._classifier import find_classifiers
from ._weight_files import compare, first_line, misfit_of, read_weights

SEPARATOR = "::"


def split_file(text):
    """Return the path and the spec in ``"<path>::<spec>"``."""
    path, _, spec = text.partition(SEPARATOR)
    if not path or not spec:
        raise ValueError(
            f"backbone must name the net for the weights, 'file:{path}{SEPARATOR}<spec>' with a <spec> such as "
            f"'timm:resnet18' or 'package.module:factory', got 'file:{text}'"
        )
    if spec.startswith("hf:"):
        raise ValueError(f"backbone must be 'hf:<folder>' for a net of transformers, got 'file:{text}'")
    return Path(os.path.expanduser(path)), spec


def load_weights(net, path, image_shape):
    """Load weights from a file into a net, except those of its classifier."""
    weights = read_weights(path)
    fitted = fit_images(net, image_shape)
    heads = find_classifiers(fitted.model, make_example(fitted, image_shape))
    if compare(net.model, weights, heads):
        raise misfit_of(path, net.name, net.model, weights, heads)
    own = {name: tensor for name, tensor in weights.items() if not any(name.startswith(f"{head}.") for head in heads)}
    versioned = OrderedDict(own)
    # Pass the versions of the modules: without them, a net may convert the weights as if an older version saved them.
    versioned._metadata = net.model.state_dict()._metadata
    try:
        net.model.load_state_dict(versioned, strict=False)
    except RuntimeError as error:
        raise misfit_of(path, net.name, net.model, weights, heads, first_line(error)) from error
