"""`python -m simulators.lossy_disk DIRECTORY`: the disk as a FUSE file system, until unmounted.

A process of its own: a program must not wait for itself. The extended attribute
`user.power` of the root is its switch: "remember KIND SEED" notes what a cut at this moment would
leave, "restore" makes that the content, as after a restart.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from typing import Any

import mfusepy as fuse

from simulators.lossy_disk.disk import Disk, Image, Inode, Unsynced

SWITCH = "user.power"
CAPACITY_BYTES = 1 << 32


class LossyDiskOperations(fuse.Operations):  # type: ignore[misc]  # mfusepy has no types
    """What the kernel asks. `_lock` guards everything."""

    use_ns = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._disk = Disk()
        self._image: Image | None = None
        self._open: dict[int, Inode] = {}
        self._handles = 0

    def __call__(self, op: str, *args: Any) -> Any:
        method = getattr(self, op, None)
        if method is None:
            raise fuse.FuseOSError(errno.ENOSYS)
        with self._lock:
            try:
                return method(*args)
            except OSError as error:
                raise fuse.FuseOSError(error.errno or errno.EIO) from error

    def _inode(self, path: str, handle: int | None) -> Inode:
        return self._open[handle] if handle in self._open else self._disk.at(path)

    def _opened(self, inode: Inode) -> int:
        self._handles += 1
        self._open[self._handles] = inode
        return self._handles

    # -- names -----------------------------------------------------------------------------

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        inode = self._inode(path, fh)
        return {
            "st_mode": inode.mode,
            "st_size": inode.size,
            "st_nlink": 1,
            "st_ino": inode.number,
            "st_mtime": inode.modified_ns,
        }

    def readdir(self, path: str, _fh: int) -> list[str]:
        return [".", "..", *self._disk.at(path).names]

    def mkdir(self, path: str, mode: int) -> int:
        self._disk.make(path, 0o040000 | mode, time.time_ns())
        return 0

    def unlink(self, path: str) -> int:
        self._disk.remove(path)
        return 0

    rmdir = unlink

    def rename(self, old: str, new: str) -> int:
        self._disk.rename(old, new)
        return 0

    def create(self, path: str, mode: int, _fi: Any = None) -> int:
        return self._opened(self._disk.make(path, 0o100000 | mode, time.time_ns()))

    def chmod(self, path: str, mode: int) -> int:
        inode = self._disk.at(path)
        inode.mode = (inode.mode & 0o170000) | (mode & 0o7777)
        return 0

    def chown(self, _path: str, _uid: int, _gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._disk.at(path).modified_ns = times[1] if times else time.time_ns()
        return 0

    def statfs(self, _path: str) -> dict[str, int]:
        blocks = CAPACITY_BYTES // 4096
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": blocks, "f_bavail": blocks}

    # -- content -----------------------------------------------------------------------------

    def open(self, path: str, flags: int) -> int:
        inode = self._disk.at(path)
        if flags & os.O_TRUNC:  # libfuse leaves it to us
            self._disk.truncate(inode, 0, time.time_ns())
        return self._opened(inode)

    def release(self, _path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._inode(path, fh).data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return self._disk.write(self._inode(path, fh), data, offset, time.time_ns())

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._disk.truncate(self._inode(path, fh), length, time.time_ns())
        return 0

    def fsync(self, path: str, _datasync: int, fh: int) -> int:
        self._disk.sync(self._inode(path, fh))
        return 0

    def fsyncdir(self, path: str, _datasync: int, _fh: int) -> int:
        self._disk.sync(self._disk.at(path))
        return 0

    # -- the switch --------------------------------------------------------------------------

    def setxattr(
        self, path: str, name: str, value: bytes, _options: int, _position: int = 0
    ) -> int:
        if path != "/" or name != SWITCH:
            raise fuse.FuseOSError(errno.ENOTSUP)
        words = value.decode().split()
        if words[0] == "remember":
            self._image = self._disk.survivors(Unsynced(words[1]), int(words[2]))
        elif words[0] == "restore" and self._image is not None:
            self._disk.become(self._image)
            self._image = None
        else:
            raise fuse.FuseOSError(errno.EINVAL)
        return 0


if __name__ == "__main__":
    fuse.FUSE(
        LossyDiskOperations(),
        sys.argv[1],
        foreground=True,
        hard_remove=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        fsname="lossy-disk",
    )
