"""Host `winfsp`: the WinFsp adapter above the fake WinFsp, asked by Win32 calls.

The real winfspy code runs between the two. What programs are told is compared as NTSTATUS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyftpdrive import config as configuration
from pyftpdrive.app import host_options
from pyftpdrive.base.errors import FsStatus, MountError
from pyftpdrive.base.winnames import from_windows, to_windows
from pyftpdrive.hosts.winfsp_status import NtStatus, to_ntstatus
from simulators.fake_winfsp import FakeWindows, Win32Error
from simulators.fake_winfsp import constants as c
from tests.scenario_runner.grammar import Scenario
from tests.scenario_runner.hosts import DirectHost, HostFailure, MountRefused, Unmounted
from tests.scenario_runner.servers import Server

DRIVE = "Z:"
PIECE_BYTES = 1 << 20
EPOCH_1601_100NS = 116_444_736_000_000_000
# Windows tells a missing directory on the way from a missing last component.
ALSO = {
    FsStatus.NOT_FOUND: NtStatus.OBJECT_PATH_NOT_FOUND,
    FsStatus.PATH_NOT_FOUND: NtStatus.OBJECT_NAME_NOT_FOUND,
    FsStatus.NOT_A_DIRECTORY: NtStatus.OBJECT_PATH_NOT_FOUND,
    FsStatus.READ_ONLY: NtStatus.ACCESS_DENIED,
}


class WinFspHost(DirectHost):
    """Steps are Win32 calls on a drive letter."""

    name = "winfsp"

    def __init__(self, scenario: Scenario, server: Server, work: Path) -> None:
        super().__init__(scenario, server, work)
        self._environment["PYFTPDRIVE_MOUNT_DRIVE"] = DRIVE
        self._windows: FakeWindows | None = None
        self._host: Any = None
        self._files: dict[str, int] = {}

    # -- mounting --------------------------------------------------------------------------------

    def mount(self) -> None:
        windows = FakeWindows()
        windows.__enter__()
        self._windows = windows
        from pyftpdrive.hosts import winfsp  # needs winfspy, which the fake brings

        super().mount()
        config = configuration.load(None, self._environment, {})
        host = winfsp.WinFspHost(self.drive.filesystem, host_options(config, "ftp://x"))
        try:
            host.start(lambda: None)
        except MountError as error:
            raise MountRefused(str(error)) from error
        self._host = host

    def unmount(self, by: str) -> Unmounted:
        opened = [str(path) for path, _ in self.drive.filesystem.open_files()]
        self._end_volume()
        found = super().unmount(by)
        return Unmounted(open_files=opened, left=found.left)

    def _end_volume(self) -> None:
        if self._windows is not None and self._host is not None:
            self._windows.settle()
        host, self._host = self._host, None
        if host is not None:
            host.stop()

    def kill(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            host._volume.stop()  # what is open is not seen to
        self.abandon()

    def abandon(self) -> None:
        self._end_volume()
        self._files.clear()
        super().abandon()
        windows, self._windows = self._windows, None
        if windows is not None:
            windows.__exit__(None, None, None)

    # -- Win32 -----------------------------------------------------------------------------------

    @property
    def _k(self) -> Any:
        if self._windows is None:
            raise HostFailure("the drive is not mounted")
        return self._windows.kernel32

    @staticmethod
    def at(path: str) -> str:
        return DRIVE + "\\" + "\\".join(to_windows(part) for part in path.split("/") if part)

    def codes(self, status: FsStatus) -> set[int]:
        also = ALSO.get(status)
        return {to_ntstatus(status), *([int(also)] if also else [])}

    @contextmanager
    def _win32(self) -> Iterator[Any]:
        try:
            yield self._k
        except Win32Error as error:
            raise OSError(error.ntstatus or error.winerror, str(error)) from error

    @contextmanager
    def _opened(self, path: str, access: int, disposition: int) -> Iterator[tuple[Any, int]]:
        with self._win32() as k:
            handle = k.create_file(self.at(path), access, c.FILE_SHARE_ALL, disposition)
            try:
                yield k, handle
            finally:
                k.close_handle(handle)
                self._settle()

    def _settle(self) -> None:
        """Close reaches the drive some time after CloseHandle; scenarios count on its effects."""
        if self._windows is not None:
            self._windows.settle()

    def list(self, path: str) -> list[str]:
        with self._win32() as k:
            names = k.list_directory(self.at(path))
        return [from_windows(name) for name in names if name not in (".", "..")]

    def read(self, path: str, offset: int, length: int | None) -> bytes:
        with self._opened(path, c.GENERIC_READ, c.OPEN_EXISTING) as (k, handle):
            wanted = k.get_file_size(handle) - offset if length is None else length
            return self._read(k, handle, offset, wanted)

    @staticmethod
    def _read(k: Any, handle: int, offset: int, length: int) -> bytes:
        pieces = []
        while length > 0:
            piece = k.read_file(handle, min(length, PIECE_BYTES), offset)
            if not piece:
                break
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    def write(self, path: str, data: bytes, mode: str, offset: int) -> None:
        disposition = {
            "create": c.CREATE_NEW,
            "overwrite": c.CREATE_ALWAYS,
            "append": c.OPEN_ALWAYS,
            "in_place": c.OPEN_EXISTING,
        }[mode]
        with self._opened(path, c.GENERIC_WRITE, disposition) as (k, handle):
            at = k.get_file_size(handle) if mode == "append" else offset
            self._write(k, handle, data, at)

    @staticmethod
    def _write(k: Any, handle: int, data: bytes, offset: int) -> None:
        for begin in range(0, len(data), PIECE_BYTES):
            k.write_file(handle, data[begin : begin + PIECE_BYTES], offset + begin)

    def truncate(self, path: str, size: int) -> None:
        with self._opened(path, c.GENERIC_WRITE, c.OPEN_EXISTING) as (k, handle):
            k.set_end_of_file(handle, size)

    def delete(self, path: str) -> None:
        with self._win32() as k:
            k.delete_file(self.at(path))
        self._settle()

    def mkdir(self, path: str) -> None:
        with self._win32() as k:
            k.create_directory(self.at(path))

    def rmdir(self, path: str) -> None:
        with self._win32() as k:
            k.remove_directory(self.at(path))
        self._settle()

    def rename(self, old: str, new: str) -> None:
        with self._win32() as k:
            k.move_file_ex(self.at(old), self.at(new), c.MOVEFILE_REPLACE_EXISTING)

    def stat(self, path: str) -> tuple[str, int, int]:
        with self._win32() as k:
            found = k.get_file_attributes_ex(self.at(path))
        kind = "directory" if found.attributes & c.FILE_ATTRIBUTE_DIRECTORY else "file"
        return kind, found.file_size, (found.last_write_time - EPOCH_1601_100NS) * 100

    def set_times(self, path: str, modified_ns: int) -> None:
        with self._opened(path, c.FILE_WRITE_ATTRIBUTES, c.OPEN_EXISTING) as (k, handle):
            k.set_file_time(handle, last_write=modified_ns // 100 + EPOCH_1601_100NS)

    def open(self, path: str, name: str, mode: str) -> None:
        access = c.GENERIC_READ | (0 if mode == "read" else c.GENERIC_WRITE)
        disposition = c.OPEN_ALWAYS if mode == "create" else c.OPEN_EXISTING
        with self._win32() as k:
            self._files[name] = k.create_file(self.at(path), access, c.FILE_SHARE_ALL, disposition)

    def write_handle(self, name: str, data: bytes, offset: int) -> None:
        with self._win32() as k:
            self._write(k, self._files[name], data, offset)

    def read_handle(self, name: str, offset: int, length: int) -> bytes:
        with self._win32() as k:
            return self._read(k, self._files[name], offset, length)

    def fsync(self, name: str) -> None:
        with self._win32() as k:
            k.flush_file_buffers(self._files[name])

    def close(self, name: str) -> None:
        with self._win32() as k:
            k.close_handle(self._files.pop(name))
        self._settle()

    def space(self) -> tuple[int, int]:
        with self._win32() as k:
            free, total = k.get_disk_free_space_ex(DRIVE + "\\")
        return total, free
