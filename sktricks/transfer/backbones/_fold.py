"""Copy a backbone for faster encoding: BatchNorms are folded into convolutions, and channels are last in memory.

In evaluation mode, a BatchNorm scales and shifts each channel, which the convolution before it can do instead. A
recorded forward pass shows which convolution that is, so that any net can be folded. The copy has submodules with the
same names, and is used only if its features agree with those of the backbone.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..._threads import ForkSafeLock
from ..freezing._fixed_outputs import attributes_of
from ..freezing._freeze import set_frozen
from ..freezing._layers import Listener, evaluating
from ._stages import main_tensor

if TYPE_CHECKING:
    from ._backbone import Backbone

TOLERANCE = 1e-5  # relative to the largest feature of a stage
UNKNOWN = object()  # a placeholder where None is a valid value
FOLDING = ForkSafeLock()  # held while copying, so that no other thread changes the mode or the hooks of the backbone
AT_MOST = 2  # encoders to keep: copies of a backbone share them, and one of the copies may have been changed


class Encoder(NamedTuple):
    """A net that computes the same features as a backbone.

    Parameters
    ----------
    backbone : Backbone
        The folded copy, or the backbone itself if nothing in it can be folded.
    n_folded : int
        Number of folded BatchNorms.
    """

    backbone: Backbone
    n_folded: int = 0


class EncoderHolder:
    """The encoders of a backbone, shared by its copies; an unpickled backbone creates its own."""

    def __init__(self):
        self._encoders = {}

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return EncoderHolder, ()

    def get(self, backbone, fingerprint, device):
        """Return the :class:`Encoder` of a backbone with this fingerprint on a device, created at the first call."""
        key = fingerprint, device
        with FOLDING():  # other threads that need the same encoder wait here
            encoder = self._encoders.get(key, UNKNOWN)
            if encoder is UNKNOWN:
                for old in list(self._encoders)[: 1 - AT_MOST]:
                    self._encoders.pop(old, None)
                encoder = self._encoders[key] = fold_copy(backbone.to(device))
        return encoder or Encoder(backbone.eval() if backbone.training else backbone)


@torch.inference_mode(False)  # tensors created in inference mode have no version counters
@torch.no_grad()
def fold_copy(backbone):
    """Return the :class:`Encoder` of a folded copy of a backbone, or None if nothing can be folded."""
    if not any(isinstance(part, nn.BatchNorm2d) for part in backbone.modules()):
        return None
    folded = deepcopy(backbone)
    set_frozen(folded.model, folded.layer_order, 0)  # removes hooks, which take time, from a net that is only evaluated
    folded.eval().requires_grad_(False)
    x = make_noise(backbone)
    try:
        n_folded = fold(folded, x)
        if n_folded == 0 or not agree(backbone, folded, x):
            return None
    except Exception:  # the code of a net may read an attribute that a replaced module lacks
        return None
    return Encoder(channels_last(folded, x.device), n_folded)


def channels_last(images_or_net, device):
    """Return images or a net in channels-last memory format, which is faster, except on Apple's MPS."""
    return images_or_net if device.type == "mps" else images_or_net.to(memory_format=torch.channels_last)


class PointwiseConv(nn.Module):
    """A 1 x 1 convolution by oneDNN, which torch itself uses only for larger kernels; it takes a seventh less time.

    Parameters
    ----------
    conv : torch.nn.Conv2d
    """

    def __init__(self, conv):
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, input):  # the name as in torch, since a net may pass it by keyword
        """Return the outputs, (n, channels, height, width)."""
        if input.dtype != self.weight.dtype:  # under autocast, which does not support oneDNN's function
            return F.conv2d(input, self.weight, self.bias)
        return torch.mkldnn_convolution(input, self.weight, self.bias, (0, 0), (1, 1), (1, 1), 1)


def is_pointwise(part):
    """Return True for a convolution that :class:`PointwiseConv` can replace."""
    settings = {"kernel_size": (1, 1), "stride": (1, 1), "padding": (0, 0), "groups": 1}
    fits = (
        type(part) is nn.Conv2d and is_plain(part) and all(getattr(part, name) == settings[name] for name in settings)
    )
    return fits and part.weight.device.type == "cpu" and part.weight.dtype == torch.float32


def make_noise(backbone):
    """Return two preprocessed images of noise."""
    noise = torch.randn(2, *backbone.input_shape, generator=torch.Generator().manual_seed(0))
    first = next(backbone.parameters())
    return noise.to(first.device, first.dtype)


def fold(backbone, x):
    """Fold the BatchNorms of a backbone where possible, in place; return their number."""
    pairs = find_pairs(backbone, x)
    for conv, norm in pairs:
        put(backbone.model, conv, fuse_conv_bn_eval(*map(backbone.model.get_submodule, (conv, norm))))
        put(backbone.model, norm, nn.Sequential(*backbone.model.get_submodule(norm).children()))
    if pairs and torch.backends.mkldnn.is_available():
        for name, part in list(backbone.model.named_modules()):
            if is_pointwise(part):
                put(backbone.model, name, PointwiseConv(part))
    return len(pairs)


def find_pairs(backbone, x):
    """Return the names of each convolution and of the BatchNorm that is called with its output, both called once."""
    model = backbone.model
    parts = {name: part for name, part in model.named_modules() if is_plain(part)}
    calls = {name: [] for name in parts}
    shown, hooks = [], []  # shown: outputs that are used as features

    def note(name, inputs, output):
        x = inputs[0] if inputs else None  # a module that is called by keyword is not folded
        calls[name].append((x, output, output._version))

    def show(part, inputs, output):
        shown.append(main_tensor(output))

    for name, part in parts.items():
        hooks.append(part.register_forward_hook(lambda part, inputs, output, name=name: note(name, inputs, output)))
    hooks += [model.get_submodule(name).register_forward_hook(show) for name in ("", *backbone.stages)]
    try:
        backbone.run(x)
    finally:
        for hook in hooks:
            hook.remove()
    once = {name: one[0] for name, one in calls.items() if len(one) == 1}
    convs = {
        id(output): name
        for name, (_, output, version) in once.items()
        if isinstance(parts[name], nn.Conv2d) and output._version == version and all(output is not one for one in shown)
    }
    norms = {name: convs.get(id(once[name][0])) for name in once if isinstance(parts[name], nn.BatchNorm2d)}
    fed = list(norms.values())
    return [(conv, norm) for norm, conv in norms.items() if conv is not None and fed.count(conv) == 1]


def is_plain(part):
    """Return True for a convolution or BatchNorm without hooks or parametrizations."""
    hooks = part._forward_pre_hooks or any(type(hook) is not Listener for hook in part._forward_hooks.values())
    changed = hooks or "forward" in attributes_of(part) or parametrize.is_parametrized(part)
    is_norm = isinstance(part, nn.BatchNorm2d) and part.running_mean is not None
    return (is_norm or isinstance(part, nn.Conv2d)) and not changed


def put(model, name, part):
    """Replace the submodule of this name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, part)


def agree(backbone, folded, x):
    """Return True if the features of all stages and of the whole net agree."""
    with evaluating(backbone):
        expected, found = ([net.features(x), net.features(x, backbone.stages)] for net in (backbone, folded))
        widths = backbone.widths(backbone.stages)
        expected, found = ([whole, *of_stages.split(widths, 1)] for whole, of_stages in (expected, found))
    return all(is_close(a, b) for a, b in zip(expected, found, strict=True))


def is_close(expected, found):
    """Return True if two tensors differ only by rounding; NaN is never close."""
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())
