"""A boundary inside a net: what its frozen part says to the rest, and the rest alone.

While part of a backbone is frozen, what it makes of an image is the same in every epoch and need be computed only once.
A net is any code, so where it can be cut is found by trying: all frozen parts but the last say nothing but zeros, the
last repeats what it said before, and if the features come out the same, the rest needs to hear nothing else.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import NamedTuple

import torch

from ..backbones._backbone import Enough
from ._layers import evaluating, own_tensors


class Boundary(NamedTuple):
    """Where the frozen part of a backbone ends.

    Parameters
    ----------
    name : str
        The frozen part whose output is all that the rest needs.
    shapes : dict
        Of the outputs of all frozen parts for one image, by their names.
    image_shape : tuple of int
        Of a preprocessed image.
    """

    name: str
    shapes: dict
    image_shape: tuple

    @property
    def n_values(self):
        """How many numbers cross the boundary for an image."""
        return torch.Size(self.shapes[self.name]).numel()

    def encode_prefix(self, backbone, x):
        """What crosses the boundary for preprocessed images, (n, values); nothing behind it is computed."""

        def stop(part, inputs, output):
            raise Enough(output)

        hook = backbone.model.get_submodule(self.name).register_forward_hook(stop)
        try:
            backbone.run(x)
        except Enough as enough:
            return enough.args[0].flatten(1)
        finally:
            hook.remove()

    def run_suffix(self, backbone, values, stages):
        """The features that the rest makes of what crossed the boundary."""
        n_rows = len(values)
        outputs = {name: values.new_zeros(n_rows, *shape) for name, shape in self.shapes.items() if name != self.name}
        crossed = values.unflatten(1, self.shapes[self.name])
        if crossed.ndim == 4:
            crossed = crossed.contiguous(memory_format=torch.channels_last)  # as the images were
        with saying(backbone.model, {**outputs, self.name: crossed}):
            return backbone.features(values.new_zeros(1, *self.image_shape).expand(n_rows, -1, -1, -1), stages)


@contextmanager
def saying(model, outputs):
    """Inside, parts of a model compute nothing and return these outputs, by their names."""
    parts = [model.get_submodule(name) for name in outputs]
    try:
        for part, output in zip(parts, outputs.values(), strict=True):
            part.forward = lambda *args, output=output, **kwargs: output
        yield
    finally:
        for part in parts:
            vars(part).pop("forward", None)


# -- finding it --------------------------------------------------------------------------------------------------------


def find_crossing(backbone, n_frozen, stages, image_shape):
    """The :class:`Boundary` behind the first ``n_frozen`` layers; None where the net cannot be cut there.

    Parameters
    ----------
    backbone : Backbone
    n_frozen : int
    stages : list of str or None
        Where the features come from.
    image_shape : tuple of int
        (height, width, channels) of an image before it is preprocessed.
    """
    x = backbone.preprocess(example_images(image_shape, next(backbone.parameters()).device))
    frozen = {layer.module for layer in backbone.layers[:n_frozen]}
    with evaluating(backbone):
        expected, outputs = watch(backbone, frozen_parts(backbone.model, frozen), x, stages)
        if not outputs or not all(is_one_tensor(said, len(x)) for said in outputs.values()):
            return None
        shapes = {name: tuple(said[0].shape[1:]) for name, said in outputs.items()}
        boundary = Boundary(list(shapes)[-1], shapes, tuple(x.shape[1:]))
        try:
            features = boundary.run_suffix(backbone, boundary.encode_prefix(backbone, x), stages)
        except (RuntimeError, TypeError, ValueError, IndexError):  # the net looks at what was silenced
            return None
    rounding = 1e-5 * expected.abs().max().item()  # of sums over features of any size
    return boundary if torch.allclose(features, expected, rtol=1e-3, atol=rounding) else None


def example_images(image_shape, device):
    """Two images of noise, (2, channels, height, width) in 0..1, for which no part of a net says zero."""
    height, width, channels = image_shape
    noise = torch.rand(2, height, width, channels, generator=torch.Generator().manual_seed(0))
    return noise.permute(0, 3, 1, 2).to(device)


def frozen_parts(model, frozen, name=""):
    """The names of the largest parts of a model all of whose layers are frozen."""
    for child, part in model.named_children():
        layers = [inner for inner in part.modules() if own_tensors(inner)]
        if layers and all(layer in frozen for layer in layers) and not isinstance(part, CONTAINERS):
            yield name + child
        elif layers:
            yield from frozen_parts(part, frozen, f"{name}{child}.")


CONTAINERS = torch.nn.ModuleList, torch.nn.ModuleDict  # which are never called


def watch(backbone, names, x, stages):
    """The features of images, and all outputs of some parts on the way, by name in the order of the first call."""
    outputs = {}
    hooks = [
        backbone.model.get_submodule(name).register_forward_hook(
            lambda part, inputs, output, name=name: outputs.setdefault(name, []).append(output)
        )
        for name in names
    ]
    try:
        return backbone.features(x, stages), outputs
    finally:
        for hook in hooks:
            hook.remove()


def is_one_tensor(said, n_rows):
    """Whether a part was called once and gave one tensor with a row for each image."""
    return len(said) == 1 and isinstance(said[0], torch.Tensor) and said[0].ndim > 1 and len(said[0]) == n_rows
