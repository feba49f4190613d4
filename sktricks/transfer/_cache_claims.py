"""Who encodes what at the moment, among processes that share a folder of features.

A process claims rows before it encodes them, and no other encodes these meanwhile. Its claim is a file with their
digests, ``claim-3``, that counts while the process holds ``lock-3``: if the process dies, the system lets go of that.
Claims are read and made by one process at a time, which is the one that holds ``lock``.
"""

import os
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from ._cache_memory import DIGEST

CLAIM, LOCK, TEMPORARY = "claim-", "lock", ".part"
PATIENCE, POLL = 600, 0.005  # seconds to wait for another process, which lets go after each portion, and to look again


class Claims:
    """The claims in a folder.

    Parameters
    ----------
    folder : Path
        Made when somebody first chooses.
    """

    def __init__(self, folder):
        self.folder = folder

    @contextmanager
    def choosing(self):
        """While this process alone reads and makes claims."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock().acquire(timeout=PATIENCE, poll_interval=POLL):
            yield

    def read(self):
        """The rows that other processes encode, as a dict from their digests to the numbers of the claims."""
        taken = {}
        for name in os.listdir(self.folder):
            number = name.removeprefix(CLAIM)
            if name.startswith(CLAIM) and number.isdigit():
                taken.update(self._read(int(number)))
        return taken

    def _read(self, number):
        """One claim, empty if it is gone; one that a process has left by its death is removed."""
        path = self.folder / f"{CLAIM}{number}"
        with suppress(Timeout), self._lock(number).acquire(timeout=0):
            remove_parts(self.folder, number)
            path.unlink(missing_ok=True)
            return {}
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            return {content[at : at + DIGEST]: number for at in range(0, len(content), DIGEST)}
        return {}

    @contextmanager
    def make(self, digests):
        """Claim rows, and while they are, give the number of the claim; to be entered while ``choosing``."""
        lock, number = self._free_lock()
        path = self.folder / f"{CLAIM}{number}"
        try:
            path.write_bytes(b"".join(digests))
            yield number
        finally:
            with suppress(OSError):  # whoever reads it finds that it is nobody's
                path.unlink()
            lock.release()

    def _free_lock(self):
        """The first lock that nobody holds, now held, and its number."""
        number = 0
        while True:
            lock = self._lock(number)
            with suppress(Timeout):
                lock.acquire(timeout=0)
                return lock, number
            number += 1

    def wait(self, number):
        """Wait until a claim has come to its end; False if that takes too long."""
        with suppress(Timeout), self._lock(number).acquire(timeout=PATIENCE, poll_interval=POLL):
            return True
        return False

    def _lock(self, number=None):
        return FileLock(self.folder / (LOCK if number is None else f"{LOCK}-{number}"))


def suffix_of(number):
    """How the name of a file ends that is being written under a claim."""
    return f"-{number}{TEMPORARY}"


def remove_parts(folder, number):
    """Remove what a process has left half written that died with this claim."""
    for name in os.listdir(folder):
        if name.endswith(suffix_of(number)):
            with suppress(OSError):
                os.remove(folder / name)
