"""What Windows programs set and FTP can't keep: attributes, times of creation and access.

It is shown until the drive is unmounted. Programs read back what they set a moment ago (installers,
git, robocopy), and a file that was made read-only is refused to others as they expect.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from pyftpdrive.base.paths import RemotePath, is_below, rebase

READ_ONLY, HIDDEN, SYSTEM, DIRECTORY, ARCHIVE = 0x01, 0x02, 0x04, 0x10, 0x20  # FILE_ATTRIBUTE_…
NOT_INDEXED = 0x2000
KEPT = READ_ONLY | HIDDEN | SYSTEM | ARCHIVE | NOT_INDEXED
PATHS_MAX = 10_000


class Told(NamedTuple):
    """What a program set of one path."""

    attributes: int = ARCHIVE
    created: int = 0  # FILETIME; 0: as the last change
    accessed: int = 0


_PLAIN = Told()


class Remembered:
    """By path. Thread-safe: its lock guards the table, which `get` reads without it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: OrderedDict[RemotePath, Told] = OrderedDict()

    def get(self, path: RemotePath) -> Told:
        """What to show of *path*."""
        return self._told.get(path, _PLAIN)

    def put(self, path: RemotePath, told: Told) -> None:
        """*path* is shown like that from now on."""
        with self._lock:
            self._told.pop(path, None)
            if told == _PLAIN:
                return
            self._told[path] = told
            while len(self._told) > PATHS_MAX:
                self._told.popitem(last=False)

    def forget(self, path: RemotePath) -> None:
        """*path* is gone."""
        self.put(path, _PLAIN)

    def move(self, old: RemotePath, new: RemotePath) -> None:
        """*old*, and what is below it, is called *new* now."""
        with self._lock:
            if not self._told:
                return
            self._told.pop(new, None)
            for path in [p for p in self._told if p == old or is_below(p, old)]:
                self._told[rebase(path, old, new)] = self._told.pop(path)
