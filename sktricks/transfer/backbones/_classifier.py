"""Taking the classifier off a net."""

from torch import nn

from .._layers import call_order, layers_of
from ._stages import watching

PARTS = ("fc", "classifier", "head", "heads", "last_linear")  # where nets keep it, by name


def find_classifiers(model, example):
    """The names of the layers that turn features into classes; none where the net ends otherwise.

    A net of timm says itself. Of others it is the last layer that a forward pass runs, if it is linear and as wide as
    the output. If it is a convolution, the output must have no places left and the layer lie in a part of the net that
    is called a classifier, for many a net without one ends with a convolution too.
    """
    if hasattr(model, "get_classifier") and hasattr(model, "pretrained_cfg"):
        kept = model.get_classifier()
        kept = kept if isinstance(kept, tuple) else (kept,)
        return [name for name, part in model.named_modules() if any(part is one for one in kept) and weighs(part)]
    with watching(model) as shapes:
        order = call_order(model, lambda: model(example))
    layers = [layer for layer in layers_of(model, order) if layer.name in shapes]
    name, module = layers[-1] if layers else ("", None)
    output = shapes.get("", ())
    if isinstance(module, nn.Linear):
        return [name] if name and output[-1:] == (module.out_features,) else []
    if isinstance(module, nn.Conv2d) and output[1:] == (module.out_channels,):
        return [name] if any(part in PARTS for part in name.split(".")) else []
    return []


def weighs(module):
    """Whether a module has parameters at all."""
    return next(module.parameters(), None) is not None


def remove_classifier(model, example):
    """The model, changed, with the identity in the place of its classifier."""
    names = find_classifiers(model, example)
    if names and hasattr(model, "reset_classifier"):
        model.reset_classifier(0)
        return model
    for name in names:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Identity())
    return model
