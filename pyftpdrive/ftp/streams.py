"""RETR and STOR: a file's octets as a stream, from the server and to it.

Source: RFC 959 4.1.3 (RETR, STOR, APPE), RFC 3659 5 (REST in stream mode).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, BinaryIO

from pyftpdrive.base.errors import NotImplementedByServer, RemoteError
from pyftpdrive.ftp.channel import command_line
from pyftpdrive.ftp.data import DataConnection, open_data
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.ftp.replies import remote_error
from pyftpdrive.ftp.transfers import ABORT_DEADLINE_S, Transfer, TransferRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyftpdrive.ftp.session import Session


class RetrieveStream:
    """The octets of a file, as they come. One owner thread; end it by `finish` or `abort`."""

    def __init__(self, transfer: Transfer | None, *, skip_bytes: int = 0) -> None:
        self._transfer = transfer  # None: nothing lies behind the offset
        self._skip_bytes = skip_bytes

    def read_into(self, buffer: memoryview) -> int:
        """Fill the front of *buffer* without copying; 0 = end of file.

        Raises:
            RemoteUnavailable: the transfer broke; what came before is good.
        """
        if self._transfer is None:
            return 0
        if self._skip_bytes and not self._skip():
            return 0
        return self._transfer.receive_into(buffer)

    def _skip(self) -> bool:
        """Read what the server sends before our offset (it has no REST); False: it ended there."""
        assert self._transfer is not None  # noqa: S101
        scratch = memoryview(bytearray(256 * 1024))
        while self._skip_bytes:
            count = self._transfer.receive_into(scratch[: min(len(scratch), self._skip_bytes)])
            if count == 0:
                return False
            self._skip_bytes -= count
        return True

    def finish(self) -> None:
        """Take the server's final reply; before the end of the file this is `abort`.

        Raises:
            RemoteUnavailable: the server says that the transfer failed.
        """
        if self._transfer is None:
            return
        if not self._transfer.at_end and self._transfer.receive_into(memoryview(bytearray(1))):
            self._transfer.abort()
            return
        reply = self._transfer.final_reply()
        if not reply.is_positive:
            raise remote_error(reply, action="RETR")

    def abort(self) -> None:
        """Stop early. The session stays in step, or is closed. Never raises."""
        if self._transfer is not None and not self._transfer.at_end:
            self._transfer.abort()
        elif self._transfer is not None:
            with contextlib.suppress(RemoteError):
                self._transfer.final_reply(ABORT_DEADLINE_S)


def open_retrieve(session: Session, path: bytes, offset_bytes: int) -> RetrieveStream:
    """Start RETR of the absolute *path* at *offset_bytes*.

    Raises:
        TransferRefused: the server does not send it.
    Source: RFC 3659 5 (REST in stream mode).
    """
    profile = session.profile
    _, data = open_data(session)
    rest: bytes | None = None
    skip = 0
    if offset_bytes and profile.rest is Proof.NO:
        skip = offset_bytes
    elif offset_bytes:
        rest = command_line("REST", b"%d" % offset_bytes)
        if profile.rest is Proof.UNKNOWN or profile.pipelining is not Proof.YES:
            if not _restart_at(session, data, rest):
                skip = offset_bytes
            rest = None
    transfer = Transfer(session, data, receiving=True)
    if not transfer.start(command_line("RETR", path), rest=rest):
        skip = offset_bytes
    return RetrieveStream(transfer, skip_bytes=skip)


def _restart_at(session: Session, data: DataConnection, rest: bytes) -> bool:
    """Send REST by itself; False when this server has none."""
    try:
        (reply,) = session.flight([rest])
    except RemoteError:
        data.close()
        raise
    if reply.code == 350:
        session.profile.confirm("rest")
        return True
    if reply.code in (500, 502, 504, 530):
        session.profile.deny("rest")
    return False


def store(
    session: Session,
    path: bytes,
    source: BinaryIO,
    *,
    verb: str = "STOR",
    offset_bytes: int = 0,
    progress: Callable[[int], None] | None = None,
    pause: Callable[[], bool] | None = None,
) -> int:
    """STOR (or APPE) *source*, from its position to its end, as the absolute *path*.

    When *pause* says so after a piece, the file ends there for the server.

    Raises:
        TransferRefused: before any octet moved, or by the final reply.
        RemoteUnavailable: the transfer broke.
    """
    _, data = open_data(session)
    if offset_bytes and not _restart_at(session, data, command_line("REST", b"%d" % offset_bytes)):
        data.close()
        raise NotImplementedByServer("REST before STOR")
    transfer = Transfer(session, data, receiving=False)
    transfer.start(command_line(verb, path))
    try:
        sent = transfer.send_file(source, progress, pause)
    except BaseException:
        transfer.abort()  # also for what the source or `progress` raised: a part is no file
        raise
    reply = transfer.end_sending()
    if not reply.is_positive:
        raise TransferRefused(reply)
    return sent
