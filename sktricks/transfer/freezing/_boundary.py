"""Split a net at the boundary between a frozen prefix and a trainable suffix that can run on its own.

The output of a frozen prefix is the same in every epoch, so it is computed only once. A net may run any code, so a
boundary is found by a test: all frozen modules except the last return zeros, and the last returns its previous output.
If the features stay the same, the suffix depends only on this output.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..backbones._backbone import Enough, until_enough
from ._fixed_outputs import fixed_outputs
from ._layers import evaluating, forward_hooks, own_tensors

CONTAINERS = torch.nn.ModuleList, torch.nn.ModuleDict  # these are never called


class Boundary(NamedTuple):
    """The end of the frozen prefix of a backbone.

    Parameters
    ----------
    name : str
        Name of the frozen module whose output is the only input of the suffix.
    shapes : dict
        Output shapes of all frozen modules for one image, by name.
    image_shape : tuple of int
        Shape of a preprocessed image.
    """

    name: str
    shapes: dict
    image_shape: tuple

    @property
    def n_values(self):
        """Number of values per image at the boundary."""
        return torch.Size(self.shapes[self.name]).numel()

    def encode_prefix(self, backbone, x):
        """Return the values at the boundary for preprocessed images, (n, values), without running the suffix."""
        outputs = []

        def stop(name, output):
            outputs.append(output)
            raise Enough

        with until_enough(), forward_hooks(backbone.model, [self.name], stop):
            backbone.run(x)
        return outputs[0].flatten(1)

    def run_suffix(self, backbone, values, stages):
        """Return the features for values at the boundary."""
        n_rows = len(values)
        outputs = {name: values.new_zeros(n_rows, *shape) for name, shape in self.shapes.items() if name != self.name}
        output = values.unflatten(1, self.shapes[self.name])
        if output.ndim == 4:
            output = output.contiguous(memory_format=torch.channels_last)  # the format in the original forward pass
        with fixed_outputs(backbone.model, {**outputs, self.name: output}):
            return backbone.features(values.new_zeros(1, *self.image_shape).expand(n_rows, -1, -1, -1), stages)


# -- finding a boundary ------------------------------------------------------------------------------------------------


def find_crossing(backbone, n_frozen, stages, image_shape):
    """Return the :class:`Boundary` after the first ``n_frozen`` layers; None if the net cannot be split there.

    Parameters
    ----------
    backbone : Backbone
    n_frozen : int
    stages : list of str or None
        Stages whose features are used.
    image_shape : tuple of int
        (height, width, channels) of an image before preprocessing.
    """
    x = backbone.preprocess(example_images(image_shape, next(backbone.parameters()).device))
    frozen = {layer.module for layer in backbone.layers[:n_frozen]}
    with evaluating(backbone):
        expected, outputs = record_outputs(backbone, frozen_parts(backbone.model, frozen), x, stages)
        if not outputs or not all(is_one_tensor(calls, len(x)) for calls in outputs.values()):
            return None
        shapes = {name: tuple(calls[0].shape[1:]) for name, calls in outputs.items()}
        boundary = Boundary(list(shapes)[-1], shapes, tuple(x.shape[1:]))
        try:
            features = boundary.run_suffix(backbone, boundary.encode_prefix(backbone, x), stages)
        except (RuntimeError, TypeError, ValueError, IndexError):  # the suffix depends on another output
            return None
    rounding = 1e-5 * expected.abs().max().item()  # relative to the magnitude of the features
    return boundary if torch.allclose(features, expected, rtol=1e-3, atol=rounding) else None


def example_images(image_shape, device):
    """Return two images of noise, (2, channels, height, width) in 0..1, so that no module returns only zeros."""
    height, width, channels = image_shape
    noise = torch.rand(2, height, width, channels, generator=torch.Generator().manual_seed(0))
    return noise.permute(0, 3, 1, 2).to(device)


def frozen_parts(model, frozen, name=""):
    """Iterate over the names of the outermost modules whose layers are all frozen."""
    for child, part in model.named_children():
        layers = [inner for inner in part.modules() if own_tensors(inner)]
        if layers and all(layer in frozen for layer in layers) and not isinstance(part, CONTAINERS):
            yield name + child
        elif layers:
            yield from frozen_parts(part, frozen, f"{name}{child}.")


def record_outputs(backbone, names, x, stages):
    """Return the features of images, and lists of the outputs of modules, by name in the order of their first calls."""
    outputs = {}
    with forward_hooks(backbone.model, names, lambda name, output: outputs.setdefault(name, []).append(output)):
        return backbone.features(x, stages), outputs


def is_one_tensor(outputs, n_rows):
    """Return True if a module was called once and returned one tensor with one row per image."""
    first = outputs[0]
    return len(outputs) == 1 and isinstance(first, torch.Tensor) and first.ndim > 1 and len(first) == n_rows
