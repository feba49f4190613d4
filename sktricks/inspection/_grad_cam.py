"""Grad-CAM: where the convolutions of a fine-tuned net find what speaks for a class."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..training._inputs import images_to_tensor
from ..transfer.backbones._backbone import Backbone
from ..transfer.backbones._stages import main_tensor, recording_shapes
from ..transfer.freezing._layers import forward_hooks

BATCH = 16  # images at once, whose gradients go through the whole backbone
FINE = 8  # positions along each side of a map, as many as parts of the image that the check of the maps hides


def explained_stage(net) -> str | None:
    """Return the name of the stage whose output Grad-CAM weighs; None if the net has no such stage.

    It is the last stage whose map has at least 8 x 8 positions, and not after the first stage that the head reads,
    since all that the head sees depends on that one. The output must be a map of channels, from convolutions. If no map
    is as fine, it is the last one.

    Parameters
    ----------
    net : BaseFineTune
        Fitted.
    """
    prefix = getattr(net, "_prefix", None)
    if prefix is None:
        return None
    backbone = prefix.backbone
    if not any(isinstance(part, nn.modules.conv._ConvNd) for part in backbone.model.modules()):
        return None
    order = backbone.stages
    last = min(map(order.index, prefix.stages)) if prefix.stages else len(order) - 1
    shapes = output_shapes(backbone)
    maps = [name for name in order[last::-1] if is_map(shapes[name], backbone._channel_axes[name])]
    fine = (name for name in maps if min(shapes[name][2:]) >= FINE)
    return next(fine, maps[0] if maps else None)


def output_shapes(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the outputs of all modules of a backbone, by name."""
    first = next(backbone.model.parameters())
    x = torch.zeros(1, *backbone.input_shape, device=first.device, dtype=first.dtype)
    model = deepcopy(backbone.model).eval()
    with torch.no_grad(), recording_shapes(model) as shapes:
        model(x)
    return shapes


def is_map(shape: tuple[int, ...], channel_axis: int) -> bool:
    """Return True for the shape of maps of channels, (n, channels, height, width), of more than one position."""
    return len(shape) == 4 and channel_axis == 1 and min(shape[2:]) > 1


def grad_cam_maps(net, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return how much each position speaks for a class, from 0, as (n, height, width).

    The channels of a stage, weighted by the gradient of the class's logit, are added (Selvaraju et al. 2017). As in
    LayerCAM (Jiang et al. 2021), the gradients are not averaged over the positions, and negative ones count as 0: then
    stages before the last one give good maps too, and theirs are finer. The map is resized to the images.

    Parameters
    ----------
    net : FineTuneClassifier
        Fitted, with an :func:`explained_stage`; it is not changed.
    images : ndarray of shape (n, height, width, channels)
        Images as ``predict_proba`` takes them.
    targets : int ndarray of shape (n,)
        Index of the class to explain, for each image.
    """
    stage, prefix = explained_stage(net), net._prefix
    module = deepcopy(net.net_.module_).eval().requires_grad_(False)
    prepare, parts = prefix.prepare(), []
    x = images_to_tensor(net._check_X(images, reset=False)[0], prefix.value_range)
    for start in range(0, len(images), BATCH):
        some, codes = x[start : start + BATCH], torch.from_numpy(targets[start : start + BATCH])
        inputs = prepare(some.to(prefix.device))[0].requires_grad_(True)
        maps = weigh_channels(module, stage, inputs, codes.to(prefix.device))
        parts.append(F.interpolate(maps[:, None], images.shape[1:3], mode="bilinear", align_corners=False)[:, 0].cpu())
    return torch.cat(parts).numpy()


def weigh_channels(module, stage, inputs, codes):
    """Return the sum of the channels of a stage, weighted by the gradients of the logits of some classes."""
    found = []

    def note(_, output):
        found.append(main_tensor(output))

    with torch.enable_grad(), forward_hooks(module.backbone.model, [stage], note):
        logits = module(inputs)
        score = logits[torch.arange(len(codes)), codes] if logits.shape[1] > 1 else (2 * codes - 1) * logits[:, 0]
        (gradient,) = torch.autograd.grad(score.sum(), found[0])
    return (gradient.relu() * found[0]).sum(1).relu().detach().float()
