"""Grad-CAM: the positions at which the convolutions of a fine-tuned net find evidence for a class."""

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

BATCH = 16  # images per batch, since gradients are computed for the whole backbone
FINE = 8  # minimum positions per side of a map, as many as cells in the check of the maps


def explained_stage(net) -> str | None:
    """Return the name of the stage whose output Grad-CAM weights, or None if the net has no such stage.

    This is the last stage whose output has at least 8 x 8 positions, and at most the first stage of the head, since all
    features of the head depend on it. The output must be maps of channels, from convolutions. If no stage has as many
    positions, it is the last one.

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
    """Return True for the shape of channel maps, (n, channels, height, width), with more than one position."""
    return len(shape) == 4 and channel_axis == 1 and min(shape[2:]) > 1


def grad_cam_maps(net, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the evidence for a class at each position, from 0 on, as (n, height, width).

    The map is the sum of the channels of a stage, weighted by the gradient of the logit of the class (Selvaraju et al.
    2017). As in LayerCAM (Jiang et al. 2021), the gradients are not averaged over positions, and negative ones count as
    0, so that earlier stages, whose maps are finer, give good maps, too. The map is resized to the images.

    Parameters
    ----------
    net : FineTuneClassifier
        Fitted, with an :func:`explained_stage`; it is not changed.
    images : ndarray of shape (n, height, width, channels)
        Images in the form that ``predict_proba`` accepts.
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
