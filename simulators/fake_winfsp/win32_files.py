"""Win32 handles and the calls on open files. Names are Win32's in Python's spelling."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import files, security
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp.callbacks import FileInfo
from simulators.fake_winfsp.constants import Disposition, Outcome
from simulators.fake_winfsp.create import CreateRequest, create
from simulators.fake_winfsp.mounts import full_path
from simulators.fake_winfsp.ntstatus import NtError, Win32Error
from simulators.fake_winfsp.volume import FileHandle, Volume

if TYPE_CHECKING:
    from simulators.fake_winfsp.windows import FakeWindows

_DISPOSITIONS = {
    c.CREATE_NEW: Disposition.CREATE,
    c.CREATE_ALWAYS: Disposition.OVERWRITE_IF,
    c.OPEN_EXISTING: Disposition.OPEN,
    c.OPEN_ALWAYS: Disposition.OPEN_IF,
    c.TRUNCATE_EXISTING: Disposition.OVERWRITE,
}
_FLAG_OPTIONS = {
    c.FILE_FLAG_WRITE_THROUGH: c.FILE_WRITE_THROUGH,
    c.FILE_FLAG_NO_BUFFERING: c.FILE_NO_INTERMEDIATE_BUFFERING,
    c.FILE_FLAG_RANDOM_ACCESS: c.FILE_RANDOM_ACCESS,
    c.FILE_FLAG_SEQUENTIAL_SCAN: c.FILE_SEQUENTIAL_ONLY,
    c.FILE_FLAG_DELETE_ON_CLOSE: c.FILE_DELETE_ON_CLOSE,
    c.FILE_FLAG_BACKUP_SEMANTICS: c.FILE_OPEN_FOR_BACKUP_INTENT,
    c.FILE_FLAG_OPEN_REPARSE_POINT: c.FILE_OPEN_REPARSE_POINT,
}
ATTRIBUTES_SETTABLE = 0x0000_31A7
BACKUP = c.FILE_OPEN_FOR_BACKUP_INTENT | c.FILE_OPEN_REPARSE_POINT
SYNCHRONOUS = c.FILE_SYNCHRONOUS_IO_NONALERT


@dataclass(slots=True, kw_only=True)
class OpenFile:
    """What a HANDLE stands for."""

    volume: Volume
    handle: FileHandle
    path: str
    position: int = 0


class Kernel32Base:
    """Handles, paths, errors: what all calls stand on."""

    def __init__(self, windows: FakeWindows, *, elevated: bool) -> None:
        self._windows = windows
        self._elevated = elevated
        self._lock = threading.Lock()
        self._numbers = itertools.count(4, 4)
        self._files: dict[int, OpenFile] = {}
        self._last = threading.local()

    @property
    def last_error(self) -> int:
        """GetLastError after a call that succeeded: 0 or ERROR_ALREADY_EXISTS. By thread."""
        return int(getattr(self._last, "error", 0))

    def session(self, *, elevated: bool) -> Self:
        """The same machine, seen by programs of that session."""
        return type(self)(self._windows, elevated=elevated)

    def open_files(self) -> list[str]:
        """Paths that this session's programs have open."""
        with self._lock:
            return [file.path for file in self._files.values()]

    @contextmanager
    def _translated(self, call: str, path: str) -> Iterator[None]:
        try:
            yield
        except NtError as error:
            raise Win32Error(nt.win32_of(error.status), error.status, call, path) from error

    def _locate(self, path: str, call: str) -> tuple[Volume, str]:
        long_paths = self._windows.settings.long_paths
        full = full_path(path, call, long_paths=long_paths)
        mount = self._windows.find(full, elevated=self._elevated)
        if mount is None:
            unc = full.startswith("\\\\")
            code = 53 if unc else nt.ERROR_PATH_NOT_FOUND
            raise Win32Error(code, nt.BAD_NETWORK_PATH if unc else None, call, path)
        return mount.volume, full[len(mount.root) :] or "\\"

    def _nt_open(
        self,
        call: str,
        path: str,
        access: int,
        options: int = 0,
        *,
        share: int = c.FILE_SHARE_ALL,
        disposition: Disposition = Disposition.OPEN,
        attributes: int = 0,
        descriptor: security.Descriptor | None = None,
        synchronous: bool = True,
    ) -> tuple[OpenFile, Outcome]:
        volume, name = self._locate(path, call)
        with self._translated(call, path):
            handle, outcome = create(
                volume,
                CreateRequest(
                    name=name,
                    access=access | (c.SYNCHRONIZE if synchronous else 0),
                    share=share,
                    disposition=disposition,
                    options=options | (SYNCHRONOUS if synchronous else 0),
                    attributes=attributes,
                    security=descriptor,
                ),
            )
        return OpenFile(volume=volume, handle=handle, path=path), outcome

    @contextmanager
    def _opened(
        self, call: str, path: str, access: int, options: int = 0, *, synchronous: bool = True
    ) -> Iterator[OpenFile]:
        """A file that a call opens and closes itself."""
        file, _ = self._nt_open(call, path, access, options, synchronous=synchronous)
        try:
            with self._translated(call, path):
                yield file
        finally:
            files.close(file.volume, file.handle)

    def _file(self, handle: int, call: str) -> OpenFile:
        with self._lock:
            file = self._files.get(handle)
        if file is None:
            raise Win32Error(nt.ERROR_INVALID_HANDLE, nt.INVALID_HANDLE, call)
        return file

    def _register(self, file: OpenFile) -> int:
        with self._lock:
            number = next(self._numbers)
            self._files[number] = file
        return number


class FileCalls(Kernel32Base):
    """Calls on handles of files."""

    def create_file(
        self,
        path: str,
        access: int = c.GENERIC_READ,
        share: int = 0,
        disposition: int = c.OPEN_EXISTING,
        flags: int = c.FILE_ATTRIBUTE_NORMAL,
        descriptor: security.Descriptor | None = None,
    ) -> int:
        """CreateFileW: a handle. *flags* are attributes and FILE_FLAG_…, as in Win32."""
        call = "CreateFile"
        if disposition not in _DISPOSITIONS:
            raise Win32Error(nt.ERROR_INVALID_PARAMETER, None, call, path)
        if disposition == c.TRUNCATE_EXISTING and not access & c.GENERIC_WRITE:
            raise Win32Error(nt.ERROR_INVALID_PARAMETER, None, call, path)
        options = sum(option for flag, option in _FLAG_OPTIONS.items() if flags & flag)
        if not flags & c.FILE_FLAG_BACKUP_SEMANTICS:
            options |= c.FILE_NON_DIRECTORY_FILE
        if flags & c.FILE_FLAG_DELETE_ON_CLOSE:
            access |= c.DELETE
        try:
            file, outcome = self._nt_open(
                call,
                path,
                access | c.FILE_READ_ATTRIBUTES,
                options,
                share=share,
                disposition=_DISPOSITIONS[disposition],
                attributes=flags & ATTRIBUTES_SETTABLE,
                descriptor=descriptor,
            )
        except Win32Error as error:
            if error.ntstatus == nt.OBJECT_NAME_COLLISION and disposition == c.CREATE_NEW:
                raise Win32Error(nt.ERROR_FILE_EXISTS, error.ntstatus, call, path) from error
            if error.ntstatus == nt.FILE_IS_A_DIRECTORY and path.endswith("\\"):
                raise Win32Error(nt.ERROR_PATH_NOT_FOUND, error.ntstatus, call, path) from error
            raise
        always = disposition in (c.CREATE_ALWAYS, c.OPEN_ALWAYS)
        self._last.error = (
            nt.ERROR_ALREADY_EXISTS if always and outcome is not Outcome.CREATED else 0
        )
        return self._register(file)

    def close_handle(self, handle: int) -> None:
        """CloseHandle. Close reaches the file system some time later."""
        file = self._file(handle, "CloseHandle")
        with self._lock:
            self._files.pop(handle, None)
        files.close(file.volume, file.handle)

    def read_file(self, handle: int, length: int, offset: int | None = None) -> bytes:
        """ReadFile, at the file pointer or (as with OVERLAPPED) at *offset*; b"" at the end."""
        file = self._file(handle, "ReadFile")
        place = file.position if offset is None else offset
        with self._translated("ReadFile", file.path):
            try:
                data = files.read(file.volume, file.handle, place, length)
            except NtError as error:
                if error.status != nt.END_OF_FILE:
                    raise
                data = b""
        file.position = place + len(data)
        return data

    def write_file(self, handle: int, data: bytes, offset: int | None = None) -> int:
        """WriteFile, at the file pointer or at *offset*; how much was taken."""
        file = self._file(handle, "WriteFile")
        place = file.position if offset is None else offset
        with self._translated("WriteFile", file.path):
            done = files.write(file.volume, file.handle, data, place)
        file.position = place + done
        return done

    def set_file_pointer(self, handle: int, distance: int, method: int = c.FILE_BEGIN) -> int:
        """SetFilePointerEx: the new position."""
        file = self._file(handle, "SetFilePointer")
        with self._translated("SetFilePointer", file.path):
            end = files.query(file.volume, file.handle).file_size if method == c.FILE_END else 0
        base = {c.FILE_BEGIN: 0, c.FILE_CURRENT: file.position, c.FILE_END: end}[method]
        if base + distance < 0:
            raise Win32Error(131, None, "SetFilePointer", file.path)  # ERROR_NEGATIVE_SEEK
        file.position = base + distance
        return file.position

    def set_end_of_file(self, handle: int, size: int | None = None) -> None:
        """SetEndOfFile: the file ends at the pointer, or has *size* (FileEndOfFileInfo)."""
        file = self._file(handle, "SetEndOfFile")
        told = file.position if size is None else size
        with self._translated("SetEndOfFile", file.path):
            files.set_size(file.volume, file.handle, told)

    def set_allocation(self, handle: int, size: int) -> None:
        """SetFileInformationByHandle, FileAllocationInfo."""
        file = self._file(handle, "SetFileInformationByHandle")
        with self._translated("SetFileInformationByHandle", file.path):
            files.set_size(file.volume, file.handle, size, allocation=True)

    def flush_file_buffers(self, handle: int) -> None:
        """FlushFileBuffers."""
        file = self._file(handle, "FlushFileBuffers")
        with self._translated("FlushFileBuffers", file.path):
            files.flush(file.volume, file.handle)

    def get_file_information(self, handle: int) -> FileInfo:
        """GetFileInformationByHandle."""
        file = self._file(handle, "GetFileInformationByHandle")
        with self._translated("GetFileInformationByHandle", file.path):
            return as_seen(files.query(file.volume, file.handle))

    def get_file_size(self, handle: int) -> int:
        """GetFileSizeEx."""
        return self.get_file_information(handle).file_size

    def set_file_time(
        self, handle: int, creation: int = 0, last_access: int = 0, last_write: int = 0
    ) -> None:
        """SetFileTime, in FILETIMEs; 0: as it is."""
        self.set_basic_info(handle, 0, (creation, last_access, last_write, 0))

    def set_basic_info(
        self, handle: int, attributes: int, times: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        """SetFileInformationByHandle, FileBasicInfo."""
        file = self._file(handle, "SetFileTime")
        with self._translated("SetFileTime", file.path):
            files.set_basic(file.volume, file.handle, attributes, times)

    def set_delete(self, handle: int, *, delete: bool = True) -> None:
        """SetFileInformationByHandle, FileDispositionInfo."""
        file = self._file(handle, "SetFileInformationByHandle")
        with self._translated("SetFileInformationByHandle", file.path):
            files.set_disposition(file.volume, file.handle, delete=delete)

    def lock_file(
        self, handle: int, offset: int, length: int, flags: int = c.LOCKFILE_EXCLUSIVE_LOCK
    ) -> None:
        """LockFileEx; never waits."""
        file = self._file(handle, "LockFile")
        exclusive = bool(flags & c.LOCKFILE_EXCLUSIVE_LOCK)
        with self._translated("LockFile", file.path):
            files.lock(file.volume, file.handle, offset, length, exclusive=exclusive)

    def unlock_file(self, handle: int, offset: int, length: int) -> None:
        """UnlockFile."""
        file = self._file(handle, "UnlockFile")
        with self._translated("UnlockFile", file.path):
            files.unlock(file.volume, file.handle, offset, length)


def as_seen(info: FileInfo) -> FileInfo:
    """A program never sees attributes of 0: they are NORMAL."""
    if info.attributes:
        return info
    values = {name: getattr(info, name) for name in FileInfo.__dataclass_fields__}
    return FileInfo(**{**values, "attributes": c.FILE_ATTRIBUTE_NORMAL})
