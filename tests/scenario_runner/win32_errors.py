"""What a Win32 program is told for an NTSTATUS that the drive answers.

`CODES` is RtlNtStatusToDosError for exactly those statuses (a test on Windows asks the real one);
a few calls tell a code of their own instead (`ALSO`).
"""

from __future__ import annotations

import ctypes
import sys

from pyftpdrive.base.errors import FsStatus
from pyftpdrive.hosts.winfsp_status import NtStatus, to_ntstatus

CODES: dict[NtStatus, int] = {
    NtStatus.INVALID_HANDLE: 6,  # ERROR_INVALID_HANDLE
    NtStatus.INVALID_PARAMETER: 87,  # ERROR_INVALID_PARAMETER
    NtStatus.END_OF_FILE: 38,  # ERROR_HANDLE_EOF
    NtStatus.ACCESS_DENIED: 5,  # ERROR_ACCESS_DENIED
    NtStatus.OBJECT_NAME_INVALID: 123,  # ERROR_INVALID_NAME
    NtStatus.OBJECT_NAME_NOT_FOUND: 2,  # ERROR_FILE_NOT_FOUND
    NtStatus.OBJECT_NAME_COLLISION: 183,  # ERROR_ALREADY_EXISTS
    NtStatus.OBJECT_PATH_INVALID: 161,  # ERROR_BAD_PATHNAME
    NtStatus.OBJECT_PATH_NOT_FOUND: 3,  # ERROR_PATH_NOT_FOUND
    NtStatus.SHARING_VIOLATION: 32,  # ERROR_SHARING_VIOLATION
    NtStatus.DISK_FULL: 112,  # ERROR_DISK_FULL
    NtStatus.MEDIA_WRITE_PROTECTED: 19,  # ERROR_WRITE_PROTECT
    NtStatus.IO_TIMEOUT: 121,  # ERROR_SEM_TIMEOUT
    NtStatus.FILE_IS_A_DIRECTORY: 5,  # ERROR_ACCESS_DENIED
    NtStatus.NOT_SUPPORTED: 50,  # ERROR_NOT_SUPPORTED
    NtStatus.NOT_SAME_DEVICE: 17,  # ERROR_NOT_SAME_DEVICE
    NtStatus.UNEXPECTED_IO_ERROR: 317,  # ERROR_MR_MID_NOT_FOUND: it has no row of its own
    NtStatus.DIRECTORY_NOT_EMPTY: 145,  # ERROR_DIR_NOT_EMPTY
    NtStatus.NOT_A_DIRECTORY: 267,  # ERROR_DIRECTORY
    NtStatus.NAME_TOO_LONG: 206,  # ERROR_FILENAME_EXCED_RANGE
    NtStatus.CONNECTION_DISCONNECTED: 64,  # ERROR_NETNAME_DELETED
    NtStatus.FILE_TOO_LARGE: 223,  # ERROR_FILE_TOO_LARGE
    NtStatus.FILE_LOCK_CONFLICT: 33,  # ERROR_LOCK_VIOLATION
}

NEAR: dict[FsStatus, NtStatus] = {
    FsStatus.NOT_FOUND: NtStatus.OBJECT_PATH_NOT_FOUND,
    FsStatus.PATH_NOT_FOUND: NtStatus.OBJECT_NAME_NOT_FOUND,
    FsStatus.NOT_A_DIRECTORY: NtStatus.OBJECT_PATH_NOT_FOUND,
    FsStatus.READ_ONLY: NtStatus.ACCESS_DENIED,
}
"""Windows tells a missing directory on the way from a missing last component."""

ALSO: dict[FsStatus, int] = {
    FsStatus.EXISTS: 80,  # CreateFile's ERROR_FILE_EXISTS for CREATE_NEW
}
"""What kernel32 makes of a status by itself."""


def statuses(status: FsStatus) -> set[int]:
    """The NTSTATUS values that a program may be told for *status*."""
    near = NEAR.get(status)
    return {to_ntstatus(status), *([int(near)] if near else [])}


def code(ntstatus: int) -> int:
    """The Win32 code of *ntstatus*: Windows' own word there, else the table's."""
    if sys.platform == "win32":
        translate = ctypes.WinDLL("ntdll").RtlNtStatusToDosError
        translate.argtypes, translate.restype = [ctypes.c_uint32], ctypes.c_uint32
        return int(translate(ntstatus))
    else:  # noqa: RET505  # mypy follows platforms in branches only
        return CODES[NtStatus(ntstatus)]


def codes(status: FsStatus) -> set[int]:
    """The Win32 codes that a program may be told for *status*."""
    own = ALSO.get(status)
    return {*map(code, statuses(status)), *([own] if own else [])}
