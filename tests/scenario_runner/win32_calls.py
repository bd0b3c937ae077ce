"""kernel32 by ctypes, with the methods of the fake's `Kernel32` that scenarios use.

    kernel32 = real_kernel32()                                      # Windows
    handle = kernel32.create_file("Z:\\\\a.txt", GENERIC_READ, FILE_SHARE_ALL, OPEN_EXISTING)

Every failure is a `Win32CallError` with the code that GetLastError gave. The library is given, so
that tests on Linux can stand in for it (`tests/helpers/kernel32_stand_in.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable
from ctypes import byref
from dataclasses import dataclass
from typing import Any

from simulators.fake_winfsp import constants as c
from tests.scenario_runner import win32_abi as abi

ERROR_FILE_NOT_FOUND = 2
ERROR_PATH_NOT_FOUND = 3
ERROR_NO_MORE_FILES = 18
ERROR_HANDLE_EOF = 38
VERBATIM = "\\\\?\\"
LONG = 240  # CreateDirectory takes 248 characters, and 12 must be left for a name


class Win32CallError(Exception):
    """A call failed; `winerror` is its GetLastError."""

    def __init__(self, winerror: int, call: str, path: str = "") -> None:
        super().__init__(f"{call}: error {winerror}{f' ({path})' if path else ''}")
        self.winerror = winerror
        self.call = call
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What Windows tells of a file; the fields that scenarios and cases look at."""

    name: str
    attributes: int
    file_size: int
    creation_time: int
    last_access_time: int
    last_write_time: int
    index_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInformation:
    """GetVolumeInformation's answer."""

    label: str
    serial_number: int
    component_units_max: int
    flags: int
    file_system_name: str


def real_kernel32() -> Kernel32:
    """The calls on this machine's kernel32.

    Raises:
        RuntimeError: it has none.
    """
    if sys.platform == "win32":
        library = abi.declare(ctypes.WinDLL("kernel32", use_last_error=True))
        return Kernel32(library, ctypes.get_last_error)
    else:  # noqa: RET505  # mypy follows platforms in branches only
        raise RuntimeError("kernel32 is for Windows")


def spelled(path: str) -> Any:
    r"""*path* as it goes to Windows; a long one as `\\?\Z:\…`, which has no limit of 260."""
    if len(path) >= LONG and path[1:3] == ":\\":
        return abi.wide(VERBATIM + path)
    return abi.wide(path)


def _found(data: Any, name: str = "", index: int = 0) -> Found:
    """From any of the three structures, which name their fields alike."""
    return Found(
        name=name,
        attributes=data.dwFileAttributes,
        file_size=data.nFileSizeHigh << 32 | data.nFileSizeLow,
        creation_time=data.ftCreationTime.value,
        last_access_time=data.ftLastAccessTime.value,
        last_write_time=data.ftLastWriteTime.value,
        index_number=index,
    )


class Kernel32:
    """The calls. Thread-safe as kernel32 is: GetLastError is a thread's own."""

    def __init__(self, library: Any, last_error: Callable[[], int]) -> None:
        self._library = library
        self._last_error = last_error
        self._made = threading.local()

    def _done(self, result: int, call: str, path: str = "") -> None:
        if not result:
            raise Win32CallError(self._last_error(), call, path)

    # -- handles ---------------------------------------------------------------------------------

    def create_file(
        self,
        path: str,
        access: int = c.GENERIC_READ,
        share: int = 0,
        disposition: int = c.OPEN_EXISTING,
        flags: int = c.FILE_ATTRIBUTE_NORMAL,
    ) -> int:
        """CreateFileW: a handle. *flags* are attributes and FILE_FLAG_…, as in Win32."""
        handle = self._library.CreateFileW(
            spelled(path), access, share, None, disposition, flags, None
        )
        if handle in (None, abi.INVALID_HANDLE_VALUE):
            raise Win32CallError(self._last_error(), "CreateFile", path)
        self._made.error = self._last_error()
        return int(handle)

    @property
    def last_error(self) -> int:
        """GetLastError after this thread's last CreateFile: 0 or ERROR_ALREADY_EXISTS."""
        return int(getattr(self._made, "error", 0))

    def close_handle(self, handle: int) -> None:
        """CloseHandle."""
        self._done(self._library.CloseHandle(handle), "CloseHandle")

    def read_file(self, handle: int, length: int, offset: int | None = None) -> bytes:
        """ReadFile at the file pointer, or at *offset*; b"" at the end."""
        buffer = ctypes.create_string_buffer(length)
        count = abi.DWORD(0)
        place = None if offset is None else byref(abi.OVERLAPPED.at(offset))
        if not self._library.ReadFile(handle, buffer, length, byref(count), place):
            code = self._last_error()
            if code != ERROR_HANDLE_EOF:  # by OVERLAPPED it is an error, by the pointer it is not
                raise Win32CallError(code, "ReadFile")
            return b""
        return buffer.raw[: count.value]

    def write_file(self, handle: int, data: bytes, offset: int | None = None) -> int:
        """WriteFile at the file pointer, or at *offset*; how much was taken."""
        count = abi.DWORD(0)
        place = None if offset is None else byref(abi.OVERLAPPED.at(offset))
        done = self._library.WriteFile(handle, data, len(data), byref(count), place)
        self._done(done, "WriteFile")
        return int(count.value)

    def set_file_pointer(self, handle: int, distance: int, method: int = c.FILE_BEGIN) -> int:
        """SetFilePointerEx: the new position."""
        place = abi.LARGE_INTEGER(0)
        done = self._library.SetFilePointerEx(handle, distance, byref(place), method)
        self._done(done, "SetFilePointerEx")
        return int(place.value)

    def set_end_of_file(self, handle: int, size: int | None = None) -> None:
        """SetEndOfFile at the pointer, which SetFilePointerEx moves to *size* before."""
        if size is not None:
            self.set_file_pointer(handle, size)
        self._done(self._library.SetEndOfFile(handle), "SetEndOfFile")

    def flush_file_buffers(self, handle: int) -> None:
        """FlushFileBuffers."""
        self._done(self._library.FlushFileBuffers(handle), "FlushFileBuffers")

    def get_file_information(self, handle: int) -> Found:
        """GetFileInformationByHandle."""
        data = abi.BY_HANDLE_FILE_INFORMATION()
        done = self._library.GetFileInformationByHandle(handle, byref(data))
        self._done(done, "GetFileInformationByHandle")
        return _found(data, index=data.nFileIndexHigh << 32 | data.nFileIndexLow)

    def get_file_size(self, handle: int) -> int:
        """GetFileSizeEx."""
        size = abi.LARGE_INTEGER(0)
        self._done(self._library.GetFileSizeEx(handle, byref(size)), "GetFileSizeEx")
        return int(size.value)

    def set_file_time(
        self, handle: int, creation: int = 0, last_access: int = 0, last_write: int = 0
    ) -> None:
        """SetFileTime, in FILETIMEs; 0: as it is."""
        times = [
            byref(abi.FILETIME.of(moment)) if moment else None
            for moment in (creation, last_access, last_write)
        ]
        self._done(self._library.SetFileTime(handle, *times), "SetFileTime")

    def _set_information(self, handle: int, kind: int, data: Any) -> None:
        done = self._library.SetFileInformationByHandle(
            handle, kind, byref(data), ctypes.sizeof(data)
        )
        self._done(done, "SetFileInformationByHandle")

    def set_basic_info(
        self, handle: int, attributes: int, times: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        """SetFileInformationByHandle, FileBasicInfo."""
        data = abi.FILE_BASIC_INFO(*times, attributes)
        self._set_information(handle, abi.FILE_BASIC_INFO_CLASS, data)

    def set_allocation(self, handle: int, size: int) -> None:
        """SetFileInformationByHandle, FileAllocationInfo."""
        self._set_information(handle, abi.FILE_ALLOCATION_INFO_CLASS, abi.LARGE_INTEGER(size))

    def set_delete(self, handle: int, *, delete: bool = True) -> None:
        """SetFileInformationByHandle, FileDispositionInfo."""
        data = abi.FILE_DISPOSITION_INFO(int(delete))
        self._set_information(handle, abi.FILE_DISPOSITION_INFO_CLASS, data)

    def lock_file(
        self, handle: int, offset: int, length: int, flags: int = c.LOCKFILE_EXCLUSIVE_LOCK
    ) -> None:
        """LockFileEx; never waits."""
        told = flags | c.LOCKFILE_FAIL_IMMEDIATELY
        low, high = length & 0xFFFF_FFFF, length >> 32
        place = byref(abi.OVERLAPPED.at(offset))
        self._done(self._library.LockFileEx(handle, told, 0, low, high, place), "LockFileEx")

    def unlock_file(self, handle: int, offset: int, length: int) -> None:
        """UnlockFileEx."""
        low, high = length & 0xFFFF_FFFF, length >> 32
        place = byref(abi.OVERLAPPED.at(offset))
        self._done(self._library.UnlockFileEx(handle, 0, low, high, place), "UnlockFileEx")

    # -- directories -----------------------------------------------------------------------------

    def create_directory(self, path: str) -> None:
        """CreateDirectoryW."""
        self._done(self._library.CreateDirectoryW(spelled(path), None), "CreateDirectory", path)

    def remove_directory(self, path: str) -> None:
        """RemoveDirectoryW."""
        self._done(self._library.RemoveDirectoryW(spelled(path)), "RemoveDirectory", path)

    def find_first_file(self, pattern: str) -> tuple[int, Found]:
        """FindFirstFileW: a search handle and the first match."""
        data = abi.WIN32_FIND_DATAW()
        search = self._library.FindFirstFileW(spelled(pattern), byref(data))
        if search in (None, abi.INVALID_HANDLE_VALUE):
            raise Win32CallError(self._last_error(), "FindFirstFile", pattern)
        return int(search), _found(data, abi.narrow(data.cFileName))

    def find_next_file(self, search: int) -> Found:
        """FindNextFileW; ERROR_NO_MORE_FILES at the end."""
        data = abi.WIN32_FIND_DATAW()
        self._done(self._library.FindNextFileW(search, byref(data)), "FindNextFile")
        return _found(data, abi.narrow(data.cFileName))

    def find_close(self, search: int) -> None:
        """FindClose."""
        self._done(self._library.FindClose(search), "FindClose")

    def find_files(self, pattern: str) -> list[Found]:
        """A whole search: first, next …, close. [] when nothing matches."""
        try:
            search, first = self.find_first_file(pattern)
        except Win32CallError as error:
            if error.winerror == ERROR_FILE_NOT_FOUND:  # a missing directory is PATH_NOT_FOUND
                return []
            raise
        found = [first]
        try:
            while True:
                found.append(self.find_next_file(search))
        except Win32CallError as error:
            if error.winerror != ERROR_NO_MORE_FILES:
                raise
        finally:
            self.find_close(search)
        return found

    def list_directory(self, path: str) -> list[str]:
        """Names without . and .."""
        found = self.find_files(path.rstrip("\\") + "\\*")
        if not found:  # a root has no . and ..; is it there at all?
            self.get_file_attributes(path)
        return [entry.name for entry in found if entry.name not in (".", "..")]

    # -- paths -----------------------------------------------------------------------------------

    def get_file_attributes_ex(self, path: str) -> Found:
        """GetFileAttributesExW: attributes, size and times."""
        data = abi.WIN32_FILE_ATTRIBUTE_DATA()
        done = self._library.GetFileAttributesExW(
            spelled(path), abi.GET_FILE_EX_INFO_STANDARD, byref(data)
        )
        self._done(done, "GetFileAttributesEx", path)
        return _found(data)

    def get_file_attributes(self, path: str) -> int:
        """As GetFileAttributesW."""
        return self.get_file_attributes_ex(path).attributes

    def exists(self, path: str) -> bool:
        """Whether GetFileAttributes succeeds; errors that say something else are raised."""
        try:
            self.get_file_attributes(path)
        except Win32CallError as error:
            if error.winerror in (ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND):
                return False
            raise
        return True

    def set_file_attributes(self, path: str, attributes: int) -> None:
        """SetFileAttributesW."""
        done = self._library.SetFileAttributesW(spelled(path), attributes)
        self._done(done, "SetFileAttributes", path)

    def delete_file(self, path: str) -> None:
        """DeleteFileW."""
        self._done(self._library.DeleteFileW(spelled(path)), "DeleteFile", path)

    def move_file_ex(self, path: str, target: str, flags: int = 0) -> None:
        """MoveFileExW."""
        done = self._library.MoveFileExW(spelled(path), spelled(target), flags)
        self._done(done, "MoveFileEx", path)

    def replace_file(self, replaced: str, replacement: str, backup: str | None = None) -> None:
        """ReplaceFileW."""
        kept = spelled(backup) if backup is not None else None
        done = self._library.ReplaceFileW(
            spelled(replaced), spelled(replacement), kept, 0, None, None
        )
        self._done(done, "ReplaceFile", replaced)

    def copy_file(self, path: str, target: str, *, fail_if_exists: bool = False) -> None:
        """CopyFileExW."""
        flags = 1 if fail_if_exists else 0  # COPY_FILE_FAIL_IF_EXISTS
        done = self._library.CopyFileExW(spelled(path), spelled(target), None, None, None, flags)
        self._done(done, "CopyFileEx", path)

    # -- volumes ---------------------------------------------------------------------------------

    def get_disk_free_space_ex(self, path: str) -> tuple[int, int]:
        """GetDiskFreeSpaceExW: free and total bytes."""
        free, total = abi.ULARGE_INTEGER(0), abi.ULARGE_INTEGER(0)
        done = self._library.GetDiskFreeSpaceExW(abi.wide(path), byref(free), byref(total), None)
        self._done(done, "GetDiskFreeSpaceEx", path)
        return int(free.value), int(total.value)

    def get_volume_information(self, path: str) -> VolumeInformation:
        """GetVolumeInformationW."""
        size = abi.MAX_PATH + 1
        label, name = (abi.WCHAR * size)(), (abi.WCHAR * size)()
        serial, longest, flags = abi.DWORD(0), abi.DWORD(0), abi.DWORD(0)
        done = self._library.GetVolumeInformationW(
            abi.wide(path), label, size, byref(serial), byref(longest), byref(flags), name, size
        )
        self._done(done, "GetVolumeInformation", path)
        return VolumeInformation(
            label=abi.narrow(label),
            serial_number=int(serial.value),
            component_units_max=int(longest.value),
            flags=int(flags.value),
            file_system_name=abi.narrow(name),
        )

    def letters(self) -> set[str]:
        """GetLogicalDrives: the letters that are taken, as "Z:". Asks no drive anything."""
        mask = self._library.GetLogicalDrives()
        return {f"{chr(ord('A') + number)}:" for number in range(26) if mask >> number & 1}


def close_quietly(kernel32: Kernel32, handles: list[int]) -> None:
    """Close what a scenario left open; the drive may be gone already."""
    for handle in handles:
        with contextlib.suppress(Win32CallError):
            kernel32.close_handle(handle)
