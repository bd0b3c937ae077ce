"""Questions that no drive asks: what the server does when it is tried out. For `doctor`.

Those that write want a file or directory of their own; none of them is harmless elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyftpdrive.base.errors import (
    NotAnFtpServer,
    NotImplementedByServer,
    ProtocolViolation,
    RemoteError,
    RemoteTimeout,
    RemoteUnavailable,
    TooManySessions,
)
from pyftpdrive.base.paths import ROOT, RemotePath
from pyftpdrive.ftp import streams
from pyftpdrive.ftp.channel import ControlChannel, command_line
from pyftpdrive.ftp.data import open_data
from pyftpdrive.ftp.replies import parse_pasv
from pyftpdrive.ftp.session import TlsMode
from pyftpdrive.ftp.transfers import Transfer, TransferRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyftpdrive.base.clock import Clock
    from pyftpdrive.ftp.ftp_client import ClientOptions, FtpClient
    from pyftpdrive.ftp.session import Session

LINES_BYTES_MAX = 64 * 1024
_UNIX_LINE = re.compile(rb"[-bcdlpsD][-rwxsStTlL]{9}")
_DOS_LINE = re.compile(rb"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What is seen of a server without a login."""

    resolve_s: float
    connect_s: float
    greeting_s: float
    greeting: str
    offers_tls: bool | None  # None: TLS is spoken from the first octet, or it said nothing clear


def knock(
    options: ClientOptions, clock: Clock, opened: Callable[[Callable[[], None]], None]
) -> Door:
    """Dial, hear the greeting, ask for TLS, and leave.

    *opened* is told how another thread ends it: a server may promise to be ready soon for ever.

    Raises:
        RemoteUnavailable: the name is unknown, nobody answers, or not in time.
        TooManySessions: the server takes no more sessions now.
        NotAnFtpServer: something else answers there.
    """
    began = clock.monotonic()
    try:
        socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise RemoteUnavailable(f"the host name {options.host!r} can't be resolved") from exc
    resolved = clock.monotonic()
    sock = _dial(options)
    connected = clock.monotonic()
    server = f"{options.host}:{options.port}"
    try:
        channel = ControlChannel(
            sock,
            timeout_s=options.timeout_s,
            clock=clock,
            server=server,
            secret=options.password,
        )
    except OSError as exc:
        sock.close()
        raise RemoteUnavailable(f"{server} hung up at once") from exc
    greeting, offers = "", None
    opened(channel.close)
    try:
        if options.tls is not TlsMode.IMPLICIT:
            greeting, offers = _converse(channel)
    finally:
        channel.close()
    return Door(
        resolve_s=resolved - began,
        connect_s=connected - resolved,
        greeting_s=clock.monotonic() - connected,
        greeting=greeting,
        offers_tls=offers,
    )


def _dial(options: ClientOptions) -> socket.socket:
    server = f"{options.host}:{options.port}"
    try:
        return socket.create_connection((options.host, options.port), timeout=options.timeout_s)
    except TimeoutError as exc:
        raise RemoteTimeout(f"{server} did not answer within {options.timeout_s:g} s") from exc
    except ConnectionRefusedError as exc:
        raise RemoteUnavailable(f"nothing listens at {server}: refused") from exc
    except OSError as exc:
        raise RemoteUnavailable(f"{server} can't be reached: {exc.strerror or exc}") from exc


def _converse(channel: ControlChannel) -> tuple[str, bool | None]:
    """The greeting, and whether AUTH TLS is taken; the session is of no use afterwards."""
    try:
        reply = channel.read_banner()
        while reply.code < 200:
            reply = channel.read_reply()
    except RemoteUnavailable as exc:
        if exc.reply is None:
            raise
        raise TooManySessions(
            f"the server takes no more sessions now: {exc.reply}", reply=exc.reply
        ) from exc
    if reply.code >= 300:
        raise NotAnFtpServer(f"it greets with {reply.code} {reply.text}", reply=reply.text)
    offers: bool | None = None
    with contextlib.suppress(RemoteError):
        answer = channel.command("AUTH", b"TLS")
        offers = answer.code == 234
        if not offers:
            channel.send(command_line("QUIT"))
            channel.read_reply(1.0)
    return reply.text, offers


# -- looking --------------------------------------------------------------------------------------


def announced_by_pasv(client: FtpClient) -> tuple[str, str] | None:
    """The host that PASV names and the one that we are connected to; None: no PASV.

    The session is to be thrown away: the port that was announced stays open.
    """
    reply = client.session.command("PASV")
    if not reply.is_positive:
        return None
    try:
        return parse_pasv(reply)[0], client.session.channel.peer[0]
    except ProtocolViolation:
        return None


def list_dialect(client: FtpClient) -> str:
    """How LIST writes: "Unix", "DOS", "other", or "" when the directory shows no line.

    Raises:
        TransferRefused: LIST was refused.
    """
    session = client.session
    _, data = open_data(session)
    transfer = Transfer(session, data, receiving=True)
    transfer.start(command_line("LIST"))
    content = bytearray()
    buffer = memoryview(bytearray(LINES_BYTES_MAX))
    while count := transfer.receive_into(buffer):
        content += buffer[:count]
        if len(content) > LINES_BYTES_MAX:
            transfer.abort()
            break
    else:
        transfer.final_reply()
    lines = [line for line in bytes(content).splitlines() if line.strip()]
    lines = [line for line in lines if not line.lower().startswith(b"total")]
    if not lines:
        return ""
    if any(_UNIX_LINE.match(line) for line in lines):
        return "Unix"
    return "DOS" if any(_DOS_LINE.match(line) for line in lines) else "other"


# -- trying ---------------------------------------------------------------------------------------


def append(client: FtpClient, path: RemotePath, octets: bytes) -> bool:
    """APPE *octets* to a file; False: refused."""
    return _store(client.session, path, octets, verb="APPE", offset_bytes=0)


def store_from(client: FtpClient, path: RemotePath, offset_bytes: int, octets: bytes) -> bool:
    """REST and STOR: write *octets* from *offset_bytes* on; False: refused."""
    return _store(client.session, path, octets, verb="STOR", offset_bytes=offset_bytes)


def _store(
    session: Session, path: RemotePath, octets: bytes, *, verb: str, offset_bytes: int
) -> bool:
    try:
        streams.store(
            session, session.wire(path), io.BytesIO(octets), verb=verb, offset_bytes=offset_bytes
        )
    except (TransferRefused, NotImplementedByServer):
        return False
    return True


def remove_directory_unguarded(client: FtpClient, path: RemotePath) -> bool:
    """RMD, whatever is in there; whether the server said yes."""
    session = client.session
    *_, reply = session.flight(
        [command_line("CWD", session.wire(ROOT)), command_line("RMD", session.wire(path))]
    )
    return reply.is_positive
