"""Our drive on the fake Windows: simulator, core, adapter, winfspy, Win32 calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyftpdrive.drive import Drive
from pyftpdrive.hosts.host import HostOptions
from simulators.fake_winfsp import FakeWindows, Settings
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp.clock import Clock
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import started_drive

EPOCH_1601_100NS = 116_444_736_000_000_000  # FILETIME of 1970


@dataclass
class Windows:
    """A drive Z: and what is around it."""

    server: FtpSimulator
    drive: Drive
    fake: FakeWindows
    host: Any

    @property
    def k(self) -> Any:
        return self.fake.kernel32

    @property
    def operations(self) -> Any:
        """The callbacks' object."""
        return self.host._operations

    def put(self, path: str, data: bytes, disposition: int = c.CREATE_ALWAYS) -> None:
        self.write(path, data, disposition)
        self.fake.settle()

    def write(self, path: str, data: bytes, disposition: int = c.CREATE_ALWAYS) -> None:
        """As `put`, but Close may be under way."""
        handle = self.k.create_file(path, c.GENERIC_WRITE, c.FILE_SHARE_ALL, disposition)
        self.k.write_file(handle, data)
        self.k.close_handle(handle)

    def get(self, path: str) -> bytes:
        handle = self.k.create_file(path, c.GENERIC_READ, c.FILE_SHARE_ALL)
        try:
            return bytes(self.k.read_file(handle, 1 << 24))
        finally:
            self.k.close_handle(handle)

    def on_server(self) -> dict[str, bytes]:
        """Every file there."""
        return {path: data for path, data in self.server.tree().items() if data is not None}

    def sent(self) -> None:
        self.fake.settle()
        assert self.drive.drain(20) == []


@contextmanager
def mounted(
    tmp_path: Path,
    *,
    settings: Settings | None = None,
    files: dict[str, bytes] | None = None,
    faults: list[Fault] | None = None,
    profile: str = "proftpd",
    drive: str = "Z:",
    clock: Clock | None = None,
    read_only_server: bool = False,
    **options: Any,
) -> Iterator[Windows]:
    with FtpSimulator(profile, faults=faults or [], read_only=read_only_server) as server:
        for path, data in (files or {}).items():
            server.put(path, data)
        with started_drive(server, tmp_path) as core, FakeWindows(settings, clock=clock) as fake:
            from pyftpdrive.hosts import winfsp

            host = winfsp.WinFspHost(core.filesystem, HostOptions(drive=drive, **options))
            host.start(lambda: None)
            try:
                yield Windows(server, core, fake, host)
            finally:
                host.stop()


def in_thread(action: Callable[[], Any]) -> Future[Any]:
    """*action* in a thread of a program; its result or its error comes by `.result(timeout)`."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
