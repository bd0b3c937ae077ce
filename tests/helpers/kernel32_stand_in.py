"""kernel32's functions, with their C prototypes, above the fake Windows.

What the runner calls on a real drive letter goes through ctypes exactly as there: arguments are
converted as the prototypes say, structures are filled at their addresses, errors come by
GetLastError. Only what is behind each function is `simulators.fake_winfsp`.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable
from typing import Any

from simulators.fake_winfsp import Win32Error
from simulators.fake_winfsp import ntstatus as nt
from tests.scenario_runner import win32_abi as abi

ERROR_HANDLE_EOF = nt.ERROR_HANDLE_EOF


def _text(pointer: Any) -> str:
    """What a LPCWSTR points to."""
    units = []
    for at in range(1 << 16):
        unit = pointer[at]
        if unit == 0:
            break
        units.append(unit)
    return b"".join(unit.to_bytes(2, "little") for unit in units).decode(
        "utf-16-le", "surrogatepass"
    )


def _put(pointer: Any, text: str, size: int) -> None:
    """Write *text* and its NUL into a buffer of *size* WCHARs."""
    octets = (text + "\0").encode("utf-16-le", "surrogatepass")
    assert len(octets) // 2 <= size
    ctypes.memmove(pointer, octets, len(octets))


class StandIn:
    """A kernel32 whose functions ctypes calls. `calls` is what was called, in order."""

    def __init__(self, fake: Any) -> None:
        self._fake = fake
        self._error = threading.local()
        self._made: list[Any] = []  # ctypes keeps no reference to a callback
        self.calls: list[str] = []
        for name, (result, arguments) in abi.PROTOTYPES.items():
            callback = ctypes.CFUNCTYPE(result, *arguments)(self._guarded(name))
            self._made.append(callback)
            # Called by its address, as a function that a library exports.
            address = ctypes.cast(callback, ctypes.c_void_p).value
            assert address is not None
            function = ctypes.CFUNCTYPE(result, *arguments)(address)
            setattr(self, name, function)

    def last_error(self) -> int:
        """GetLastError of this thread."""
        return int(getattr(self._error, "code", 0))

    def _guarded(self, name: str) -> Callable[..., int]:
        action = getattr(self, f"_{name}")
        failed = abi.INVALID_HANDLE_VALUE if abi.PROTOTYPES[name][0] is abi.HANDLE else 0

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            try:
                found = action(*arguments)
            except Win32Error as error:
                self._error.code = error.winerror
                assert failed is not None
                return failed
            return 1 if found is None else int(found)

        return call

    def _fail(self, code: int, call: str) -> None:
        raise Win32Error(code, None, call)

    # -- handles -----------------------------------------------------------------------------

    def _CreateFileW(  # noqa: N802
        self, path: Any, access: int, share: int, security: Any, how: int, flags: int, other: Any
    ) -> int:
        assert not security
        assert not other
        handle = self._fake.create_file(_text(path), access, share, how, flags)
        self._error.code = self._fake.last_error
        return int(handle)

    def _CloseHandle(self, handle: int) -> None:  # noqa: N802
        self._fake.close_handle(handle)

    def _ReadFile(self, handle: int, buffer: int, length: int, count: Any, place: Any) -> None:  # noqa: N802
        count[0] = 0
        offset = place[0].offset if place else None
        data = self._fake.read_file(handle, length, offset)
        if place and not data and length:
            self._fail(ERROR_HANDLE_EOF, "ReadFile")
        ctypes.memmove(buffer, data, len(data))
        count[0] = len(data)

    def _WriteFile(self, handle: int, buffer: int, length: int, count: Any, place: Any) -> None:  # noqa: N802
        data = ctypes.string_at(buffer, length) if length else b""
        offset = place[0].offset if place else None
        count[0] = self._fake.write_file(handle, data, offset)

    def _SetFilePointerEx(self, handle: int, distance: int, new: Any, method: int) -> None:  # noqa: N802
        found = self._fake.set_file_pointer(handle, distance, method)
        if new:
            new[0] = found

    def _SetEndOfFile(self, handle: int) -> None:  # noqa: N802
        self._fake.set_end_of_file(handle)

    def _FlushFileBuffers(self, handle: int) -> None:  # noqa: N802
        self._fake.flush_file_buffers(handle)

    @staticmethod
    def _fill(data: Any, found: Any) -> None:
        """The fields that all three structures have."""
        data.dwFileAttributes = found.attributes
        data.ftCreationTime = abi.FILETIME.of(found.creation_time)
        data.ftLastAccessTime = abi.FILETIME.of(found.last_access_time)
        data.ftLastWriteTime = abi.FILETIME.of(found.last_write_time)
        data.nFileSizeHigh, data.nFileSizeLow = divmod(found.file_size, 1 << 32)

    def _GetFileInformationByHandle(self, handle: int, data: Any) -> None:  # noqa: N802
        found = self._fake.get_file_information(handle)
        self._fill(data[0], found)
        data[0].nNumberOfLinks = 1
        data[0].nFileIndexHigh, data[0].nFileIndexLow = divmod(found.index_number, 1 << 32)

    def _GetFileSizeEx(self, handle: int, size: Any) -> None:  # noqa: N802
        size[0] = self._fake.get_file_size(handle)

    def _SetFileTime(self, handle: int, creation: Any, access: Any, write: Any) -> None:  # noqa: N802
        times = [moment[0].value if moment else 0 for moment in (creation, access, write)]
        self._fake.set_file_time(handle, *times)

    def _SetFileInformationByHandle(self, handle: int, kind: int, data: int, size: int) -> None:  # noqa: N802
        def given(structure: Any) -> Any:
            assert size == ctypes.sizeof(structure)
            return structure.from_address(data)

        if kind == abi.FILE_BASIC_INFO_CLASS:
            basic = given(abi.FILE_BASIC_INFO)
            times = (
                basic.CreationTime, basic.LastAccessTime, basic.LastWriteTime, basic.ChangeTime
            )  # fmt: skip
            self._fake.set_basic_info(handle, basic.FileAttributes, times)
        elif kind == abi.FILE_ALLOCATION_INFO_CLASS:
            self._fake.set_allocation(handle, given(abi.LARGE_INTEGER).value)
        elif kind == abi.FILE_END_OF_FILE_INFO_CLASS:
            self._fake.set_end_of_file(handle, given(abi.LARGE_INTEGER).value)
        else:
            assert kind == abi.FILE_DISPOSITION_INFO_CLASS
            delete = bool(given(abi.FILE_DISPOSITION_INFO).DeleteFile)
            self._fake.set_delete(handle, delete=delete)

    def _LockFileEx(  # noqa: N802
        self, handle: int, flags: int, zero: int, low: int, high: int, place: Any
    ) -> None:
        assert zero == 0
        self._fake.lock_file(handle, place[0].offset, high << 32 | low, flags)

    def _UnlockFileEx(self, handle: int, zero: int, low: int, high: int, place: Any) -> None:  # noqa: N802
        assert zero == 0
        self._fake.unlock_file(handle, place[0].offset, high << 32 | low)

    # -- directories ---------------------------------------------------------------------------

    def _CreateDirectoryW(self, path: Any, security: Any) -> None:  # noqa: N802
        assert not security
        self._fake.create_directory(_text(path))

    def _RemoveDirectoryW(self, path: Any) -> None:  # noqa: N802
        self._fake.remove_directory(_text(path))

    def _entry(self, data: Any, found: Any) -> None:
        self._fill(data[0], found.info)
        octets = (found.name + "\0").encode("utf-16-le", "surrogatepass")
        ctypes.memmove(data[0].cFileName, octets, len(octets))

    def _FindFirstFileW(self, pattern: Any, data: Any) -> int:  # noqa: N802
        search, found = self._fake.find_first_file(_text(pattern))
        self._entry(data, found)
        return int(search)

    def _FindNextFileW(self, search: int, data: Any) -> None:  # noqa: N802
        self._entry(data, self._fake.find_next_file(search))

    def _FindClose(self, search: int) -> None:  # noqa: N802
        self._fake.find_close(search)

    # -- paths -----------------------------------------------------------------------------------

    def _GetFileAttributesExW(self, path: Any, level: int, data: Any) -> None:  # noqa: N802
        assert level == abi.GET_FILE_EX_INFO_STANDARD
        self._fill(data[0], self._fake.get_file_attributes_ex(_text(path)))

    def _SetFileAttributesW(self, path: Any, attributes: int) -> None:  # noqa: N802
        self._fake.set_file_attributes(_text(path), attributes)

    def _DeleteFileW(self, path: Any) -> None:  # noqa: N802
        self._fake.delete_file(_text(path))

    def _MoveFileExW(self, path: Any, target: Any, flags: int) -> None:  # noqa: N802
        self._fake.move_file_ex(_text(path), _text(target), flags)

    def _ReplaceFileW(  # noqa: N802
        self, replaced: Any, replacement: Any, backup: Any, flags: int, *nothing: Any
    ) -> None:
        assert flags == 0
        assert not any(nothing)
        kept = _text(backup) if backup else None
        self._fake.replace_file(_text(replaced), _text(replacement), kept)

    def _CopyFileExW(self, path: Any, target: Any, *options: Any) -> None:  # noqa: N802
        assert not any(options[:3])
        self._fake.copy_file(_text(path), _text(target), fail_if_exists=bool(options[3] & 1))

    # -- volumes ---------------------------------------------------------------------------------

    def _GetDiskFreeSpaceExW(self, path: Any, free: Any, total: Any, whole: Any) -> None:  # noqa: N802
        assert not whole
        free[0], total[0] = self._fake.get_disk_free_space_ex(_text(path))

    def _GetVolumeInformationW(  # noqa: N802
        self, path: Any, label: Any, size: int, serial: Any, longest: Any, flags: Any, *name: Any
    ) -> None:
        found = self._fake.get_volume_information(_text(path))
        _put(label, found.label, size)
        serial[0], longest[0] = found.serial_number, found.component_units_max
        flags[0] = found.flags
        _put(name[0], found.file_system_name, name[1])

    def _GetLogicalDrives(self) -> int:  # noqa: N802
        mask = 0
        for number in range(26):
            with contextlib.suppress(Win32Error):
                self._fake.get_file_attributes(f"{chr(ord('A') + number)}:\\")
                mask |= 1 << number
        return mask
