"""Positional reads and writes on a local file, and what survives a power cut, on every platform."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

OPEN_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

if sys.platform == "win32":
    # Windows has no positional read or write: one lock keeps seek and transfer together.
    _position = threading.Lock()

    def read_at(fd: int, view: memoryview, offset: int) -> int:
        """Copy from *offset* into *view*; return the octets copied, short only at the end."""
        with _position:
            os.lseek(fd, offset, os.SEEK_SET)
            data = os.read(fd, len(view))
        view[: len(data)] = data
        return len(data)

    def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of *data* at *offset*."""
        view = memoryview(data)
        with _position:
            os.lseek(fd, offset, os.SEEK_SET)
            while len(view):
                view = view[os.write(fd, view) :]

else:

    def read_at(fd: int, view: memoryview, offset: int) -> int:
        """Copy from *offset* into *view*; return the octets copied, short only at the end."""
        done = 0
        while done < len(view):
            count = os.preadv(fd, [view[done:]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of *data* at *offset*."""
        view = memoryview(data)
        while len(view):
            count = os.pwrite(fd, view, offset)
            view, offset = view[count:], offset + count


def sync_file(fd: int) -> None:
    """Return when the file's content and size survive a power cut.

    Raises:
        OSError: they may not; what was written is in doubt.
    Source: fdatasync(2); Apple's fsync(2), which leaves the drive's cache to F_FULLFSYNC.
    """
    if sys.platform == "linux":
        os.fdatasync(fd)
    elif sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Return when the names in *directory* survive a power cut; Windows sees to it by itself.

    Raises:
        OSError: they may not.
    """
    if sys.platform != "win32":
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def make_directory(directory: Path) -> None:
    """Make *directory*, for this user only, and those above it; they survive a power cut.

    Raises:
        OSError: it can't be made.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in missing:
        sync_directory(path.parent)
