"""The Win32 calls that take paths: attributes, delete, move, replace, copy, volume, security."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import files, listing, security
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp.callbacks import FileInfo
from simulators.fake_winfsp.constants import Disposition
from simulators.fake_winfsp.create import CreateRequest, create
from simulators.fake_winfsp.ntstatus import Win32Error
from simulators.fake_winfsp.win32_directories import DirectoryCalls
from simulators.fake_winfsp.win32_files import BACKUP, OpenFile, as_seen

_Chunks = Callable[[int], bytes]
COPY_CHUNK_BYTES = 1024 * 1024
EXPLORER_COPY_CHUNK_BYTES = 256 * 1024

FILE_CASE_SENSITIVE_SEARCH = 0x0000_0001
FILE_CASE_PRESERVED_NAMES = 0x0000_0002
FILE_UNICODE_ON_DISK = 0x0000_0004
FILE_PERSISTENT_ACLS = 0x0000_0008
FILE_READ_ONLY_VOLUME = 0x0008_0000


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInformation:
    """GetVolumeInformation's answer."""

    label: str
    serial_number: int
    component_units_max: int
    flags: int
    file_system_name: str


class PathCalls(DirectoryCalls):
    """Calls by path; each opens, acts and closes."""

    # -- attributes -------------------------------------------------------------------------------

    def get_file_attributes_ex(self, path: str) -> FileInfo:
        """GetFileAttributesExW: attributes, size and times."""
        call = "GetFileAttributesEx"
        with self._opened(call, path, c.FILE_READ_ATTRIBUTES, BACKUP) as file:
            return as_seen(files.query(file.volume, file.handle))

    def get_file_attributes(self, path: str) -> int:
        """GetFileAttributesW."""
        return self.get_file_attributes_ex(path).attributes

    def exists(self, path: str) -> bool:
        """Whether GetFileAttributes succeeds; errors that say something else are raised."""
        try:
            self.get_file_attributes(path)
        except Win32Error as error:
            if error.winerror in (nt.ERROR_FILE_NOT_FOUND, nt.ERROR_PATH_NOT_FOUND):
                return False
            raise
        return True

    def set_file_attributes(self, path: str, attributes: int) -> None:
        """SetFileAttributesW."""
        told = attributes or c.FILE_ATTRIBUTE_NORMAL
        with self._opened("SetFileAttributes", path, c.FILE_WRITE_ATTRIBUTES, BACKUP) as file:
            files.set_basic(file.volume, file.handle, told, (0, 0, 0, 0))

    # -- delete and move --------------------------------------------------------------------------

    def delete_file(self, path: str) -> None:
        """DeleteFileW."""
        access = c.DELETE | c.FILE_READ_ATTRIBUTES
        options = c.FILE_NON_DIRECTORY_FILE | BACKUP
        with self._opened("DeleteFile", path, access, options, synchronous=False) as file:
            files.set_disposition(file.volume, file.handle, delete=True)

    def move_file_ex(self, path: str, target: str, flags: int = 0) -> None:
        """MoveFileExW; to another volume only a file, with MOVEFILE_COPY_ALLOWED."""
        call = "MoveFileEx"
        replace = bool(flags & c.MOVEFILE_REPLACE_EXISTING)
        there, name = self._locate(target, call)
        with self._opened(call, path, c.DELETE | c.FILE_READ_ATTRIBUTES, BACKUP) as file:
            if file.volume is there:
                files.rename(file.volume, file.handle, name, replace=replace)
                return
            directory = file.handle.node.directory
        if directory or not flags & c.MOVEFILE_COPY_ALLOWED:
            raise Win32Error(nt.ERROR_NOT_SAME_DEVICE, nt.NOT_SAME_DEVICE, call, path)
        self.copy_file(path, target, fail_if_exists=not replace)
        self.delete_file(path)

    def replace_file(self, replaced: str, replacement: str, backup: str | None = None) -> None:
        """ReplaceFileW: *replacement* gets the name, attributes, creation time and security of
        *replaced*, which becomes *backup* or goes away by way of a name like "old~RF1a2b.TMP".
        """
        call = "ReplaceFile"
        access = c.GENERIC_READ | c.DELETE | c.FILE_WRITE_ATTRIBUTES | c.SYNCHRONIZE
        options = c.FILE_NON_DIRECTORY_FILE
        old, _ = self._nt_open(call, replaced, access & ~c.FILE_WRITE_ATTRIBUTES, options)
        try:
            new, _ = self._nt_open(call, replacement, access | c.WRITE_DAC, options)
            try:
                self._replace(old, new, replaced, backup)
            finally:
                files.close(new.volume, new.handle)
        finally:
            files.close(old.volume, old.handle)

    def _replace(self, old: OpenFile, new: OpenFile, replaced: str, backup: str | None) -> None:
        call = "ReplaceFile"
        name = self._locate(replaced, call)[1]
        if old.volume is not new.volume:
            raise Win32Error(nt.ERROR_NOT_SAME_DEVICE, nt.NOT_SAME_DEVICE, call, replaced)
        aside = f"{name}~RF{old.handle.number:x}.TMP"
        if backup is not None:
            aside = self._locate(backup, call)[1]
        with self._translated(call, replaced):
            info = files.query(old.volume, old.handle)
            attributes = info.attributes & ~c.FILE_ATTRIBUTE_DIRECTORY
            times = (info.creation_time, 0, 0, 0)
            files.set_basic(new.volume, new.handle, attributes, times)
            if old.volume.params.persistent_acls:
                found = files.get_security(old.volume, old.handle)
                kinds = c.DACL_SECURITY_INFORMATION
                files.set_security(new.volume, new.handle, kinds, found)
            files.rename(old.volume, old.handle, aside, replace=backup is not None)
        try:
            with self._translated(call, replaced):
                files.rename(new.volume, new.handle, name, replace=False)
        except Win32Error as error:
            if backup is None:  # the old file gets its name back
                with self._translated(call, replaced):
                    files.rename(old.volume, old.handle, name, replace=False)
                raise
            code = nt.ERROR_UNABLE_TO_MOVE_REPLACEMENT_2
            raise Win32Error(code, error.ntstatus, call, replaced) from error
        if backup is None:
            with self._translated(call, replaced):
                files.set_disposition(old.volume, old.handle, delete=True)

    # -- copy -------------------------------------------------------------------------------------

    def copy_file(self, path: str, target: str, *, fail_if_exists: bool = False) -> None:
        """CopyFileExW between two places of the simulator: end of file first, then the bytes."""
        source = self.create_file(
            path, c.GENERIC_READ, c.FILE_SHARE_READ | c.FILE_SHARE_WRITE | c.FILE_SHARE_DELETE,
            flags=c.FILE_FLAG_SEQUENTIAL_SCAN,
        )  # fmt: skip
        try:
            info = self.get_file_information(source)

            def chunks(offset: int) -> bytes:
                return self.read_file(source, COPY_CHUNK_BYTES, offset)

            self._copy(chunks, info.file_size, info, target, fail_if_exists=fail_if_exists)
        finally:
            self.close_handle(source)

    def explorer_copy(
        self, data: bytes, target: str, *, last_write: int = 0, overwrite: bool = False
    ) -> None:
        """What Explorer does for a file of *data* from a local disk: size, bytes, times."""
        size = EXPLORER_COPY_CHUNK_BYTES

        def chunks(offset: int) -> bytes:
            return data[offset : offset + size]

        times = dict.fromkeys(("creation_time", "last_access_time", "change_time"), 0)
        info = FileInfo(
            attributes=c.FILE_ATTRIBUTE_ARCHIVE,
            allocation_size=len(data),
            file_size=len(data),
            last_write_time=last_write,
            index_number=0,
            **times,
        )
        self._copy(chunks, len(data), info, target, fail_if_exists=not overwrite)

    def _copy(
        self, chunks: _Chunks, size: int, info: FileInfo, target: str, *, fail_if_exists: bool
    ) -> None:
        """A copy that fails is deleted, as CopyFileEx does."""
        made = self.create_file(
            target,
            c.GENERIC_READ | c.GENERIC_WRITE | c.DELETE,
            0,
            c.CREATE_NEW if fail_if_exists else c.CREATE_ALWAYS,
            info.attributes & ~c.FILE_ATTRIBUTE_READONLY | c.FILE_FLAG_SEQUENTIAL_SCAN,
        )
        try:
            if size:
                self.set_end_of_file(made, size)
            done = 0
            while done < size:
                chunk = chunks(done)
                if not chunk:
                    break
                done += self.write_file(made, chunk, done)
            self.set_file_time(made, last_write=info.last_write_time)
            if info.attributes & c.FILE_ATTRIBUTE_READONLY:
                self.set_basic_info(made, info.attributes)
        except Win32Error:
            with contextlib.suppress(Win32Error):  # else it stays, half written
                self.set_delete(made)
            raise
        finally:
            self.close_handle(made)

    # -- volume and security ----------------------------------------------------------------------

    def get_disk_free_space_ex(self, path: str) -> tuple[int, int]:
        """GetDiskFreeSpaceExW: free and total bytes."""
        call = "GetDiskFreeSpaceEx"
        options = c.FILE_DIRECTORY_FILE | c.FILE_OPEN_FOR_BACKUP_INTENT
        with self._opened(call, path, c.FILE_LIST_DIRECTORY, options) as file:
            info = listing.query_volume(file.volume)
        return info.free_size, info.total_size

    def get_volume_information(self, path: str) -> VolumeInformation:
        """GetVolumeInformationW."""
        options = c.FILE_DIRECTORY_FILE | c.FILE_OPEN_FOR_BACKUP_INTENT
        with self._opened("GetVolumeInformation", path, c.FILE_READ_ATTRIBUTES, options) as file:
            info = listing.query_volume(file.volume)
            params = file.volume.params
        flags = FILE_UNICODE_ON_DISK
        flags |= FILE_CASE_SENSITIVE_SEARCH if params.case_sensitive else 0
        flags |= FILE_CASE_PRESERVED_NAMES if params.case_preserved else 0
        flags |= FILE_PERSISTENT_ACLS if params.persistent_acls else 0
        flags |= FILE_READ_ONLY_VOLUME if params.read_only else 0
        return VolumeInformation(
            label=info.label,
            serial_number=params.serial_number,
            component_units_max=params.component_units_max,
            flags=flags,
            file_system_name=params.file_system_name,
        )

    def set_volume_label(self, path: str, label: str) -> None:
        """SetVolumeLabelW."""
        volume, _ = self._locate(path, "SetVolumeLabel")
        with self._translated("SetVolumeLabel", path):
            listing.set_label(volume, label)

    def get_file_security(self, path: str, information: int) -> str:
        """GetFileSecurityW, as SDDL."""
        with self._opened("GetFileSecurity", path, c.READ_CONTROL, BACKUP) as file:
            found = files.get_security(file.volume, file.handle)
        return security.format_sddl(security.selected(found, information))

    def set_file_security(self, path: str, information: int, sddl: str) -> None:
        """SetFileSecurityW, from SDDL."""
        access = c.WRITE_DAC if information & c.DACL_SECURITY_INFORMATION else c.WRITE_OWNER
        with self._opened("SetFileSecurity", path, access, BACKUP) as file:
            change = security.parse_sddl(sddl)
            files.set_security(file.volume, file.handle, information, change)

    def nt_create(
        self,
        path: str,
        access: int,
        disposition: Disposition,
        options: int = 0,
        *,
        below: int | None = None,
    ) -> int:
        """NtCreateFile by a Win32 path, or a name *below* an open directory's handle.

        It has SUPERSEDE and options that CreateFile can't say.
        """
        call = "NtCreateFile"
        if below is None:
            file, _ = self._nt_open(call, path, access, options, disposition=disposition)
            return self._register(file)
        directory = self._file(below, call)
        request = CreateRequest(name=path, access=access, disposition=disposition, options=options)
        with self._translated(call, path):
            handle, _ = create(directory.volume, request, directory.handle)
        return self._register(OpenFile(volume=directory.volume, handle=handle, path=path))
