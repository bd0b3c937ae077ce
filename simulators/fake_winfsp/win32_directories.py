"""The Win32 calls about directories and searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import files, listing, security
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp.callbacks import DirEntry
from simulators.fake_winfsp.constants import Disposition
from simulators.fake_winfsp.ntstatus import Win32Error
from simulators.fake_winfsp.patterns import from_win32, has_wildcards
from simulators.fake_winfsp.win32_files import BACKUP, FileCalls, OpenFile

if TYPE_CHECKING:
    from simulators.fake_winfsp.windows import FakeWindows


@dataclass(slots=True, kw_only=True)
class _Find:
    file: OpenFile
    waiting: list[DirEntry]


class DirectoryCalls(FileCalls):
    """Directories and searches."""

    def __init__(self, windows: FakeWindows, *, elevated: bool) -> None:
        super().__init__(windows, elevated=elevated)
        self._finds: dict[int, _Find] = {}

    def create_directory(self, path: str, descriptor: security.Descriptor | None = None) -> None:
        """CreateDirectoryW."""
        if not self._windows.settings.long_paths and len(path) >= 248:
            raise Win32Error(nt.ERROR_FILENAME_EXCED_RANGE, None, "CreateDirectory", path)
        file, _ = self._nt_open(
            "CreateDirectory",
            path,
            c.FILE_LIST_DIRECTORY,
            c.FILE_DIRECTORY_FILE | BACKUP,
            share=c.FILE_SHARE_READ | c.FILE_SHARE_WRITE,
            disposition=Disposition.CREATE,
            descriptor=descriptor,
        )
        files.close(file.volume, file.handle)

    def remove_directory(self, path: str) -> None:
        """RemoveDirectoryW."""
        options = c.FILE_DIRECTORY_FILE | BACKUP
        with self._opened("RemoveDirectory", path, c.DELETE, options) as file:
            files.set_disposition(file.volume, file.handle, delete=True)

    def find_first_file(self, pattern: str) -> tuple[int, DirEntry]:
        """FindFirstFileW: a search handle and the first match."""
        call = "FindFirstFile"
        directory, _, last = pattern.replace("/", "\\").rpartition("\\")
        if not last:
            raise Win32Error(nt.ERROR_FILE_NOT_FOUND, None, call, pattern)
        kept = last if has_wildcards(last) else last.rstrip(". ") or last
        options = c.FILE_DIRECTORY_FILE | c.FILE_OPEN_FOR_BACKUP_INTENT
        file, _ = self._nt_open(call, directory + "\\", c.FILE_LIST_DIRECTORY, options)
        try:
            with self._translated(call, pattern):
                found = listing.query_directory(
                    file.volume,
                    file.handle,
                    from_win32(kept),
                    buffer_bytes=self._windows.settings.find_buffer_bytes,
                    single=True,
                )
        except BaseException:
            files.close(file.volume, file.handle)
            raise
        number = self._register(file)
        with self._lock:
            self._finds[number] = _Find(file=file, waiting=found[1:])
        return number, found[0]

    def find_next_file(self, search: int) -> DirEntry:
        """FindNextFileW; ERROR_NO_MORE_FILES at the end."""
        with self._lock:
            find = self._finds.get(search)
        if find is None:
            raise Win32Error(nt.ERROR_INVALID_HANDLE, nt.INVALID_HANDLE, "FindNextFile")
        if not find.waiting:
            file = find.file
            with self._translated("FindNextFile", file.path):
                find.waiting = listing.query_directory(
                    file.volume,
                    file.handle,
                    buffer_bytes=self._windows.settings.find_buffer_bytes,
                )
        return find.waiting.pop(0)

    def find_close(self, search: int) -> None:
        """FindClose."""
        with self._lock:
            self._finds.pop(search, None)
        self.close_handle(search)

    def find_files(self, pattern: str) -> list[DirEntry]:
        """A whole search: first, next …, close. [] when nothing matches."""
        try:
            search, first = self.find_first_file(pattern)
        except Win32Error as error:
            if error.winerror == nt.ERROR_FILE_NOT_FOUND and error.ntstatus == nt.NO_SUCH_FILE:
                return []
            raise
        found = [first]
        try:
            while True:
                found.append(self.find_next_file(search))
        except Win32Error as error:
            if error.winerror != nt.ERROR_NO_MORE_FILES:
                raise
        finally:
            self.find_close(search)
        return found

    def list_directory(self, path: str) -> list[str]:
        """os.listdir: names without . and .."""
        found = self.find_files(path.rstrip("\\") + "\\*")
        return [entry.name for entry in found if entry.name not in (".", "..")]
