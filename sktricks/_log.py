"""Messages that are kept: the logger ``"sktricks"``, and a handler that shows them where nobody configured logging."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading

logger = logging.getLogger("sktricks")


class DefaultHandler(logging.Handler):
    """Write messages to stderr, above any bars, unless the user's own handlers get them.

    Threads and worker processes write nothing: they would repeat what the main thread tells, once for each of them.
    """

    def emit(self, record):
        """Write a message."""
        if is_configured() or not in_main_thread():
            return
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:  # as the handlers of logging do: a report never ends the work
            self.handleError(record)


def is_configured():
    """Return True if handlers of the user's get the messages of the logger."""
    return len(logger.handlers) > 1 or (logger.propagate and bool(logging.getLogger().handlers))


def in_main_thread():
    """Return True in the main thread of the process that the user started."""
    return threading.current_thread() is threading.main_thread() and multiprocessing.parent_process() is None


if not logger.handlers:  # a handler that the user added before this import does instead
    logger.addHandler(DefaultHandler())
if logger.level == logging.NOTSET:  # otherwise the root logger drops all but warnings
    logger.setLevel(logging.INFO)
