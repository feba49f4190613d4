"""Read the next batch of files in a background thread while the caller processes the current one."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread


def read_ahead(read, parts):
    """Yield ``read(part)`` for each part, in order; the next part is read while the caller uses the current one.

    At most two parts are in memory. An error in ``read`` is raised when its part is due. Each part has its own thread,
    so no thread outlives its part even if the generator is never closed; closing the generator waits for the thread.

    Parameters
    ----------
    read : callable
    parts : list
    """
    pending = None
    try:
        for k in range(len(parts)):
            result = read(parts[k]) if pending is None else pending.wait()
            pending = Call(read, parts[k + 1]) if k + 1 < len(parts) else None
            yield result
    finally:
        if pending is not None:
            pending.thread.join()


class Call:
    """A function call in its own thread."""

    def __init__(self, function, *args):
        self.future = Future()
        self.thread = Thread(target=self._run, args=(function, *args), name="sktricks-read-ahead")
        self.thread.start()

    def _run(self, function, *args):
        try:
            self.future.set_result(function(*args))
        except BaseException as error:  # raised by wait
            self.future.set_exception(error)

    def wait(self):
        """Wait for the result and return it, or raise the exception of the call."""
        self.thread.join()
        return self.future.result()
