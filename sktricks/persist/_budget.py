"""A limit for the size of a net that is being built by what an archive says.

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

from ._codec import Malformed

HOOKS = (register_module_parameter_registration_hook, register_module_buffer_registration_hook)
SPARE = 2**25  # numbers that a net may have beyond what is saved, such as those of a classifier that is taken off


@contextmanager
def at_most(n_saved):
    """Inside, an error if this thread builds a net of far more numbers than an archive has."""
    thread, most, count = threading.get_ident(), 2 * n_saved + SPARE, 0

    def register(module, name, tensor):
        nonlocal count
        if tensor is None or threading.get_ident() != thread:
            return
        count += tensor.numel()
        if count > most:
            raise Malformed(f"must have the weights of its net, got {n_saved} numbers for a net of over {most}")

    hooks = [hook(register) for hook in HOOKS]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
