"""Find and remove the classifier of a net."""

from __future__ import annotations

from contextlib import contextmanager

from torch import nn

from ..freezing._layers import call_order, evaluating, layers_of
from ._stages import main_tensor, recording_shapes

CLASSIFIERS = ("fc", "classifier", "head", "heads", "last_linear")  # usual names
AUXILIARY = ("AuxLogits", "aux1", "aux2")  # Inception and GoogLeNet use these classifiers only in training


def find_classifiers(model, example):
    """Return the names of the layers that classify features, an empty list if there are none.

    Nets of timm declare them, and a base model of transformers has none. In other nets, the classifier is the last
    layer of a forward pass, if it is a linear layer as wide as the output, or a convolution in a module with a usual
    name. To exclude the last layer of a residual block, which belongs to the features, the net must run without the
    classifier and then return features of another width.
    """
    if hasattr(model, "get_classifier") and hasattr(model, "pretrained_cfg"):
        kept = model.get_classifier()
        kept = kept if isinstance(kept, tuple) else (kept,)
        return [
            name for name, part in model.named_modules() if any(part is one for one in kept) and has_parameters(part)
        ]
    output, shapes, layers = run_once(model, example)
    name = None if is_base_model(model, output) else find_candidate(layers, shapes.get("", ()))
    return [name] if name and gives_other_features(model, name, example, shapes[""]) else []


def run_once(model, example):
    """Return the output of a forward pass, the shapes of all outputs by name, and the layers in execution order."""
    outputs = []
    with recording_shapes(model) as shapes:
        order = call_order(model, lambda: outputs.append(model(example)))
    return outputs[0], shapes, [layer for layer in layers_of(model, order) if layer.name in shapes]


def is_base_model(model, output):
    """Return True for a model of transformers that returns no logits."""
    return hasattr(model, "base_model_prefix") and not hasattr(output, "logits")


def find_candidate(layers, shape):
    """Return the name of the last layer if its type, and the shape of the output, match a classifier."""
    name, module = layers[-1] if layers else ("", None)
    if isinstance(module, nn.Linear) and shape[-1:] == (module.out_features,):
        return name
    if isinstance(module, nn.Conv2d) and shape[1:] == (module.out_channels,):
        return name if any(part in CLASSIFIERS for part in name.split(".")) else None
    return None


def gives_other_features(model, name, example, shape):
    """Return True if the net runs without a layer, and its output then has another shape."""
    try:
        with bypassed(model, name), evaluating(model):
            output = main_tensor(model(example))
    except Exception:  # a net without a layer that it requires may raise any error
        return False
    return output is not None and tuple(output.shape) != shape


@contextmanager
def bypassed(model, name):
    """Replace the layer of this name by the identity, inside the context."""
    kept = model.get_submodule(name)
    replace_part(model, name, nn.Identity())
    try:
        yield
    finally:
        replace_part(model, name, kept)


def replace_part(model, name, part):
    """Replace the submodule of this name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, part)


def has_parameters(module):
    """Return True if a module has parameters."""
    return next(module.parameters(), None) is not None


def remove_classifier(model, example):
    """Replace the classifier of a model by the identity, in place, and remove auxiliary classifiers."""
    remove_auxiliary(model)
    names = find_classifiers(model, example)
    if names and hasattr(model, "reset_classifier"):
        model.reset_classifier(0)
        return model
    for name in names:
        replace_part(model, name, nn.Identity())
    return model


def remove_auxiliary(model):
    """Remove the auxiliary classifiers of Inception and GoogLeNet, which fail on small images in training."""
    if getattr(model, "aux_logits", False) is not True:
        return
    model.aux_logits = False
    for name in AUXILIARY:
        if isinstance(getattr(model, name, None), nn.Module):
            setattr(model, name, None)
