"""Who encodes what at the moment, among processes that share a folder of features.

A process claims rows before it encodes them, and no other encodes these meanwhile. Its claim is a file with their
digests, ``claim-3-d41d8cd9``, of a name that no other ever gets. It counts while it is there and the process holds
``lock-3``: if the process dies, the system lets go of that. Claims are read and made by one process at a time, which is
the one that holds ``choosing``.

A process renews its claims every second. One that is stopped does not, and others then encode its rows too.
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from ._feature_memory import DIGEST

CLAIM, LOCK, CHOOSING, TEMPORARY = "claim-", "lock-", "choosing", ".part"
NAME = re.compile(rf"{CLAIM}(\d+)-[0-9a-f]{{32}}")
BEAT, PATIENCE = 1, 15  # seconds between two signs of life of a claim, and to wait for the next one
POLL = 0.005  # seconds between two looks at the claims of others
MOMENT = 10  # seconds, of which another process takes a thousandth to choose


class Claims:
    """The claims in a folder.

    Parameters
    ----------
    folder : Path
        Made when somebody first chooses.

    Attributes
    ----------
    number : int or None
        Of the lock that this process holds.
    """

    def __init__(self, folder):
        self.folder, self.number = folder, None
        self._beats = {}  # of each claim of others its last sign of life, and when that was seen first

    @contextmanager
    def choosing(self):
        """While this process alone reads and makes claims."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(CHOOSING).acquire(timeout=MOMENT, poll_interval=POLL):
            yield

    def of_others(self):
        """The rows that other processes encode, as a dict from their digests to the names of the claims.

        What processes have left that died is removed.
        """
        taken = {}
        for name in os.listdir(self.folder):
            if NAME.fullmatch(name) and not self._has_died(name, tidy_up=True):
                with suppress(OSError):  # it is gone meanwhile
                    content = (self.folder / name).read_bytes()
                    taken |= {content[at : at + DIGEST]: name for at in range(0, len(content), DIGEST)}
        return taken

    @contextmanager
    def make(self, digests):
        """Claim rows for as long as they are being encoded; to be entered while ``choosing``."""
        lock, self.number = self._free_lock()
        path = self.folder / f"{CLAIM}{self.number}-{uuid.uuid4().hex}"
        try:
            path.write_bytes(b"".join(digests))
            with renewing(path):
                yield
        finally:
            with suppress(OSError):  # whoever reads it finds that nobody holds the lock
                path.unlink()
            self.number = None
            lock.release()

    def wait(self, names):
        """Wait until one of some claims has ended; returns those that have given no sign of life for too long."""
        self._beats = {name: beat for name, beat in self._beats.items() if name in names}
        with suppress(OSError):
            while all((self.folder / name).exists() and not self._has_died(name) for name in names):
                stopped = {name for name in names if self._is_silent(name)}
                if stopped:
                    return stopped
                time.sleep(POLL)
        return set()

    def _is_silent(self, name):
        """True if a claim has not been renewed for too long, by the clock of this process."""
        beat, now = (self.folder / name).stat().st_mtime_ns, time.monotonic()
        last, since = self._beats.get(name, (None, now))
        self._beats[name] = beat, since if beat == last else now
        return now - self._beats[name][1] > PATIENCE

    def _free_lock(self):
        """The first lock that nobody holds, held from now on, and its number."""
        number = 0
        while True:
            lock = self._lock(f"{LOCK}{number}")
            with suppress(Timeout):
                lock.acquire(timeout=0)
                return lock, number
            number += 1

    def _has_died(self, name, tidy_up=False):
        """Whether the process of a claim no longer holds its lock; what it has left may be tidied up."""
        number = NAME.fullmatch(name)[1]
        with suppress(Timeout), self._lock(f"{LOCK}{number}").acquire(timeout=0):
            if tidy_up:
                for left in os.listdir(self.folder):
                    if left == name or left.endswith(suffix_of(number)):
                        with suppress(OSError):
                            os.remove(self.folder / left)
            return True
        return False

    def _lock(self, name):
        mode = self.folder.stat().st_mode & 0o666  # so that whoever may write in the folder may lock it
        return FileLock(self.folder / name, mode=mode)


@contextmanager
def renewing(path):
    """Inside, a thread gives signs of life of a claim, by its time of modification."""
    ended = threading.Event()

    def beat():
        while not ended.wait(BEAT):
            with suppress(OSError):  # another process has emptied the folder
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def suffix_of(number):
    """How the name of a file ends that is being written by the process that holds a lock."""
    return f"-{number}{TEMPORARY}"
