"""Deploy fitted estimators: export to ONNX, distillation, pruning and batched predictions.

Public names are loaded on first use: the converters import whatever they convert, whereas :class:`OnnxModel` requires
only numpy and onnxruntime.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
