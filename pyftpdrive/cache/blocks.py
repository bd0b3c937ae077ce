"""Parts of remote files on the local disk.

One sparse file a version of a remote file (path, size, time), filled where it was read. The
directory belongs to one mount and is emptied when it starts: nothing in it is the only copy of
anything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from pyftpdrive.base.files import OPEN_FLAGS
from pyftpdrive.base.paths import RemotePath, is_below, rebase
from pyftpdrive.base.ranges import ByteRanges
from pyftpdrive.ftp.jobs import Job

KIB = 1 << 10
MIB = 1 << 20
PIECE_BYTES = 1 * MIB  # what a download moves at a time
RANDOM_BLOCK_BYTES = 64 * KIB  # least that a random read fetches


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOptions:
    """Where block files live and how much they may hold."""

    directory: Path
    size_max_bytes: int = 4096 * MIB


class BlockFile:
    """What is on the disk of one version of one remote file.

    Locking: `changed` (rank 30) guards `present`, `downloads` and `users`; the file itself is
    read and written outside it (disjoint ranges, written before they are declared present).
    """

    __slots__ = (
        "changed",
        "downloads",
        "fd",
        "last_end",
        "local_path",
        "modified_ns",
        "path",
        "present",
        "size_bytes",
        "stale",
        "users",
    )

    def __init__(
        self, path: RemotePath, size_bytes: int, modified_ns: int | None, local_path: Path
    ) -> None:
        self.path = path  # where the bytes come from; follows renames
        self.size_bytes = size_bytes
        self.modified_ns = modified_ns
        self.local_path = local_path
        self.changed = threading.Condition(threading.Lock())
        self.present = ByteRanges()
        self.downloads: list[Download] = []
        self.fd = -1  # open while users > 0
        self.users = 0
        self.last_end = 0  # where the last read ended: tells sequential from random
        self.stale = False  # the server's file turned out to be another one

    @property
    def complete(self) -> bool:
        """True when every byte is here."""
        return self.present.contains(0, self.size_bytes)

    def acquire(self) -> None:
        """Open the local file for one more user."""
        with self.changed:
            if self.users == 0:
                self.fd = os.open(self.local_path, OPEN_FLAGS, 0o600)
            self.users += 1

    def release(self) -> None:
        """One user less; the last one closes the local file."""
        with self.changed:
            self.users -= 1
            if self.users == 0:
                os.close(self.fd)
                self.fd = -1
                if self.stale:
                    self.remove()

    def remove(self) -> None:
        """Remove the local file; Windows keeps one that is open, which `release` then removes."""
        with contextlib.suppress(PermissionError):
            self.local_path.unlink(missing_ok=True)


class Download:
    """One RETR that fills a block file from `position` on.

    Locking: all fields are guarded by `file.changed`; only the job moves `position`.
    """

    __slots__ = ("ended", "error", "file", "job", "position", "target", "window")

    def __init__(self, file: BlockFile, position: int, target: int, window: int) -> None:
        self.file = file
        self.position = position
        self.target = target  # fetch up to here, then linger
        self.window = window  # bytes to run ahead of the reader; 0: random access
        self.ended = False
        self.error: BaseException | None = None
        self.job: Job[None] | None = None

    def reaches(self, start: int) -> bool:
        """True when waiting for this download is better than starting another."""
        near = max(self.window, PIECE_BYTES if self.window else RANDOM_BLOCK_BYTES)
        return not self.ended and self.position <= start <= self.position + near

    def want(self, end: int, limit: int) -> None:
        """A reader needs everything before *end*; *limit* bounds the window."""
        if self.window:
            if end + self.window // 2 > self.target:
                self.window = min(self.window * 2, limit)
                self.target = max(self.target, end + self.window)
        else:
            self.target = max(self.target, end)
        self.target = min(self.target, self.file.size_bytes)


class BlockStore:
    """All block files of a mount.

    Locking: `_lock` (rank 29, taken before any BlockFile.changed) guards the index.
    """

    def __init__(self, options: BlockOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._files: OrderedDict[RemotePath, BlockFile] = OrderedDict()
        self._serial = 0
        self._bytes = 0
        shutil.rmtree(options.directory, ignore_errors=True)
        # On Windows a file that a virus scanner looks at stays: it is never taken for content.
        options.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def acquire(self, path: RemotePath, size_bytes: int, modified_ns: int | None) -> BlockFile:
        """The block file of that version of *path*, opened; the caller releases it."""
        with self._lock:
            file = self._files.get(path)
            if file is not None and (
                file.stale or file.size_bytes != size_bytes or file.modified_ns != modified_ns
            ):
                self._drop_locked(path)
                file = None
            if file is None:
                self._serial += 1
                local = self._options.directory / f"{self._serial:08x}"
                file = BlockFile(path, size_bytes, modified_ns, local)
                self._files[path] = file
            else:
                self._files.move_to_end(path)
            file.acquire()
        return file

    def adopt(
        self, path: RemotePath, size_bytes: int, modified_ns: int | None, local_path: Path
    ) -> None:
        """Take over a local file that holds the whole of that version of *path*.

        When it can't be moved here (another file system) it stays where it is and nothing is kept.
        """
        with self._lock:
            if path in self._files:
                self._drop_locked(path)
            self._serial += 1
            local = self._options.directory / f"{self._serial:08x}"
            try:
                local_path.rename(local)
            except OSError:
                return
            file = BlockFile(path, size_bytes, modified_ns, local)
            if size_bytes:
                file.present.add(0, size_bytes)
            self._files[path] = file
        self.grown(size_bytes)

    def grown(self, count: int) -> None:
        """*count* more bytes were written; removes the longest unused files when full."""
        with self._lock:
            self._bytes += count
            if self._bytes <= self._options.size_max_bytes:
                return
            for path in [p for p, file in self._files.items() if file.users == 0]:
                if self._bytes <= self._options.size_max_bytes * 9 // 10:
                    break
                self._drop_locked(path)

    def forget(self, path: RemotePath) -> None:
        """*path* has other content now, or none."""
        with self._lock:
            if path in self._files:
                self._drop_locked(path)

    def forget_tree(self, path: RemotePath) -> None:
        """The directory *path* is gone."""
        with self._lock:
            for gone in [p for p in self._files if p == path or is_below(p, path)]:
                self._drop_locked(gone)

    def renamed(self, old: RemotePath, new: RemotePath) -> None:
        """*old*, or everything below it, is called *new* now."""
        with self._lock:
            for path in [p for p in self._files if p == old or is_below(p, old)]:
                target = rebase(path, old, new)
                if target in self._files:
                    self._drop_locked(target)
                file = self._files.pop(path)
                file.path = target
                self._files[target] = file

    def _drop_locked(self, path: RemotePath) -> None:
        # Users keep reading through their descriptor; on Windows the name stays until they close.
        file = self._files.pop(path)
        file.stale = True
        self._bytes -= file.present.total
        file.remove()

    def status(self) -> dict[str, object]:
        """For people."""
        return {"files": len(self._files), "bytes": self._bytes}

    def close(self) -> None:
        """Remove everything from the disk."""
        with self._lock:
            self._files.clear()
        shutil.rmtree(self._options.directory, ignore_errors=True)
