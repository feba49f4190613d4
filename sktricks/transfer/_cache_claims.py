"""Who encodes what at the moment, among processes that share a folder of features.

A process claims rows before it encodes them, and no other encodes these meanwhile. Its claim is a file with their
digests, ``claim-3-d41d8cd9``, of a name that no other ever gets. It counts while it is there and the process holds
``lock-3``: if the process dies, the system lets go of that. Claims are read and made by one process at a time, which is
the one that holds ``choosing``.
"""

import os
import re
import time
import uuid
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from ._cache_memory import DIGEST

CLAIM, LOCK, CHOOSING, TEMPORARY = "claim-", "lock-", "choosing", ".part"
NAME = re.compile(rf"{CLAIM}(\d+)-[0-9a-f]{{32}}")
PATIENCE, POLL = 600, 0.005  # seconds to wait for another process, which lets go after each portion, and to look again
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
            yield
        finally:
            with suppress(OSError):  # whoever reads it finds that nobody holds the lock
                path.unlink()
            self.number = None
            lock.release()

    def wait(self, name):
        """Wait until a claim has come to its end; False if that takes too long."""
        end = time.monotonic() + PATIENCE
        with suppress(OSError):
            while (self.folder / name).exists() and not self._has_died(name):
                if time.monotonic() > end:
                    return False
                time.sleep(POLL)
            return True
        return False

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
        return FileLock(self.folder / name)


def suffix_of(number):
    """How the name of a file ends that is being written by the process that holds a lock."""
    return f"-{number}{TEMPORARY}"
