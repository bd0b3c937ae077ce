"""Short ways to a client for tests of `pyftpdrive.ftp`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pyftpdrive.base.secret import Secret
from pyftpdrive.ftp.ftp_client import ClientOptions, FtpClient
from pyftpdrive.ftp.profile import ServerProfile
from simulators.ftp_server import FtpSimulator
from tests.helpers.real_servers import RealServer

TIMEOUT_S = 5.0


def options_for(server: FtpSimulator | RealServer, **changes: object) -> ClientOptions:
    """How to reach *server*; *changes* are fields of ClientOptions."""
    options = ClientOptions(host=server.host, port=server.port, timeout_s=TIMEOUT_S)
    if isinstance(server, RealServer):
        options = replace(options, username=server.username, password=Secret(server.password))
    return replace(options, **changes)  # type: ignore[arg-type]


@contextmanager
def connected(
    server: FtpSimulator | RealServer, profile: ServerProfile | None = None, **changes: object
) -> Iterator[FtpClient]:
    """A connected client; it is disconnected afterwards."""
    client = FtpClient(options_for(server, **changes), profile or ServerProfile())
    client.connect()
    try:
        yield client
    finally:
        client.disconnect()
