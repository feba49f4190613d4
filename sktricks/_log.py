"""The logger ``"sktricks"``, and a default handler that prints messages unless logging is configured."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading

logger = logging.getLogger("sktricks")


class DefaultHandler(logging.Handler):
    """Write messages to stderr, above any progress bars, unless handlers of the user receive them.

    Threads and worker processes write nothing, since each of them would repeat the messages of the main thread.
    """

    def emit(self, record):
        """Write a message."""
        if is_configured() or not in_main_thread():
            return
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:  # as in logging's own handlers: a failed report must not stop the work
            self.handleError(record)


def is_configured():
    """Return True if handlers of the user receive the messages of the logger."""
    return len(logger.handlers) > 1 or (logger.propagate and bool(logging.getLogger().handlers))


def in_main_thread():
    """Return True in the main thread of the process that the user started."""
    return threading.current_thread() is threading.main_thread() and multiprocessing.parent_process() is None


if not logger.handlers:  # a handler that the user added before this import replaces the default
    logger.addHandler(DefaultHandler())
if logger.level == logging.NOTSET:  # otherwise the root logger drops all but warnings
    logger.setLevel(logging.INFO)
