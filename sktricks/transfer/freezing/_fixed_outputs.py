"""Parts of a module that return fixed outputs for a while, in one thread."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from ..._threads import ForkSafeLock

REPLACING = ForkSafeLock()  # held while the ``forward`` of a part is replaced


class FixedForward:
    """Stands for the ``forward`` of a part: threads get the outputs that they have fixed, others what it computes.

    Its copies and pickles, which another thread may make meanwhile, have no fixed outputs.

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
    """Let parts of a model return these outputs, by name, without computing anything, in this thread and context."""
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
    """Let a part return an output in a thread."""
    if not isinstance(vars(part).get("forward"), FixedForward):
        part.forward = FixedForward(part)
    part.forward.outputs[thread] = output


def release_output(part, thread):
    """Let a part compute again in a thread; with the last thread, it gets its own ``forward`` back."""
    fixed = vars(part).get("forward")
    if not isinstance(fixed, FixedForward):
        return
    fixed.outputs.pop(thread, None)
    if not fixed.outputs:
        del part.forward
        if fixed.replaced is not None:
            part.forward = fixed.replaced


def attributes_of(part):
    """Return the attributes of a part as they are without fixed outputs, which another thread may fix or release."""
    own = dict(vars(part))
    fixed = own.get("forward")
    if isinstance(fixed, FixedForward):
        del own["forward"]
        if fixed.replaced is not None:
            own["forward"] = fixed.replaced
    return own
