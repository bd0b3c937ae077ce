"""FsStatus -> errno: total, one row a status."""

from __future__ import annotations

import errno

from pyftpdrive.base.errors import FsStatus

ERRNO: dict[FsStatus, int] = {
    FsStatus.NOT_FOUND: errno.ENOENT,
    FsStatus.PATH_NOT_FOUND: errno.ENOENT,
    FsStatus.ACCESS_DENIED: errno.EACCES,
    FsStatus.READ_ONLY: errno.EROFS,
    # Not ENOTCONN: on a mount that means that the FUSE program died.
    FsStatus.CONNECTION_LOST: getattr(errno, "EHOSTUNREACH", errno.EIO),
    FsStatus.TIMEOUT: errno.ETIMEDOUT,
    FsStatus.NOT_EMPTY: errno.ENOTEMPTY,
    FsStatus.EXISTS: errno.EEXIST,
    FsStatus.NOT_A_DIRECTORY: errno.ENOTDIR,
    FsStatus.IS_A_DIRECTORY: errno.EISDIR,
    FsStatus.INVALID_NAME: errno.EINVAL,
    FsStatus.NAME_TOO_LONG: errno.ENAMETOOLONG,
    FsStatus.INVALID_ARGUMENT: errno.EINVAL,
    FsStatus.BAD_HANDLE: errno.EBADF,
    FsStatus.NO_SPACE: errno.ENOSPC,
    FsStatus.FILE_TOO_LARGE: errno.EFBIG,
    FsStatus.NOT_SUPPORTED: errno.EOPNOTSUPP,
    FsStatus.BUSY: errno.EBUSY,
    FsStatus.CROSS_DEVICE: errno.EXDEV,
    # Not ESTALE: the kernel repeats a rename that got it, and then the version is known.
    FsStatus.CONFLICT: errno.EBUSY,
    FsStatus.SERVER_ERROR: getattr(errno, "EREMOTEIO", errno.EIO),
}


def to_errno(status: FsStatus) -> int:
    """The errno that stands for *status*."""
    return ERRNO[status]
