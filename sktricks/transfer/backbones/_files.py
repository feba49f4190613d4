"""Backbones from a file of weights and the spec of the net that they are for."""

from pathlib import Path

from ._assemble import fit_images, make_example
from ._classifier import find_classifiers
from ._weights import compare, misfit, read_weights

SEPARATOR = "::"


def split_file(text):
    """The path and the spec in ``"<path>::<spec>"``."""
    path, _, spec = text.partition(SEPARATOR)
    if not path or not spec:
        raise ValueError(
            f"a file of weights needs the net that they are for, backbone='file:{path}{SEPARATOR}<spec>', where <spec> "
            f"is such as 'timm:resnet18' or 'package.module:factory'; got 'file:{text}'"
        )
    if spec.startswith("hf:"):
        raise ValueError(f"transformers keeps weights in folders: pass backbone='hf:<folder>', not 'file:{text}'")
    return Path(path).expanduser(), spec


def load_weights(net, path, image_shape):
    """Put the weights of a file into a net; its classifier's, of however many classes, do not count."""
    weights = read_weights(path)
    fitted = fit_images(net, image_shape)
    heads = find_classifiers(fitted.model, make_example(fitted.preprocess, image_shape))
    differing = compare(net.model, weights, heads)
    if differing:
        raise misfit(path, net.name, differing)
    own = {name: tensor for name, tensor in weights.items() if not any(name.startswith(f"{head}.") for head in heads)}
    net.model.load_state_dict(own, strict=False)
