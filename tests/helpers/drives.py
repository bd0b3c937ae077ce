"""Drives on a simulator, for tests below the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyftpdrive.base.secret import Secret
from pyftpdrive.cache.fetcher import FetchOptions
from pyftpdrive.cache.metadata import MetadataOptions
from pyftpdrive.drive import Drive, DriveOptions
from pyftpdrive.ftp.engine import Engine, EngineOptions
from pyftpdrive.ftp.ftp_client import ClientOptions
from pyftpdrive.ftp.profile import ServerProfile
from pyftpdrive.ftp.retry import RetryPolicy
from simulators.ftp_server import FtpSimulator
from tests.helpers.real_servers import RealServer


def client_options(server: FtpSimulator | RealServer, **options: Any) -> ClientOptions:
    """How to reach *server*."""
    if isinstance(server, RealServer):
        login = {"username": server.username, "password": Secret(server.password)}
        options = {**options, **login}
    return ClientOptions(host=server.host, port=server.port, **{"timeout_s": 5.0, **options})


@contextmanager
def started_engine(server: FtpSimulator, **options: Any) -> Iterator[Engine]:
    """An engine on *server* with its first session."""
    engine = Engine(
        client_options(server),
        EngineOptions(**{"retry": RetryPolicy(attempts=3, delay_s=0.05), **options}),
        ServerProfile(),
    )
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def drive_on(server: FtpSimulator | RealServer, work: Path, **engine: Any) -> Drive:
    """A drive, not yet started; the same *work* finds the same spool."""
    return Drive(
        DriveOptions(
            client=client_options(server, password=Secret("")),
            engine=EngineOptions(**{"retry": RetryPolicy(attempts=2, delay_s=0.05), **engine}),
            metadata=MetadataOptions(),
            fetch=FetchOptions(),
            cache_directory=work / "cache",
            cache_max_bytes=1 << 30,
            spool_directory=work / "spool",
        )
    )


@contextmanager
def started_drive(server: FtpSimulator | RealServer, work: Path, **engine: Any) -> Iterator[Drive]:
    """A drive on *server*; stopped without draining at the end."""
    drive = drive_on(server, work, **engine)
    drive.start()
    try:
        yield drive
    finally:
        drive.stop()
