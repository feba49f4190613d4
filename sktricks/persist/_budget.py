"""Limit the size of a net that is built from the settings in an archive.

The weights in the archive determine how large the net may be. Each parameter of a module is counted when it is
registered, before its memory is written, so a net that is too large is refused before it uses memory.
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
SLACK = 2**25  # additional parameters a net may have, such as those of a classifier head, which is removed


@contextmanager
def at_most(n_saved):
    """Context manager that raises an error if this thread builds a net with far more parameters than saved."""
    thread, most, count = threading.get_ident(), 2 * n_saved + SLACK, 0

    def register(module, name, tensor):
        nonlocal count
        if tensor is not None and threading.get_ident() == thread:
            count += tensor.numel()
            require(
                count <= most,
                f"must have all weights of its net, got {n_saved} for a net of more than {most}",
            )

    hooks = [hook(register) for hook in HOOKS]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
