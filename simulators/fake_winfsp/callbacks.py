"""Calls of the file system's interface table: Python values in, Python values out, all traced."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus
from simulators.fake_winfsp.calls import CallLog
from simulators.fake_winfsp.declarations import CALLBACKS, CData, ffi

GUARD_BYTES = 4096
_FILL = 0xA5
NAME_UNITS_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """What a program learns of a file."""

    attributes: int
    allocation_size: int
    file_size: int
    creation_time: int
    last_access_time: int
    last_write_time: int
    change_time: int
    index_number: int

    @property
    def directory(self) -> bool:
        """Whether it is one."""
        return bool(self.attributes & c.FILE_ATTRIBUTE_DIRECTORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirEntry:
    """A line of a listing."""

    name: str
    info: FileInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    """Sizes and label."""

    total_size: int
    free_size: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What Create and Open gave."""

    context: CData
    info: FileInfo
    normalized_name: str | None


class Callbacks:
    """The interface table of one file system. Every method runs on a worker.

    Methods raise NtError for a status that is an error. `violations` collects what would corrupt
    memory or confuse a real driver.
    """

    def __init__(self, file_system: CData, interface: CData, log: CallLog) -> None:
        self._fs = file_system
        self._interface = ffi.new("FSP_FILE_SYSTEM_INTERFACE *", interface[0])
        self._log = log
        self._open_contexts: set[int] = set()
        self.violations: list[str] = []

    def has(self, op: str) -> bool:
        """Whether the table has an entry."""
        return op in CALLBACKS and bool(getattr(self._interface, op) != ffi.NULL)

    def _call(
        self, op: str, path: str | None, context: CData, arguments: tuple[Any, ...], **details: Any
    ) -> int:
        function: Callable[..., int | None] = getattr(self._interface, op)
        status = ntstatus.UNSUCCESSFUL
        address = int(ffi.cast("uintptr_t", context)) if context is not None else 0
        number = self._log.begin(op, path)
        began_s = time.perf_counter()
        try:
            if address and address not in self._open_contexts:
                # An expired request that got its turn after Close: real memory would be free.
                status = ntstatus.CANCELLED
                return status
            if op == "Close":
                self._open_contexts.discard(address)
            status = function(self._fs, *arguments) or 0
        finally:
            self._log.end(number, status, address, time.perf_counter() - began_s, details)
        return status

    def _checked(self, *arguments: Any, **details: Any) -> None:
        status = self._call(*arguments, **details)
        if status >= 0x8000_0000:
            raise ntstatus.NtError(status)

    # -- names ------------------------------------------------------------------------------------

    def get_security_by_name(self, name: str) -> tuple[int, bytes]:
        """Attributes and security descriptor (empty: none)."""
        text, attributes = wide(name), ffi.new("UINT32 *")
        size_bytes = 1024
        while True:
            size = ffi.new("SIZE_T *", size_bytes)
            buffer = ffi.new("char[]", size_bytes)
            pointer = ffi.cast("PSECURITY_DESCRIPTOR", buffer)
            status = self._call("GetSecurityByName", name, None, (text, attributes, pointer, size))
            if status != ntstatus.BUFFER_OVERFLOW or size[0] <= size_bytes:
                break
            size_bytes = int(size[0])
        if status >= 0x8000_0000:
            raise ntstatus.NtError(status)
        return int(attributes[0]), bytes(ffi.buffer(buffer, size[0]))

    def create(
        self, name: str, options: int, access: int, attributes: int, security: bytes, size: int
    ) -> Opened:
        """A new file or directory."""
        text, descriptor = wide(name), ffi.from_buffer(security)
        pointer = ffi.cast("PSECURITY_DESCRIPTOR", descriptor)

        def arguments(context: CData, info: CData) -> tuple[Any, ...]:
            return (text, options, access, attributes, pointer, size, context, info)

        details = {"options": options, "access": access, "attributes": attributes}
        return self._open("Create", name, arguments, details)

    def open(self, name: str, options: int, access: int) -> Opened:
        """One that is there."""
        text = wide(name)

        def arguments(context: CData, info: CData) -> tuple[Any, ...]:
            return (text, options, access, context, info)

        return self._open("Open", name, arguments, {"options": options, "access": access})

    def _open(
        self,
        op: str,
        name: str,
        arguments: Callable[[CData, CData], tuple[Any, ...]],
        details: dict[str, Any],
    ) -> Opened:
        context, found = ffi.new("PVOID *"), ffi.new("FSP_FSCTL_OPEN_FILE_INFO *")
        normalized = ffi.new("WCHAR[]", 32768)
        found.NormalizedName, found.NormalizedNameSize = normalized, 0xFFFF
        info = ffi.cast("FSP_FSCTL_FILE_INFO *", found)
        self._checked(op, name, None, arguments(context, info), **details)
        self._open_contexts.add(int(ffi.cast("uintptr_t", context[0])))
        size = found.NormalizedNameSize
        told = None if size == 0xFFFF else ffi.unpack(normalized, size // 2)
        return Opened(context=context[0], info=file_info(info), normalized_name=told)

    # -- open files -------------------------------------------------------------------------------

    def overwrite(
        self, context: CData, path: str, attributes: int, *, replace: bool, size: int
    ) -> FileInfo:
        """Empty it."""
        info = ffi.new("FSP_FSCTL_FILE_INFO *")
        arguments = (context, attributes, replace, size, info)
        self._checked("Overwrite", path, context, arguments, attributes=attributes, replace=replace)
        return file_info(info)

    def cleanup(self, context: CData, path: str, name: str | None, flags: int) -> None:
        """A handle is closed."""
        text = wide(name) if name is not None else ffi.NULL
        self._call("Cleanup", path, context, (context, text, flags), name=name, flags=flags)

    def close(self, context: CData, path: str) -> None:
        """The last reference to an open file has gone."""
        self._call("Close", path, context, (context,))

    def read(self, context: CData, path: str, offset: int, length: int) -> bytes:
        """At most *length* bytes; more is a violation."""
        buffer = ffi.new("uint8_t[]", length + GUARD_BYTES)
        guard = ffi.buffer(buffer + length, GUARD_BYTES)
        guard[:] = bytes([_FILL]) * GUARD_BYTES
        done = ffi.new("ULONG *")
        arguments = (context, buffer, offset, length, done)
        self._checked("Read", path, context, arguments, offset=offset, length=length)
        if done[0] > length or bytes(guard).strip(bytes([_FILL])):
            self.violations.append(f"Read {path} gave {done[0]} bytes, {length} were asked for")
        return bytes(ffi.buffer(buffer, min(done[0], length)))

    def write(
        self, context: CData, path: str, data: bytes, offset: int, *, to_end: bool
    ) -> tuple[int, FileInfo]:
        """How much was written, and the file after it."""
        info, done = ffi.new("FSP_FSCTL_FILE_INFO *"), ffi.new("ULONG *")
        buffer = ffi.new("uint8_t[]", data)
        arguments = (context, buffer, offset, len(data), to_end, False, done, info)
        details = {"offset": offset, "length": len(data), "to_end": to_end}
        self._checked("Write", path, context, arguments, **details)
        if done[0] > len(data):
            self.violations.append(f"Write {path} took {done[0]} of {len(data)} bytes")
        return int(done[0]), file_info(info)

    def flush(self, context: CData, path: str) -> FileInfo:
        """Everything written is safe."""
        info = ffi.new("FSP_FSCTL_FILE_INFO *")
        self._checked("Flush", path, context, (context, info))
        return file_info(info)

    def get_file_info(self, context: CData, path: str) -> FileInfo:
        """The file now."""
        info = ffi.new("FSP_FSCTL_FILE_INFO *")
        self._checked("GetFileInfo", path, context, (context, info))
        return file_info(info)

    def set_basic_info(
        self, context: CData, path: str, attributes: int, times: tuple[int, int, int, int]
    ) -> FileInfo:
        """Attributes and times (creation, access, write, change); 0: as it is."""
        info = ffi.new("FSP_FSCTL_FILE_INFO *")
        arguments = (context, attributes, *times, info)
        self._checked("SetBasicInfo", path, context, arguments, attributes=attributes, times=times)
        return file_info(info)

    def set_file_size(self, context: CData, path: str, size: int, *, allocation: bool) -> FileInfo:
        """End of file, or allocation."""
        info = ffi.new("FSP_FSCTL_FILE_INFO *")
        arguments = (context, size, allocation, info)
        self._checked("SetFileSize", path, context, arguments, size=size, allocation=allocation)
        return file_info(info)

    def can_delete(self, context: CData, name: str) -> None:
        """Raises when it can't."""
        self._checked("CanDelete", name, context, (context, wide(name)))

    def rename(self, context: CData, name: str, new_name: str, *, replace: bool) -> None:
        """Move it."""
        arguments = (context, wide(name), wide(new_name), replace)
        self._checked("Rename", name, context, arguments, new_name=new_name, replace=replace)

    def get_security(self, context: CData, path: str) -> bytes:
        """The security descriptor."""
        size = ffi.new("SIZE_T *", c.DIRECTORY_BUFFER_BYTES)
        buffer = ffi.new("char[]", c.DIRECTORY_BUFFER_BYTES)
        pointer = ffi.cast("PSECURITY_DESCRIPTOR", buffer)
        self._checked("GetSecurity", path, context, (context, pointer, size))
        return bytes(ffi.buffer(buffer, size[0]))

    def set_security(self, context: CData, path: str, information: int, change: bytes) -> None:
        """Change the parts that *information* names."""
        held = ffi.from_buffer(change)
        pointer = ffi.cast("PSECURITY_DESCRIPTOR", held)
        arguments = (context, information, pointer)
        self._checked("SetSecurity", path, context, arguments, information=information)

    # -- directories and the volume ---------------------------------------------------------------

    def read_directory(
        self, context: CData, path: str, marker: str | None
    ) -> tuple[list[DirEntry], bool]:
        """One buffer of the listing behind *marker*, and whether it ends there."""
        buffer = ffi.new("char[]", c.DIRECTORY_BUFFER_BYTES)
        done = ffi.new("ULONG *")
        text = wide(marker) if marker is not None else ffi.NULL
        arguments = (context, ffi.NULL, text, buffer, c.DIRECTORY_BUFFER_BYTES, done)
        self._checked("ReadDirectory", path, context, arguments, marker=marker)
        return _entries(buffer, int(done[0]))

    def get_dir_info_by_name(self, context: CData, path: str, name: str) -> DirEntry:
        """One line of the listing."""
        room = ffi.sizeof("FSP_FSCTL_DIR_INFO") + 2 * (NAME_UNITS_MAX + 1)
        buffer = ffi.new("char[]", room)
        found = ffi.cast("FSP_FSCTL_DIR_INFO *", buffer)
        arguments = (context, wide(name), found)
        self._checked("GetDirInfoByName", path, context, arguments, name=name)
        return _entry(buffer, 0)

    def get_volume_info(self) -> VolumeInfo:
        """Sizes and label."""
        info = ffi.new("FSP_FSCTL_VOLUME_INFO *")
        self._checked("GetVolumeInfo", None, None, (info,))
        return _volume_info(info)

    def set_volume_label(self, label: str) -> VolumeInfo:
        """Rename the volume."""
        info = ffi.new("FSP_FSCTL_VOLUME_INFO *")
        self._checked("SetVolumeLabel", None, None, (wide(label), info), label=label)
        return _volume_info(info)


def wide(text: str) -> CData:
    """A WCHAR string with its NUL."""
    return ffi.new("WCHAR[]", text)


def file_info(found: CData) -> FileInfo:
    """The struct's values."""
    return FileInfo(
        attributes=found.FileAttributes,
        allocation_size=found.AllocationSize,
        file_size=found.FileSize,
        creation_time=found.CreationTime,
        last_access_time=found.LastAccessTime,
        last_write_time=found.LastWriteTime,
        change_time=found.ChangeTime,
        index_number=found.IndexNumber,
    )


def _volume_info(found: CData) -> VolumeInfo:
    label = ffi.unpack(found.VolumeLabel, found.VolumeLabelLength // 2)
    return VolumeInfo(total_size=found.TotalSize, free_size=found.FreeSize, label=label)


def _entry(buffer: CData, at: int) -> DirEntry:
    found = ffi.cast("FSP_FSCTL_DIR_INFO *", buffer + at)
    head = ffi.sizeof("FSP_FSCTL_DIR_INFO")
    raw = bytes(ffi.buffer(buffer + at + head, found.Size - head))
    name = raw.decode("utf-16-le", "surrogatepass")
    return DirEntry(name=name, info=file_info(found.FileInfo))


def _entries(buffer: CData, size: int) -> tuple[list[DirEntry], bool]:
    found: list[DirEntry] = []
    at = 0
    while at + 2 <= size:
        length = int(ffi.cast("UINT16 *", buffer + at)[0])
        if length == 0:
            return found, True
        found.append(_entry(buffer, at))
        at += -(-length // 8) * 8
    return found, False


def add_dir_info(entry: CData, buffer: CData, length: int, transferred: CData) -> bool:
    """FspFileSystemAddDirInfo: False when it does not fit; NULL marks the end of the listing."""
    at = transferred[0]
    place = ffi.cast("char *", buffer) + at
    if entry == ffi.NULL:
        if at + 2 > length:
            return False
        ffi.cast("UINT16 *", place)[0] = 0
        transferred[0] = at + 2
        return True
    size = entry.Size
    aligned = -(-size // 8) * 8
    if at + aligned > length:
        return False
    ffi.memmove(place, entry, size)
    transferred[0] = at + aligned
    return True
