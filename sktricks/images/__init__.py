"""Where images come from: folders, files, decoding, and a loader."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"_image_folder": ["read_image_folder"], "_image_loader": ["ImageLoader"]}
)
