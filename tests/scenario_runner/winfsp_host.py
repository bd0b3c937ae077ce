"""Host `winfsp`: steps are Win32 calls on a drive letter that the WinFsp adapter serves.

On Windows the letter is a real one: `pyftpdrive mount` as a program above WinFsp, and kernel32 by
ctypes (`LetterHost`); what programs are told is compared as Win32 error codes. Elsewhere the
adapter runs in this process, the real winfspy between it and the fake WinFsp (`FakeLetterHost`),
and what programs are told is compared as NTSTATUS.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from pyftpdrive import config as configuration
from pyftpdrive.app import host_options
from pyftpdrive.base.errors import FsStatus, MountError
from pyftpdrive.base.winnames import from_windows, to_windows
from pyftpdrive.control import channel
from simulators.fake_winfsp import FakeWindows, Win32Error
from simulators.fake_winfsp import constants as c
from tests.scenario_runner import win32_errors
from tests.scenario_runner.grammar import Scenario, all_steps
from tests.scenario_runner.hosts import (
    DirectHost,
    HostFailure,
    MountRefused,
    ProgramHost,
    Unmounted,
)
from tests.scenario_runner.servers import Server
from tests.scenario_runner.win32_calls import Kernel32, Win32CallError, close_quietly, real_kernel32

FAKE_LETTER = "Z:"
LETTERS = "ZYXWVUTSRQPONMLKJIHGFE"
PIECE_BYTES = 1 << 20
EPOCH_1601_100NS = 116_444_736_000_000_000
GONE_S = 10.0  # a letter goes away with the process that mounted it
SETTLE_S = 1.0
POLL_S = 0.02


class Win32Steps(ABC):
    """The verbs of steps, as calls of kernel32 on `letter`."""

    FAILURES: ClassVar[tuple[type[Exception], ...]]
    letter: str

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._files: dict[str, int] = {}
        self._paths: dict[str, str] = {}  # of those

    @property
    @abstractmethod
    def _k(self) -> Any:
        """Kernel32, the fake's or the real one."""

    @abstractmethod
    def _number(self, error: Any) -> int:
        """The code of a failure that `codes` is about."""

    @abstractmethod
    def _settle(self, path: str) -> None:
        """Close reaches the drive some time after CloseHandle; scenarios count on its effects."""

    def at(self, path: str) -> str:
        """Where *path* is on this machine."""
        return self.letter + "\\" + "\\".join(to_windows(p) for p in path.split("/") if p)

    @contextmanager
    def _win32(self) -> Iterator[Any]:
        try:
            yield self._k
        except self.FAILURES as error:
            raise OSError(self._number(error), str(error)) from error

    @contextmanager
    def _opened(self, path: str, access: int, disposition: int) -> Iterator[tuple[Any, int]]:
        with self._win32() as k:
            handle = k.create_file(self.at(path), access, c.FILE_SHARE_ALL, disposition)
            try:
                yield k, handle
            finally:
                k.close_handle(handle)
                self._settle(path)

    def list(self, path: str) -> list[str]:
        with self._win32() as k:
            names = k.list_directory(self.at(path))
        return [from_windows(name) for name in names if name not in (".", "..")]

    def read(self, path: str, offset: int, length: int | None) -> bytes:
        with self._opened(path, c.GENERIC_READ, c.OPEN_EXISTING) as (k, handle):
            wanted = k.get_file_size(handle) - offset if length is None else length
            return self._read_at(k, handle, offset, wanted)

    @staticmethod
    def _read_at(k: Any, handle: int, offset: int, length: int) -> bytes:
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
            self._write_at(k, handle, data, at)

    @staticmethod
    def _write_at(k: Any, handle: int, data: bytes, offset: int) -> None:
        for begin in range(0, len(data), PIECE_BYTES):
            k.write_file(handle, data[begin : begin + PIECE_BYTES], offset + begin)

    def truncate(self, path: str, size: int) -> None:
        with self._opened(path, c.GENERIC_WRITE, c.OPEN_EXISTING) as (k, handle):
            k.set_end_of_file(handle, size)

    def delete(self, path: str) -> None:
        with self._win32() as k:
            k.delete_file(self.at(path))
        self._settle(path)

    def mkdir(self, path: str) -> None:
        with self._win32() as k:
            k.create_directory(self.at(path))

    def rmdir(self, path: str) -> None:
        with self._win32() as k:
            k.remove_directory(self.at(path))
        self._settle(path)

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
            self._paths[name] = path

    def write_handle(self, name: str, data: bytes, offset: int) -> None:
        with self._win32() as k:
            self._write_at(k, self._files[name], data, offset)

    def read_handle(self, name: str, offset: int, length: int) -> bytes:
        with self._win32() as k:
            return self._read_at(k, self._files[name], offset, length)

    def fsync(self, name: str) -> None:
        with self._win32() as k:
            k.flush_file_buffers(self._files[name])

    def close(self, name: str) -> None:
        with self._win32() as k:
            k.close_handle(self._files.pop(name))
        self._settle(self._paths.pop(name))

    def space(self) -> tuple[int, int]:
        with self._win32() as k:
            free, total = k.get_disk_free_space_ex(self.letter + "\\")
        return total, free


class FakeLetterHost(Win32Steps, DirectHost):
    """The adapter in this process, on the fake WinFsp."""

    name = "winfsp"
    letter = FAKE_LETTER
    FAILURES: ClassVar[tuple[type[Exception], ...]] = (Win32Error,)

    def __init__(self, scenario: Scenario, server: Server, work: Path) -> None:
        super().__init__(scenario, server, work)
        self._environment["PYFTPDRIVE_MOUNT_DRIVE"] = self.letter
        self._windows: FakeWindows | None = None
        self._host: Any = None

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
        self._paths.clear()
        super().abandon()
        windows, self._windows = self._windows, None
        if windows is not None:
            windows.__exit__(None, None, None)

    @property
    def _k(self) -> Any:
        if self._windows is None:
            raise HostFailure("the drive is not mounted")
        return self._windows.kernel32

    def _number(self, error: Any) -> int:
        return int(error.ntstatus or error.winerror)

    def codes(self, status: FsStatus) -> set[int]:
        return win32_errors.statuses(status)

    def _settle(self, path: str) -> None:
        del path
        if self._windows is not None:
            self._windows.settle()


def free_letter(taken: set[str], worker: str, workers: int) -> str:
    """A letter that nobody has; *worker* (xdist's gw0, gw1, …) takes it from a share of its own.

    Raises:
        HostFailure: there is none.
    """
    number = int(worker.removeprefix("gw") or 0)
    share = LETTERS[number % workers :: workers]
    found = next((f"{letter}:" for letter in share if f"{letter}:" not in taken), None)
    if found is None:
        raise HostFailure(f"no drive letter is free for {worker}: {', '.join(sorted(taken))}")
    return found


class LetterHost(Win32Steps, ProgramHost):
    """`pyftpdrive mount` as a program, on a real drive letter."""

    name = "winfsp"
    FAILURES = (Win32CallError,)

    def __init__(
        self, scenario: Scenario, server: Server, work: Path, *, kernel32: Kernel32 | None = None
    ) -> None:
        self._kernel32 = kernel32 or real_kernel32()
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        self.letter = free_letter(self._kernel32.letters(), worker, workers)
        super().__init__(scenario, server, work, self.letter)

    @property
    def _k(self) -> Any:
        return self._kernel32

    def _number(self, error: Any) -> int:
        return int(error.winerror)

    def codes(self, status: FsStatus) -> set[int]:
        return win32_errors.codes(status)

    def _is_mounted(self) -> bool:
        return self.letter in self._kernel32.letters()

    def _is_gone(self) -> bool:
        """Wait for Windows to take the letter away; False: it is still there."""
        until = time.monotonic() + GONE_S
        while self._is_mounted():
            if time.monotonic() > until:
                return False
            threading.Event().wait(POLL_S)
        return True

    def _close_all(self) -> None:
        close_quietly(self._kernel32, list(self._files.values()))
        self._files.clear()
        self._paths.clear()

    def _free(self) -> None:
        if not self._is_gone():
            raise HostFailure(f"{self.letter} is still there although its program ended")

    def _settle(self, path: str) -> None:
        """Until the drive has seen the close, if no step has the file open; not for ever."""
        if path in self._paths.values():
            return
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:
            with suppress(HostFailure, channel.ChannelError):
                if path not in self.status()["open_files"]:
                    return
            threading.Event().wait(POLL_S)


def excluded(scenario: Scenario, platform: str = sys.platform) -> str | None:
    """Why *scenario* can't run on a real drive letter; None: it can."""
    if platform != "win32":
        return None
    actions = {step.action for step in all_steps(scenario.steps)}
    if "power_cut" in actions:
        return "power_cut: the disk that loses power is a FUSE mount"
    if "run" in actions:
        return "run: its programs are those of a POSIX machine"
    return None


WinFspHost = LetterHost if sys.platform == "win32" else FakeLetterHost
"""What host `winfsp` is on this machine."""
