"""Report the progress of long computations by bars, by log lines, or not at all.

The whole package uses :func:`progress`::

    with progress(len(files), "reading", "image", verbose) as done:
        for file in files:
            ...
            done.step()

``verbose=0`` is silent, 1 shows a tqdm bar, in terminals and notebooks, and 2 logs lines.

A step only changes a number, and a thread draws the bars a few times per second. Therefore a bar costs nothing if steps
are fast, and shows the elapsed time if the first step takes minutes. A task that ends before ``DELAY`` has no bar.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from ._log import in_main_thread, logger

DELAY, INTERVAL = 1.0, 0.25  # seconds until a bar appears, and between two updates
FEW = 100  # rows, whose prediction takes no noticeable time
MANY = ("row", "image")  # units with one log line per tenth
# With parts of an epoch, such as 1.8/20.
FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n:g}/{total} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class Progress:
    """A counter that shows nothing."""

    def step(self, n: float = 1, note: str = "") -> None:
        """Count ``n`` as done; ``note`` is a short text to show, such as the current loss."""

    def skip(self, n: int) -> None:
        """Count ``n`` as done earlier, so that they do not count for the speed."""

    def move(self, n: float, note: str = "") -> None:
        """Set the number done so far."""

    def tell(self, note: str) -> None:
        """Say what is being done now."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


SILENT = Progress()


class Count(Progress):
    """A counter up to ``total``.

    Parameters
    ----------
    total : int
    what : str
        The activity, such as ``"encoding"``.
    unit : str
        The counted items, in the singular.
    """

    def __init__(self, total, what, unit):
        self.total, self.what, self.unit = total, what, unit
        self.n, self.n_skipped, self.note = 0, 0, ""

    def __enter__(self):
        self.started = time.time()
        return self

    def step(self, n=1, note=""):
        self.move(self.n + n, note)

    def skip(self, n):
        self.n_skipped += n
        self.move(self.n + n)

    def move(self, n, note=""):
        self.n, self.note = n, note or self.note

    def tell(self, note):
        self.note = note


class Lines(Count):
    """A counter that logs a line per item, or per tenth of all rows or images."""

    def __init__(self, *args):
        super().__init__(*args)
        self.n_told, self.at_least = 0, max(1, self.total // 10 if self.unit in MANY else 1)

    def move(self, n, note=""):
        super().move(n, note)
        n = int(n)
        if n - self.n_told >= self.at_least or n == self.total > self.n_told:
            self.n_told = n
            text = f"{self.what}: {n:,} of {self.total:,} {self.unit}s, {time.time() - self.started:.1f} s"
            logger.info(f"{text}, {self.note}" if self.note else text)


class Bar(Count):
    """A progress bar, drawn by the :class:`Screen`; only the outermost one remains visible when it ends."""

    bar: Any = None  # the tqdm bar, once it is visible
    is_nested = False

    def __enter__(self):
        super().__enter__()
        SCREEN.open(self)
        return self

    def __exit__(self, *error):
        SCREEN.close(self)

    def draw(self):
        """Draw the current count, unless ``DELAY`` has not passed yet."""
        if self.bar is None:
            if time.time() - self.started < DELAY:
                return
            self._appear()
        bar, new = self.bar, self.n_skipped - self.bar.initial
        bar.initial, bar.n, bar.last_print_n = bar.initial + new, bar.n + new, bar.last_print_n + new
        bar.set_postfix_str(self.note, refresh=False)
        new = round(self.n, 1) - bar.n
        if new > 0.01:  # not a rounding error
            bar.update(new)
        else:
            bar.refresh()  # shows the elapsed time; update would distort the speed of the next step

    def _appear(self):
        from tqdm.auto import tqdm

        how = {"leave": not self.is_nested, "dynamic_ncols": True, "mininterval": 0, "miniters": 0, "smoothing": 0.1}
        how |= {"bar_format": FORMAT} if self.unit == "epoch" else {}
        self.bar = tqdm(total=self.total, desc=self.what, unit=self.unit, **how)
        self.bar.start_t = self.bar.last_print_t = self.started

    def end(self):
        """Draw the last count, and close the bar."""
        if self.bar is None and self.is_nested:
            return
        self.draw()
        if self.bar is not None:
            self.bar.close()
        self.bar = None


class Screen:
    """The open bars, from the outermost to the innermost, and the thread that draws them."""

    def __init__(self):
        self.bars, self.lock, self.ended = [], threading.RLock(), threading.Event()

    def open(self, bar):
        """Start to draw a bar."""
        with self.lock:
            bar.is_nested = bool(self.bars)
            self.bars.append(bar)
            if not bar.is_nested:  # one thread each, so that notebooks show it below its own cell
                self.ended = threading.Event()
                threading.Thread(target=self._run, args=(self.ended,), name="sktricks-progress", daemon=True).start()

    def close(self, bar):
        """Draw a bar for the last time, and remove it."""
        with self.lock:
            self.bars.remove(bar)
            if not self.bars:
                self.ended.set()
            bar.end()

    def _run(self, ended):
        while not ended.wait(INTERVAL):
            with self.lock:
                for bar in [] if ended.is_set() else self.bars:
                    bar.draw()


SCREEN = Screen()


def progress(total: int, what: str, unit: str, verbose: int | bool = 0) -> Progress:
    """Return a context manager that reports progress.

    Parameters
    ----------
    total : int
        Number of items.
    what : str
        The activity, such as ``"encoding"``.
    unit : str
        The items, in the singular.
    verbose : int, default=0
        0: silent; 1: a bar, only in the main thread of the main process; 2: log lines.
    """
    if not verbose or not total:
        return SILENT
    if verbose >= 2:
        return Lines(total, what, unit)
    return Bar(total, what, unit) if in_main_thread() and sys.stderr is not None else SILENT
