"""Win32's types, structures and prototypes that the runner calls, as ctypes knows them.

Sizes are Win32's on every platform (`ctypes.wintypes` are those of the machine it runs on), and a
WCHAR is 16 bits: the layouts and the calls can be looked at on Linux.
Source: Microsoft's reference of fileapi.h, winbase.h, minwinbase.h and handleapi.h.
"""

from __future__ import annotations

import ctypes
from typing import Any

BOOL = ctypes.c_int32
DWORD = ctypes.c_uint32
ULONG_PTR = ctypes.c_size_t
HANDLE = ctypes.c_void_p
LARGE_INTEGER = ctypes.c_int64
ULARGE_INTEGER = ctypes.c_uint64
WCHAR = ctypes.c_uint16
LPCWSTR = ctypes.POINTER(WCHAR)
LPVOID = ctypes.c_void_p

INVALID_HANDLE_VALUE = ctypes.c_void_p(-1).value
INVALID_FILE_ATTRIBUTES = 0xFFFF_FFFF
MAX_PATH = 260

GET_FILE_EX_INFO_STANDARD = 0  # GET_FILEEX_INFO_LEVELS
FILE_BASIC_INFO_CLASS = 0  # FILE_INFO_BY_HANDLE_CLASS
FILE_DISPOSITION_INFO_CLASS = 4
FILE_ALLOCATION_INFO_CLASS = 5
FILE_END_OF_FILE_INFO_CLASS = 6


class FILETIME(ctypes.Structure):
    """100 ns since 1601, in two halves: only 4 bytes aligned."""

    _fields_ = (("dwLowDateTime", DWORD), ("dwHighDateTime", DWORD))

    @classmethod
    def of(cls, moment: int) -> FILETIME:
        """From a number."""
        return cls(moment & 0xFFFF_FFFF, moment >> 32)

    @property
    def value(self) -> int:
        """As a number."""
        return int(self.dwHighDateTime) << 32 | int(self.dwLowDateTime)


class WIN32_FIND_DATAW(ctypes.Structure):  # noqa: N801  # Win32's name
    """What FindFirstFile and FindNextFile tell of a name."""

    _fields_ = (
        ("dwFileAttributes", DWORD),
        ("ftCreationTime", FILETIME),
        ("ftLastAccessTime", FILETIME),
        ("ftLastWriteTime", FILETIME),
        ("nFileSizeHigh", DWORD),
        ("nFileSizeLow", DWORD),
        ("dwReserved0", DWORD),
        ("dwReserved1", DWORD),
        ("cFileName", WCHAR * MAX_PATH),
        ("cAlternateFileName", WCHAR * 14),
    )


class WIN32_FILE_ATTRIBUTE_DATA(ctypes.Structure):  # noqa: N801
    """What GetFileAttributesEx tells."""

    _fields_ = (
        ("dwFileAttributes", DWORD),
        ("ftCreationTime", FILETIME),
        ("ftLastAccessTime", FILETIME),
        ("ftLastWriteTime", FILETIME),
        ("nFileSizeHigh", DWORD),
        ("nFileSizeLow", DWORD),
    )


class BY_HANDLE_FILE_INFORMATION(ctypes.Structure):  # noqa: N801
    """What GetFileInformationByHandle tells."""

    _fields_ = (
        ("dwFileAttributes", DWORD),
        ("ftCreationTime", FILETIME),
        ("ftLastAccessTime", FILETIME),
        ("ftLastWriteTime", FILETIME),
        ("dwVolumeSerialNumber", DWORD),
        ("nFileSizeHigh", DWORD),
        ("nFileSizeLow", DWORD),
        ("nNumberOfLinks", DWORD),
        ("nFileIndexHigh", DWORD),
        ("nFileIndexLow", DWORD),
    )


class OVERLAPPED(ctypes.Structure):
    """Where in the file a read, a write or a lock is. Its union with a pointer isn't needed."""

    _fields_ = (
        ("Internal", ULONG_PTR),
        ("InternalHigh", ULONG_PTR),
        ("Offset", DWORD),
        ("OffsetHigh", DWORD),
        ("hEvent", HANDLE),
    )

    @classmethod
    def at(cls, offset: int) -> OVERLAPPED:
        """For a synchronous call at *offset*."""
        return cls(0, 0, offset & 0xFFFF_FFFF, offset >> 32, None)

    @property
    def offset(self) -> int:
        """As a number."""
        return int(self.OffsetHigh) << 32 | int(self.Offset)


class FILE_BASIC_INFO(ctypes.Structure):  # noqa: N801
    """Times and attributes, to be set; 0: as they are."""

    _fields_ = (
        ("CreationTime", LARGE_INTEGER),
        ("LastAccessTime", LARGE_INTEGER),
        ("LastWriteTime", LARGE_INTEGER),
        ("ChangeTime", LARGE_INTEGER),
        ("FileAttributes", DWORD),
    )


class FILE_DISPOSITION_INFO(ctypes.Structure):  # noqa: N801
    """Whether the file goes away with its last handle; a BOOLEAN, one byte."""

    _fields_ = (("DeleteFile", ctypes.c_uint8),)


_P = ctypes.POINTER
PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "CloseHandle": (BOOL, (HANDLE,)),
    "CopyFileExW": (BOOL, (LPCWSTR, LPCWSTR, LPVOID, LPVOID, _P(BOOL), DWORD)),
    "CreateDirectoryW": (BOOL, (LPCWSTR, LPVOID)),
    "CreateFileW": (HANDLE, (LPCWSTR, DWORD, DWORD, LPVOID, DWORD, DWORD, HANDLE)),
    "DeleteFileW": (BOOL, (LPCWSTR,)),
    "FindClose": (BOOL, (HANDLE,)),
    "FindFirstFileW": (HANDLE, (LPCWSTR, _P(WIN32_FIND_DATAW))),
    "FindNextFileW": (BOOL, (HANDLE, _P(WIN32_FIND_DATAW))),
    "FlushFileBuffers": (BOOL, (HANDLE,)),
    "GetDiskFreeSpaceExW": (
        BOOL,
        (LPCWSTR, _P(ULARGE_INTEGER), _P(ULARGE_INTEGER), _P(ULARGE_INTEGER)),
    ),
    "GetFileAttributesExW": (BOOL, (LPCWSTR, ctypes.c_int32, _P(WIN32_FILE_ATTRIBUTE_DATA))),
    "GetFileInformationByHandle": (BOOL, (HANDLE, _P(BY_HANDLE_FILE_INFORMATION))),
    "GetFileSizeEx": (BOOL, (HANDLE, _P(LARGE_INTEGER))),
    "GetLogicalDrives": (DWORD, ()),
    "GetVolumeInformationW": (
        BOOL,
        (LPCWSTR, _P(WCHAR), DWORD, _P(DWORD), _P(DWORD), _P(DWORD), _P(WCHAR), DWORD),
    ),
    "LockFileEx": (BOOL, (HANDLE, DWORD, DWORD, DWORD, DWORD, _P(OVERLAPPED))),
    "MoveFileExW": (BOOL, (LPCWSTR, LPCWSTR, DWORD)),
    "ReadFile": (BOOL, (HANDLE, LPVOID, DWORD, _P(DWORD), _P(OVERLAPPED))),
    "RemoveDirectoryW": (BOOL, (LPCWSTR,)),
    "ReplaceFileW": (BOOL, (LPCWSTR, LPCWSTR, LPCWSTR, DWORD, LPVOID, LPVOID)),
    "SetEndOfFile": (BOOL, (HANDLE,)),
    "SetFileAttributesW": (BOOL, (LPCWSTR, DWORD)),
    "SetFileInformationByHandle": (BOOL, (HANDLE, ctypes.c_int32, LPVOID, DWORD)),
    "SetFilePointerEx": (BOOL, (HANDLE, LARGE_INTEGER, _P(LARGE_INTEGER), DWORD)),
    "SetFileTime": (BOOL, (HANDLE, _P(FILETIME), _P(FILETIME), _P(FILETIME))),
    "UnlockFileEx": (BOOL, (HANDLE, DWORD, DWORD, DWORD, _P(OVERLAPPED))),
    "WriteFile": (BOOL, (HANDLE, LPVOID, DWORD, _P(DWORD), _P(OVERLAPPED))),
}
"""Function of kernel32 -> what it returns, what it takes."""


def declare(library: Any) -> Any:
    """Tell ctypes the prototypes of *library*'s functions; return it."""
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def wide(text: str) -> Any:
    """*text* as a WCHAR array with its end: UTF-16, surrogate pairs, lone surrogates as they are.

    Raises:
        ValueError: it holds a NUL, where Windows would end it in silence.
    """
    if "\0" in text:
        raise ValueError("a path holds a NUL character")
    octets = (text + "\0").encode("utf-16-le", "surrogatepass")
    return (WCHAR * (len(octets) // 2)).from_buffer_copy(octets)


def narrow(units: Any) -> str:
    """The text in a WCHAR array, up to its NUL."""
    return bytes(units).decode("utf-16-le", "surrogatepass").partition("\0")[0]
