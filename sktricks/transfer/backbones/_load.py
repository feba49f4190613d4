"""From what a user writes to a backbone."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._base import Backbone


def list_backbones() -> list[str]:
    """The backbones that can be loaded by name.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from sktricks import list_backbones
    >>> list_backbones()
    ['tiny32']
    """
    return ["tiny32"]


def load_backbone(spec="tiny32", *, image_shape: tuple[int, int, int] = (32, 32, 3)) -> "Backbone":
    """Load a net without its classifier.

    Parameters
    ----------
    spec : str, module class, factory or torch.nn.Module, default="tiny32"
        A name that :func:`list_backbones` gives, a class or factory that makes a module without arguments, or an
        instance, which is copied.
    image_shape : tuple, default=(32, 32, 3)
        (height, width, channels) of the images, for a module of your own.

    Returns
    -------
    backbone : Backbone
        With ``stages``, ``num_features``, ``features(x)``, ``preprocess`` and ``fingerprint()``.

    Raises
    ------
    ValueError
        If the name is unknown or the file of weights is damaged.

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
    if spec == "tiny32":
        from ._bundled import load_tiny32

        return load_tiny32()
    if isinstance(spec, str):
        raise ValueError(f"backbone={spec!r} is unknown; by name there are {list_backbones()}, or pass a torch module")
    if not callable(spec):
        raise TypeError(f"backbone must be a name, a module class, a factory or an instance, got {spec!r}")
    from ._own import load_own

    return load_own(spec, image_shape)
