"""Make submodules return fixed outputs temporarily, in one thread."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from ..._threads import ForkSafeLock

REPLACING = ForkSafeLock()  # held while the ``forward`` of a module is replaced


class FixedForward:
    """A replacement for a module's ``forward`` that returns fixed outputs in threads that have set them.

    Other threads get the computed output. Copies and pickles, which another thread may create at the same time, have no
    fixed outputs.

    Parameters
    ----------
    part : torch.nn.Module
    """

    def __init__(self, part):
        self.replaced, self.compute, self.outputs = vars(part).get("forward"), part.forward, {}

    def __call__(self, *args, **kwargs):
        output = self.outputs.get(threading.get_ident())
        return self.compute(*args, **kwargs) if output is None else output

    def __getstate__(self):
        return {**vars(self), "outputs": {}}


@contextmanager
def fixed_outputs(model, outputs):
    """Make submodules return the given outputs, by name, without computation, in this thread within the context."""
    parts, thread = {name: model.get_submodule(name) for name in outputs}, threading.get_ident()
    try:
        with REPLACING():
            for name, part in parts.items():
                fix_output(part, thread, outputs[name])
        yield
    finally:
        with REPLACING():
            for part in parts.values():
                release_output(part, thread)


def fix_output(part, thread, output):
    """Make a module return an output in a thread."""
    if not isinstance(vars(part).get("forward"), FixedForward):
        part.forward = FixedForward(part)
    part.forward.outputs[thread] = output


def release_output(part, thread):
    """Make a module compute again in a thread; after the last thread, restore its own ``forward``."""
    fixed = vars(part).get("forward")
    if not isinstance(fixed, FixedForward):
        return
    fixed.outputs.pop(thread, None)
    if not fixed.outputs:
        del part.forward
        if fixed.replaced is not None:
            part.forward = fixed.replaced


def attributes_of(part):
    """Return the attributes of a module as without fixed outputs, which another thread may set or release."""
    own = dict(vars(part))
    fixed = own.get("forward")
    if isinstance(fixed, FixedForward):
        del own["forward"]
        if fixed.replaced is not None:
            own["forward"] = fixed.replaced
    return own
