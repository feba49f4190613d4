"""Read the next batch of files in a background thread while the caller works on the one before."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread


def read_ahead(read, parts):
    """Yield ``read(part)`` for each part, in order; the next part is read while the caller uses the one before.

    At most two parts are in memory. An error in ``read`` is raised here when its part is due. Each part has a thread of
    its own, which ends with it, so that none stays even where nobody closes the generator; closing waits for it.

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
    """A call in a thread that ends after it."""

    def __init__(self, function, *args):
        self.future = Future()
        self.thread = Thread(target=self._run, args=(function, *args), name="sktricks-read-ahead")
        self.thread.start()

    def _run(self, function, *args):
        try:
            self.future.set_result(function(*args))
        except BaseException as error:  # raised where the result is waited for
            self.future.set_exception(error)

    def wait(self):
        """Return the result, or raise the error of the call."""
        self.thread.join()
        return self.future.result()
