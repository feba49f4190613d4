"""What every backbone has, wherever it comes from: stages, a preprocessing, features."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .._fingerprint import fingerprint_of
from .._layers import call_order, evaluating, layers_of, own_tensors

QUARTERS_UP_TO = 256  # channels of a stage up to which the quarters of an image are looked at one by one


@dataclass(frozen=True)
class Preprocess:
    """From images in 0..1, (n, channels, height, width), to what a net was trained on.

    Parameters
    ----------
    size : tuple of int or None
        (height, width) to resize to, bilinearly; None keeps the size.
    channels : int or None
        1 or 3: grey images become three equal channels, colour images their mean. None keeps them.
    mean, std : tuple of float or None
        Subtracted and divided by, per channel.
    """

    size: tuple | None = None
    channels: int | None = None
    mean: tuple | None = None
    std: tuple | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Resize, match the channels, normalise."""
        if self.channels == 3 and x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        elif self.channels == 1 and x.shape[1] == 3:
            x = x.mean(1, keepdim=True)
        if self.channels is not None and x.shape[1] != self.channels:
            raise ValueError(f"the backbone needs images of {self.channels} channels, X has {x.shape[1]}")
        if self.size is not None and x.shape[2:] != self.size:
            smaller = x.shape[2] > self.size[0] or x.shape[3] > self.size[1]
            x = F.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=smaller)
        if self.mean is not None:
            mean, std = (x.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
            x = (x - mean) / std
        return x


class Backbone(nn.Module):
    """A net without its classifier.

    Parameters
    ----------
    model : torch.nn.Module
        Its stages are its direct parts that have parameters.
    preprocess : Preprocess
    example : torch.Tensor of shape (1, channels, height, width)
        A preprocessed image; a forward pass of it shows the order of the layers and the sizes of the features.
    name : str
    default_stages : list of str or None, default=None
        The stages whose features serve best; None: the model's own output.

    Attributes
    ----------
    stages : list of str
        The names of the stages, in execution order.
    layer_order : list of str
        The names of all modules of ``model``, in execution order.
    num_features : int
        The length of what :meth:`features` returns by default.
    """

    def __init__(self, model, preprocess, example, name, default_stages=None):
        super().__init__()
        self.model, self.preprocess, self.name, self.default_stages = model, preprocess, name, default_stages
        self.layer_order = call_order(model, lambda: model(example))
        direct = dict(model.named_children())
        self.stages = [n for n in self.layer_order if n in direct and any(map(own_tensors, direct[n].modules()))]
        with evaluating(model):
            self.num_features = self.features(example).shape[1]

    @property
    def layers(self):
        """The layers of the model, in execution order."""
        return layers_of(self.model, self.layer_order)

    def features(self, x: torch.Tensor, stages: list[str] | None = None) -> torch.Tensor:
        """One row of numbers per preprocessed image.

        Parameters
        ----------
        x : Tensor of shape (n, channels, height, width)
        stages : list of str, default=None
            Of each of them the mean over the image and, where it has no more than 256 channels, the means of the four
            quarters. None: the model's own output.

        Returns
        -------
        features : Tensor of shape (n, features)
        """
        if stages is None:
            return pool(self.model(x))
        seen = {}
        hooks = [
            self.model.get_submodule(name).register_forward_hook(
                lambda module, inputs, output, name=name: seen.__setitem__(name, output)
            )
            for name in stages
        ]
        try:
            self.model(x)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat([pool(seen[name], quarters=True) for name in stages], 1)

    forward = features

    def fingerprint(self) -> str:
        """A hash of weights, buffers, code and preprocessing: equal exactly if the features are."""
        return fingerprint_of(self)


def pool(x, quarters=False):
    """The mean over the positions of (n, channels, height, width) or (n, tokens, channels), and of the quarters."""
    if x.ndim == 3:
        return x.mean(1)
    if x.ndim == 2:
        return x
    whole = x.mean((2, 3))
    if not quarters or x.shape[1] > QUARTERS_UP_TO or min(x.shape[2:]) < 2:
        return whole
    return torch.cat([whole, F.adaptive_avg_pool2d(x, 2).flatten(1)], 1)
