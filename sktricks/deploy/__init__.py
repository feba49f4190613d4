"""From a fitted estimator to what runs without this package: one ONNX file, checked before it is written.

The modules that convert import what they convert; :class:`OnnxModel` needs numpy and onnxruntime alone. For this reason
the names below are loaded on first use.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
