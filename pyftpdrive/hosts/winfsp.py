r"""The drive as a WinFsp volume, through winfspy: a drive letter or a directory on Windows.

Callbacks only translate: a name such as `\Dir\File.txt` or an open object in, `Filesystem`, a
dictionary or an NTSTATUS out. What is peculiar to winfspy 0.8.4 is said where it is worked around.

WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos,
https://github.com/winfsp/winfsp
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from operator import itemgetter
from typing import Any, ParamSpec, TypeVar

from pyftpdrive.base.errors import FsError, FsStatus, InvalidName, MountError, MountProblem
from pyftpdrive.base.model import Kind
from pyftpdrive.base.paths import ROOT, RemotePath, is_below, join, name_of, parent, rebase
from pyftpdrive.core.filesystem import Filesystem
from pyftpdrive.core.nodes import FileContext, FileStat
from pyftpdrive.hosts.host import HostOptions
from pyftpdrive.hosts.winfsp_attributes import (
    ARCHIVE,
    DIRECTORY,
    HIDDEN,
    KEPT,
    READ_ONLY,
    Remembered,
    Told,
)
from pyftpdrive.hosts.winfsp_library import NTStatusError, SecurityDescriptor, ffi, winfspy
from pyftpdrive.hosts.winfsp_names import WindowsNames
from pyftpdrive.hosts.winfsp_opened import Opened
from pyftpdrive.hosts.winfsp_status import NtStatus, to_ntstatus
from pyftpdrive.hosts.winfsp_volume import (
    SECTOR_BYTES,
    Volume,
    mount_point,
    parameters,
    require_version,
)

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

THREADS = 24  # a slow answer holds one of them; WinFsp's own choice is 4 to 16
EPOCH_1601_100NS = 116_444_736_000_000_000  # FILETIME of 1970
GRACE_S = 1.0  # of callbacks that are under way at the end; then they give up waiting
LABEL_UNITS_MAX = 32
EVERYBODY = "O:BAG:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;WD)"

FILE_DIRECTORY_FILE = 0x01  # CreateOptions
WRITES = 0x02 | 0x04  # FILE_WRITE_DATA, FILE_APPEND_DATA
CLEANUP_DELETE, CLEANUP_ARCHIVE = 0x01, 0x10  # FspCleanupDelete, FspCleanupSetArchiveBit
NO_ATTRIBUTES = 0xFFFF_FFFF  # INVALID_FILE_ATTRIBUTES: as they are
UNCHANGED = (0, 0xFFFF_FFFF_FFFF_FFFF)  # "leave this time as it is"


def _filetime(modified_ns: int) -> int:
    return max(0, modified_ns // 100 + EPOCH_1601_100NS)


def _label(text: str) -> str:
    """*text* as far as a volume's label can hold it: WinFsp counts UTF-16 units."""
    units = text.encode("utf-16-le", "replace")[: 2 * LABEL_UNITS_MAX]
    return units.decode("utf-16-le", "ignore")


def _told(callback: Callable[P, T]) -> Callable[P, T]:
    """Errors as NTSTATUS, once, with what `pyftpdrive why` needs; nothing else may reach C."""

    @wraps(callback)
    def guarded(*arguments: P.args, **named: P.kwargs) -> T:
        operations = arguments[0]
        recorder = operations.filesystem.recorder  # type: ignore[attr-defined]
        began = recorder.clock.monotonic()
        failure: Exception | None = None
        try:
            return callback(*arguments, **named)
        except FsError as error:
            failure = error
            raise NTStatusError(to_ntstatus(error.status)) from error
        except InvalidName as error:
            raise NTStatusError(int(NtStatus.OBJECT_NAME_INVALID)) from error
        except NTStatusError:
            raise
        except Exception as error:
            failure = error
            log.exception("a file system call failed unexpectedly")
            raise NTStatusError(int(NtStatus.UNEXPECTED_IO_ERROR)) from error
        finally:
            about = str(getattr(arguments[1], "path", arguments[1])) if len(arguments) > 1 else ""
            recorder.ended(callback.__name__, about, began, failure)
            if log.isEnabledFor(logging.DEBUG):
                took_ms = (recorder.clock.monotonic() - began) * 1000
                name = {"flush": "fsync"}.get(callback.__name__, callback.__name__)
                result = 0 if failure is None else -1
                log.debug("%s %s: %d, %.1f ms, %s", name, about, result, took_ms, failure or "ok")

    return guarded


class Operations(winfspy.BaseFileSystemOperations):  # type: ignore[misc]
    """The callbacks, under winfspy's names."""

    def __init__(self, filesystem: Filesystem, options: HostOptions) -> None:
        super().__init__()
        self.filesystem = filesystem
        self._options = options
        self._names = WindowsNames(filesystem)
        self._remembered = Remembered()
        self._label = _label(options.label)
        self._lock = threading.Lock()  # guards `_open`; no I/O under it
        self._open: set[Opened] = set()
        # One for the volume: it frees its memory when it goes, a copy would free it twice.
        self._security = SecurityDescriptor.from_string(EVERYBODY)

    # -- what things look like -------------------------------------------------------------------

    def _attributes(self, path: RemotePath, found: FileStat) -> int:
        attributes = self._remembered.get(path).attributes
        if found.kind is Kind.DIRECTORY:
            # WinFsp would let nobody make a file in a directory that is read-only.
            attributes = attributes & ~(READ_ONLY | ARCHIVE) | DIRECTORY
        elif found.read_only:
            attributes |= READ_ONLY
        if self._options.hide_dot_files and name_of(path).startswith("."):
            attributes |= HIDDEN
        return attributes

    def _info(self, path: RemotePath, found: FileStat) -> dict[str, int]:
        size = 0 if found.kind is Kind.DIRECTORY else found.size_bytes
        moment = _filetime(found.modified_ns)
        told = self._remembered.get(path)
        return {
            "file_attributes": self._attributes(path, found),
            "allocation_size": -(-size // SECTOR_BYTES) * SECTOR_BYTES,
            "file_size": size,
            "creation_time": told.created or moment,
            "last_access_time": told.accessed or moment,
            "last_write_time": moment,
            "change_time": moment,
            "index_number": found.inode,
        }

    @_told
    def get_volume_info(self) -> dict[str, object]:
        space = self.filesystem.space()
        return {
            "total_size": space.total_bytes,
            "free_size": space.free_bytes,
            "volume_label": self._label,
        }

    @_told
    def set_volume_label(self, volume_label: str) -> None:
        self._label = _label(volume_label)

    @_told
    def get_security_by_name(self, file_name: str) -> tuple[int, Any, int]:
        path = self._names.path(file_name)
        found = self.filesystem.stat(path)
        return self._attributes(path, found), self._security.handle, self._security.size

    @_told
    def get_security(self, file_context: Opened) -> tuple[Any, int]:
        return self._security.handle, self._security.size

    @_told
    def set_security(self, file_context: Opened, information: int, descriptor: Any) -> None:
        """FTP has no owners to set; copying programs try, and must not fail."""

    @_told
    def get_file_info(self, file_context: Opened) -> dict[str, int]:
        """Never fails: after an open that did winfspy would keep the context for ever."""
        file = file_context.file
        try:
            if file is not None:
                file_context.found = self.filesystem.stat_handle(file)
            elif not file_context.deleted:
                file_context.found = self.filesystem.stat(file_context.path)
        except FsError as error:
            log.debug("%s: as last known: %s", file_context.path, error)
        except Exception:
            log.exception("%s: as last known", file_context.path)
        return self._info(file_context.path, file_context.found)

    # -- opening and closing ---------------------------------------------------------------------

    def _opened(self, path: RemotePath, found: FileStat, file: FileContext | None) -> Opened:
        opened = Opened(path, found)
        opened.file = file
        with self._lock:
            self._open.add(opened)
        return opened

    @_told
    def create(
        self, file_name: str, create_options: int, granted_access: int, file_attributes: int,
        security_descriptor: Any, allocation_size: int,
    ) -> Opened:  # fmt: skip
        path = self._names.path(file_name, new=True)
        if create_options & FILE_DIRECTORY_FILE:
            self.filesystem.make_directory(path)
            self._remembered.put(path, Told(file_attributes & KEPT | ARCHIVE))
            return self._opened(path, self.filesystem.stat(path), None)
        file = self.filesystem.create(path, exclusive=True)
        self._remembered.put(path, Told(file_attributes & KEPT | ARCHIVE))
        return self._opened(path, self.filesystem.stat_handle(file), file)

    @_told
    def open(self, file_name: str, create_options: int, granted_access: int) -> Opened:
        path = self._names.path(file_name)
        found = self.filesystem.stat(path)
        file = None
        if found.kind is Kind.FILE and granted_access & WRITES:
            file = self.filesystem.open(path, write=True)
        return self._opened(path, found, file)

    @_told
    def overwrite(
        self, file_context: Opened, file_attributes: int, replace_file_attributes: bool,  # noqa: FBT001
        allocation_size: int,
    ) -> None:  # fmt: skip
        self.filesystem.truncate(self._file(file_context, write=True), 0)
        told = self._remembered.get(file_context.path)
        before = 0 if replace_file_attributes else told.attributes
        attributes = before | file_attributes & KEPT | ARCHIVE
        self._remembered.put(file_context.path, told._replace(attributes=attributes))

    def _file(self, opened: Opened, *, write: bool = False) -> FileContext:
        """The core's handle; made when it is needed first."""
        if opened.is_directory:
            raise FsError(FsStatus.IS_A_DIRECTORY, f"{opened.path} is a directory")
        with self._lock:
            file = opened.file
        if file is not None and (file.writable or not write):
            return file
        made = self.filesystem.open(opened.path, write=write)
        with self._lock:
            if opened.file is file:
                opened.file, made = made, file  # type: ignore[assignment]
        if made is not None:
            self.filesystem.close(made)
        assert opened.file is not None  # noqa: S101  # set above, and never taken back while open
        return opened.file

    @_told
    def cleanup(self, file_context: Opened, file_name: str | None, flags: int) -> None:
        """The last call that CloseHandle waits for, of a handle that changed or deletes something.

        What was written is safe when this returns, and on its way: Close comes some time later, or
        much later when the file is mapped; paging that comes between opens it anew.
        """
        path = file_context.path
        if flags & CLEANUP_ARCHIVE:
            told = self._remembered.get(path)
            self._remembered.put(path, told._replace(attributes=told.attributes | ARCHIVE))
        if flags & CLEANUP_DELETE:
            self._delete(file_context, path)
        self._give_back(file_context)

    def _delete(self, opened: Opened, path: RemotePath) -> None:
        try:
            if opened.is_directory:
                self.filesystem.remove_directory(path)
            else:
                self.filesystem.remove_file(path)
            opened.deleted = True
            self._remembered.forget(path)
        except FsError as error:  # nobody can be told any more: `can_delete` said that it could be
            log.warning("%s was not deleted: %s", path, error)

    @_told
    def close(self, file_context: Opened) -> None:
        with self._lock:
            self._open.discard(file_context)
        self._give_back(file_context)

    def _give_back(self, opened: Opened) -> None:
        """Close the core's handle: what was written is on the disk then, and sent."""
        with self._lock:
            file, opened.file = opened.file, None
        if file is not None:
            self.filesystem.close(file)

    def close_all(self) -> None:
        """After the end: WinFsp says nothing more of what was open."""
        with self._lock:
            left, self._open = list(self._open), set()
        for opened in left:
            self._give_back(opened)

    def files_open(self) -> list[Opened]:
        """What programs have open, without directories."""
        with self._lock:
            return [opened for opened in self._open if not opened.is_directory]

    # -- content ---------------------------------------------------------------------------------

    @_told
    def read(self, file_context: Opened, offset: int, length: int) -> bytes:
        file = self._file(file_context)
        if offset >= file.file_size:
            raise NTStatusError(int(NtStatus.END_OF_FILE))
        data = self.filesystem.read(file, offset, length)
        if not data and length:
            raise NTStatusError(int(NtStatus.END_OF_FILE))
        return data[:length]  # winfspy copies what it gets, whatever the buffer holds

    @_told
    def write(
        self, file_context: Opened, buffer: Any, offset: int, write_to_end_of_file: bool,  # noqa: FBT001
        constrained_io: bool,  # noqa: FBT001
    ) -> int:  # fmt: skip
        file = self._file(file_context, write=True)
        view = memoryview(buffer)
        if constrained_io:  # paging: never beyond the end
            view = view[: max(0, file.file_size - offset)]
        elif write_to_end_of_file:
            offset = file.file_size
        if not view:
            return 0
        return self.filesystem.write(file, offset, view)

    @_told
    def flush(self, file_context: Opened) -> None:
        if file_context.file is not None and file_context.file.writable:
            self.filesystem.fsync(file_context.file)

    def ll_flush(self, file_context: Any, file_info: Any) -> int:
        """Of the whole volume there is no context, which winfspy takes for granted."""
        if file_context == ffi.NULL:
            return 0
        return int(super().ll_flush(file_context, file_info))

    @_told
    def set_file_size(self, file_context: Opened, new_size: int, set_allocation_size: bool) -> None:  # noqa: FBT001
        file = self._file(file_context, write=True)
        if not set_allocation_size or new_size < file.file_size:
            self.filesystem.truncate(file, new_size)

    @_told
    def set_basic_info(
        self, file_context: Opened, file_attributes: int, creation_time: int,
        last_access_time: int, last_write_time: int, change_time: int, file_info: Any,
    ) -> dict[str, int]:  # fmt: skip
        path = file_context.path
        if last_write_time not in UNCHANGED and not file_context.deleted:
            modified_ns = (last_write_time - EPOCH_1601_100NS) * 100
            self.filesystem.set_times(path, modified_ns)
        told = self._remembered.get(path)
        if file_attributes != NO_ATTRIBUTES:
            told = told._replace(attributes=file_attributes & KEPT)
        if creation_time not in UNCHANGED:
            told = told._replace(created=creation_time)
        if last_access_time not in UNCHANGED:
            told = told._replace(accessed=last_access_time)
        self._remembered.put(path, told)
        return self.get_file_info(file_context)

    # -- names -----------------------------------------------------------------------------------

    @_told
    def can_delete(self, file_context: Opened, file_name: str) -> None:
        if not file_context.deleted:
            self.filesystem.require_removable(file_context.path)

    @_told
    def rename(
        self, file_context: Opened, file_name: str, new_file_name: str, replace_if_exists: bool,  # noqa: FBT001
    ) -> None:  # fmt: skip
        old = file_context.path
        new = self._names.path(new_file_name, new=True)
        if new == old:  # only its case changes, if anything
            new = self._names.made(parent(old), new_file_name.rpartition("\\")[2])
        self.filesystem.rename(old, new, replace=replace_if_exists or new == old)
        self._remembered.move(old, new)
        with self._lock:
            for opened in self._open:
                if opened.path == old or is_below(opened.path, old):
                    opened.move(rebase(opened.path, old, new))

    @_told
    def read_directory(self, file_context: Opened, marker: str | None) -> Iterable[dict[str, Any]]:
        path = file_context.path
        if not file_context.is_directory:
            raise FsError(FsStatus.NOT_A_DIRECTORY, f"{path} is a file")
        if marker is None or file_context.listing is None:
            entries = self.filesystem.list_directory(path)
            names = self._names.listed(path, [entry.name for entry in entries])
            listing = [
                (names.windows(entry.name), join(path, entry.name), entry.stat) for entry in entries
            ]
            listing.sort(key=itemgetter(0))
            file_context.shown = [line[0] for line in listing]
            dots = () if path == ROOT else (".", "..")
            file_context.listing = [(dot, path, file_context.found) for dot in dots] + listing
        return (
            {"file_name": name, **self._info(child, found)}
            for name, child, found in file_context.lines_behind(marker)
        )

    def ll_get_dir_info_by_name(self, file_context: Any, file_name: Any, dir_info: Any) -> int:
        """winfspy answers with the name that it was asked for, which may be in upper case."""
        try:
            name, info = self._dir_info(ffi.from_handle(file_context), ffi.string(file_name))
        except NTStatusError as error:
            return int(error.value)
        encoded = name.encode("utf-16-le")
        ffi.memmove(dir_info.FileNameBuf, encoded, len(encoded))
        winfspy.operations.configure_file_info(dir_info.FileInfo, **info)
        dir_info.Size = ffi.sizeof("FSP_FSCTL_DIR_INFO") + len(encoded)
        return 0

    def get_dir_info_by_name(self, file_context: Opened, file_name: str) -> dict[str, int]:
        """Here because its being there makes winfspy ask WinFsp for the callback above."""
        return self._dir_info(file_context, file_name)[1]

    @_told
    def _dir_info(self, file_context: Opened, file_name: str) -> tuple[str, dict[str, int]]:
        path = self._names.child(file_context.path, file_name)
        if path is None:
            raise FsError(FsStatus.NOT_FOUND, f"{file_name}: no such file")
        return self._names.of(path), self._info(path, self.filesystem.stat(path))


class WinFspHost:
    """One mounted volume."""

    def __init__(self, filesystem: Filesystem, options: HostOptions) -> None:
        require_version()
        self._options = options
        self._operations = Operations(filesystem, options)
        self._volume: Volume | None = None

    def start(self, on_end: Callable[[], None]) -> None:
        """See `Host.start`."""
        del on_end  # nobody but us unmounts a volume
        volume = self._made()
        try:
            volume.start_with(THREADS)
        except BaseException:
            volume.stop()
            raise
        self._volume = volume

    def _made(self) -> Volume:
        place = mount_point(self._options.drive)
        try:
            return Volume(place, self._operations, **parameters(self._options))
        except winfspy.WinFSPyError as error:
            log.debug("%s: %s", place, error)  # another drive may have this share's name
        try:
            return Volume(place, self._operations, **parameters(self._options, distinct=True))
        except winfspy.WinFSPyError as error:
            raise MountError(MountProblem.REFUSED, f"WinFsp refuses the volume: {error}") from error

    def stop(self) -> bool:
        """See `Host.stop`."""
        volume, self._volume = self._volume, None
        busy = bool(self._operations.files_open())
        if volume is not None:
            self._leave(volume)
        self._operations.close_all()
        return busy

    def _leave(self, volume: Volume) -> None:
        """End the volume, which waits for the callbacks under way; they don't wait for ever."""
        ended = threading.Event()

        def hurry() -> None:
            if not ended.wait(GRACE_S):
                with self._operations.filesystem.nobody_waits():
                    ended.wait()

        thread = threading.Thread(target=hurry, name="winfsp-stop", daemon=True)
        thread.start()
        try:
            volume.stop()
        finally:
            ended.set()
            thread.join()
