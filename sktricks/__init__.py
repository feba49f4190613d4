"""Deep learning's everyday tricks as scikit-learn estimators: augment, transfer, ensemble."""

from __future__ import annotations

import lazy_loader

__version__ = "0.1.0"

_getattr, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *_names]


def __getattr__(name):
    return _getattr(name)
