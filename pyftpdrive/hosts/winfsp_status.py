"""FsStatus -> NTSTATUS: total, one row a status. Source: Microsoft, [MS-ERREF] 2.3.1."""

from __future__ import annotations

from enum import IntEnum

from pyftpdrive.base.errors import FsStatus


class NtStatus(IntEnum):
    """Those that the drive answers, under Microsoft's names (without STATUS_)."""

    INVALID_HANDLE = 0xC0000008
    INVALID_PARAMETER = 0xC000000D
    END_OF_FILE = 0xC0000011
    ACCESS_DENIED = 0xC0000022
    OBJECT_NAME_INVALID = 0xC0000033
    OBJECT_NAME_NOT_FOUND = 0xC0000034
    OBJECT_NAME_COLLISION = 0xC0000035
    OBJECT_PATH_INVALID = 0xC0000039
    OBJECT_PATH_NOT_FOUND = 0xC000003A
    SHARING_VIOLATION = 0xC0000043
    DISK_FULL = 0xC000007F
    MEDIA_WRITE_PROTECTED = 0xC00000A2
    IO_TIMEOUT = 0xC00000B5
    FILE_IS_A_DIRECTORY = 0xC00000BA
    NOT_SUPPORTED = 0xC00000BB
    NOT_SAME_DEVICE = 0xC00000D4
    UNEXPECTED_IO_ERROR = 0xC00000E9
    DIRECTORY_NOT_EMPTY = 0xC0000101
    NOT_A_DIRECTORY = 0xC0000103
    NAME_TOO_LONG = 0xC0000106
    CONNECTION_DISCONNECTED = 0xC000020C
    FILE_TOO_LARGE = 0xC0000904
    FILE_LOCK_CONFLICT = 0xC0000054


NTSTATUS: dict[FsStatus, NtStatus] = {
    FsStatus.NOT_FOUND: NtStatus.OBJECT_NAME_NOT_FOUND,
    FsStatus.PATH_NOT_FOUND: NtStatus.OBJECT_PATH_NOT_FOUND,
    FsStatus.ACCESS_DENIED: NtStatus.ACCESS_DENIED,
    FsStatus.READ_ONLY: NtStatus.MEDIA_WRITE_PROTECTED,
    FsStatus.CONNECTION_LOST: NtStatus.CONNECTION_DISCONNECTED,
    FsStatus.TIMEOUT: NtStatus.IO_TIMEOUT,
    FsStatus.NOT_EMPTY: NtStatus.DIRECTORY_NOT_EMPTY,
    FsStatus.EXISTS: NtStatus.OBJECT_NAME_COLLISION,
    FsStatus.NOT_A_DIRECTORY: NtStatus.NOT_A_DIRECTORY,
    FsStatus.IS_A_DIRECTORY: NtStatus.FILE_IS_A_DIRECTORY,
    # "Invalid path" of the specification is OBJECT_PATH_INVALID; programs know that one for paths
    # whose components can't be, OBJECT_NAME_INVALID for the last component.
    FsStatus.INVALID_NAME: NtStatus.OBJECT_PATH_INVALID,
    FsStatus.NAME_TOO_LONG: NtStatus.NAME_TOO_LONG,
    FsStatus.INVALID_ARGUMENT: NtStatus.INVALID_PARAMETER,
    FsStatus.BAD_HANDLE: NtStatus.INVALID_HANDLE,
    FsStatus.NO_SPACE: NtStatus.DISK_FULL,
    FsStatus.FILE_TOO_LARGE: NtStatus.FILE_TOO_LARGE,
    FsStatus.NOT_SUPPORTED: NtStatus.NOT_SUPPORTED,
    FsStatus.BUSY: NtStatus.SHARING_VIOLATION,
    FsStatus.CROSS_DEVICE: NtStatus.NOT_SAME_DEVICE,
    FsStatus.CONFLICT: NtStatus.SHARING_VIOLATION,
    FsStatus.SERVER_ERROR: NtStatus.UNEXPECTED_IO_ERROR,
}


def to_ntstatus(status: FsStatus) -> int:
    """The NTSTATUS that stands for *status*."""
    return int(NTSTATUS[status])
