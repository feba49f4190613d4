"""Backbones of the user's own: a module class, a factory or an instance."""

from copy import deepcopy

import torch
from torch import nn

from .._layers import call_order, evaluating, layers_of
from ._base import Backbone, Preprocess


def load_own(spec, image_shape):
    """A backbone from a module class or factory (called without arguments) or from an instance (copied).

    A linear layer that ends the net is its classifier and is taken off. Images come as they are, scaled to 0..1; grey
    images for a net of three input channels are repeated, and the reverse.
    """
    model = deepcopy(spec) if isinstance(spec, nn.Module) else spec()
    if not isinstance(model, nn.Module):
        raise TypeError(f"backbone must give a torch module, {spec!r} gave {type(model).__name__}")
    preprocess = Preprocess(channels=input_channels(model, image_shape))
    example = preprocess(torch.zeros(1, image_shape[2], *image_shape[:2]))
    name = type(model).__name__
    return Backbone(without_classifier(model, example), preprocess, example, name)


def input_channels(model, image_shape):
    """The channels of the images if the model takes them, else 3 or 1, tried in this order."""
    height, width, given = image_shape
    errors = []
    for channels in dict.fromkeys((given, 3, 1)):
        try:
            with evaluating(model):
                model(torch.zeros(1, channels, height, width))
            return channels
        except RuntimeError as error:
            errors.append(error)
    raise ValueError(f"backbone cannot take images of shape {image_shape}: {errors[0]}") from errors[0]


def without_classifier(model, example):
    """The model with the linear layer that it ends with replaced by the identity."""
    layers = layers_of(model, call_order(model, lambda: model(example)))
    last = layers[-1] if layers else None
    if last is None or not isinstance(last.module, nn.Linear) or not last.name:
        return model
    with evaluating(model):
        n_outputs = model(example).shape[-1]
    if n_outputs != last.module.out_features:
        return model  # a linear layer inside, such as a gate's, not the one that the output comes from
    parent, _, child = last.name.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return model
