"""A limit for the size of a net that is built from the settings in an archive.

The weights in the archive say how large the net is. Each parameter of a module is counted when it is registered, before
it is filled, so that a net that is too large costs no memory, whatever makes it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from ._codec import require

HOOKS = (register_module_parameter_registration_hook, register_module_buffer_registration_hook)
SPARE = 2**25  # numbers that a net may have beyond what is saved, such as those of a classifier that is taken off


@contextmanager
def at_most(n_saved):
    """Raise an error if this thread builds a net of far more numbers than an archive has."""
    thread, most, count = threading.get_ident(), 2 * n_saved + SPARE, 0

    def register(module, name, tensor):
        nonlocal count
        if tensor is not None and threading.get_ident() == thread:
            count += tensor.numel()
            require(count <= most, f"must have the weights of its net, got {n_saved} numbers for a net of over {most}")

    hooks = [hook(register) for hook in HOOKS]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
