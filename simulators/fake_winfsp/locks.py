"""Reader-writer locks as the kernel has them, and byte-range locks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from simulators.fake_winfsp import ntstatus


class ReadersWriterLock:
    """Many readers or one writer; a waiting writer lets no new reader in."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0
        self._readers_waiting = 0

    def wait_until_waiting(self, count: int = 1, patience_s: float = 30.0) -> None:
        """For tests: return once *count* others wait for it.

        Raises:
            AssertionError: that never happened.
        """

        def there() -> bool:
            return self._writers_waiting + self._readers_waiting >= count

        with self._condition:
            if not self._condition.wait_for(there, patience_s):
                raise AssertionError("nobody waits for this lock")

    def acquire(self, *, exclusive: bool) -> None:
        """Wait for it."""
        with self._condition:
            if not exclusive:
                self._readers_waiting += 1
                self._condition.notify_all()
                while self._writing or self._writers_waiting:
                    self._condition.wait()
                self._readers_waiting -= 1
                self._readers += 1
                return
            self._writers_waiting += 1
            self._condition.notify_all()
            while self._writing or self._readers:
                self._condition.wait()
            self._writers_waiting -= 1
            self._writing = True

    def release(self, *, exclusive: bool) -> None:
        """Give back what acquire() gave."""
        with self._condition:
            if exclusive:
                self._writing = False
            else:
                self._readers -= 1
            self._condition.notify_all()

    @contextmanager
    def held(self, *, exclusive: bool) -> Iterator[None]:
        """Hold it in a with statement."""
        self.acquire(exclusive=exclusive)
        try:
            yield
        finally:
            self.release(exclusive=exclusive)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeLock:
    """Bytes of a file that one handle has locked."""

    owner: int
    offset: int
    length: int
    exclusive: bool

    def meets(self, offset: int, length: int) -> bool:
        """Whether it has a byte in common with that range."""
        return self.offset < offset + length and offset < self.offset + self.length


class RangeLocks:
    """The byte-range locks of one file. The driver keeps them; no callback hears of them."""

    def __init__(self) -> None:
        self._locks: list[RangeLock] = []
        self._guard = threading.Lock()

    def add(self, lock: RangeLock) -> None:
        """Take a lock or raise LOCK_NOT_GRANTED; nobody waits."""
        with self._guard:
            for other in self._locks:
                shared = not (lock.exclusive or other.exclusive)
                if other.meets(lock.offset, lock.length) and not shared:
                    raise ntstatus.NtError(ntstatus.LOCK_NOT_GRANTED)
            self._locks.append(lock)

    def remove(self, owner: int, offset: int, length: int) -> None:
        """Give back exactly that range or raise RANGE_NOT_LOCKED."""
        with self._guard:
            for lock in self._locks:
                if (lock.owner, lock.offset, lock.length) == (owner, offset, length):
                    self._locks.remove(lock)
                    return
        raise ntstatus.NtError(ntstatus.RANGE_NOT_LOCKED)

    def remove_all(self, owner: int) -> None:
        """A handle is closed."""
        with self._guard:
            self._locks = [lock for lock in self._locks if lock.owner != owner]

    def check(self, owner: int, offset: int, length: int, *, write: bool) -> None:
        """May *owner* read or write there? Else FILE_LOCK_CONFLICT."""
        with self._guard:
            for lock in self._locks:
                if not lock.meets(offset, length):
                    continue
                mine = lock.owner == owner
                if (write and not (mine and lock.exclusive)) or (
                    not write and lock.exclusive and not mine
                ):
                    raise ntstatus.NtError(ntstatus.FILE_LOCK_CONFLICT)
