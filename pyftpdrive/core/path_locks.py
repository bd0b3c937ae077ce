"""Reservations of paths, so that a rename and a create never cross.

Not a lock in the ranking: what is reserved is a name, network I/O happens meanwhile, and whoever
waits gives up after the deadline.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyftpdrive.base import patience
from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import FsError, FsStatus
from pyftpdrive.base.paths import RemotePath, is_below


class PathLocks:
    """Which paths are being changed; one conflicts with its ancestors and with what is below."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition(threading.Lock())
        self._held: list[RemotePath] = []

    @contextmanager
    def hold(self, *paths: RemotePath, patience_s: float) -> Iterator[None]:
        """Reserve *paths* together; released at the end of the block.

        Raises:
            FsError: BUSY, someone else kept one of them for longer than *patience_s*.
        """
        until = patience.silent_since(self._clock.monotonic()) + patience_s
        with self._changed:
            while any(_conflict(path, held) for path in paths for held in self._held):
                left = until - self._clock.monotonic()
                if left <= 0:
                    raise FsError(FsStatus.BUSY, f"{paths[0]}: another operation is not finished")
                self._clock.wait(self._changed, left)
            self._held.extend(paths)
        try:
            yield
        finally:
            self.release(*paths)

    def keep(self, *paths: RemotePath) -> None:
        """Called inside `hold`: they stay reserved after its end, until `release`."""
        with self._changed:
            self._held.extend(paths)

    def release(self, *paths: RemotePath) -> None:
        """What `keep` reserved is free."""
        with self._changed:
            for path in paths:
                self._held.remove(path)
            self._changed.notify_all()


def _conflict(one: RemotePath, other: RemotePath) -> bool:
    return one == other or is_below(one, other) or is_below(other, one)
