"""Transfers: protecting a data connection, moving octets, and ending in step.

- TLS: the handshake comes after 150/125 (proftpd and pure-ftpd answer it no sooner), also when
  nothing is sent, and resumes the control connection's session (vsftpd `require_ssl_reuse`;
  the standard library's ftplib has no way to do it, cpython#63699). A TLS 1.3 session can be
  resumed only after its ticket was read, so it is taken from the control socket anew each time.
- An upload ends with close_notify and a half-close; the socket itself is closed after the final
  reply: closing one with unread octets (TLS 1.3 tickets) sends RST and may cost the file's tail.

Source: RFC 959 3.4, RFC 4217 10-12, RFC 3659 5 (REST).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
from typing import TYPE_CHECKING, BinaryIO

from pyftpdrive.base.errors import (
    NotImplementedByServer,
    PyftpdriveError,
    RemoteError,
    RemoteTimeout,
    RemoteUnavailable,
    TlsError,
    TransferTruncated,
)
from pyftpdrive.ftp.channel import command_line
from pyftpdrive.ftp.data import DIAL_TIMEOUT_S, DataConnection, open_data
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.ftp.replies import Reply, remote_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyftpdrive.ftp.session import Session

PIECE_BYTES = 1024 * 1024  # one sendfile; progress is told after each
PRELIMINARY_PATIENCE_S = 10.0  # for 150/125; some servers never say it
ABORT_DEADLINE_S = 2.0
BROKEN_DEADLINE_S = 5.0  # for the reply that says why a data connection broke


class TransferRefused(PyftpdriveError):
    """The server answered a transfer command with 4yz or 5yz."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Transfer:
    """One transfer command and its data connection, from the command to the final reply.

    However it ends, the data socket is closed, and the session is either in step or closed.
    """

    def __init__(self, session: Session, data: DataConnection, *, receiving: bool) -> None:
        self._session = session
        self._data = data
        self._receiving = receiving
        self._final: Reply | None = None
        self._over = False

    # -- beginning --------------------------------------------------------------------------

    def start(self, line: bytes, *, rest: bytes | None = None) -> bool:
        """Send *line* (behind *rest*, in one write) and wait until octets may move.

        Returns False when REST was refused: the transfer then begins at the file's first octet.

        Raises:
            TransferRefused: 4yz or 5yz instead of 150.
            RemoteUnavailable: the data connection could not be made; the session is closed.
        """
        channel = self._session.channel
        rest_done = True
        try:
            if rest is None:
                channel.discard_surplus()
                channel.send(line)
            else:
                channel.discard_surplus()
                channel.send(rest, line)
                rest_done = channel.read_reply().code == 350
            self._connect()
            self._await_preliminary()
            self._accept_and_secure()
        except (RemoteError, TransferRefused):
            self._data.close()
            self._over = True
            raise
        return rest_done

    def _connect(self) -> None:
        try:
            self._data.wait_connected(min(DIAL_TIMEOUT_S, self._session.channel.timeout_s))
        except OSError as exc:
            # The command is on its way already: out of step. Which mode works is open again.
            self._session.close()
            self._session.profile.epsv = Proof.UNKNOWN
            self._session.profile.pasv = Proof.UNKNOWN
            raise RemoteUnavailable(
                f"the data connection to {self._session.server} failed: {exc}"
            ) from exc

    def _await_preliminary(self) -> None:
        """Wait for 150/125, or for what shows that the server goes on without it."""
        session = self._session
        watched: socket.socket | None = self._data.listener
        if watched is None and self._receiving and session.tls_context is None:
            watched = self._data.sock
        timeout = session.channel.timeout_s
        if watched is None:
            timeout = min(PRELIMINARY_PATIENCE_S, timeout)
        reply = session.channel.reply_or_readable(watched, timeout)
        if reply is None or reply.code < 200:
            return
        if not reply.is_positive:
            self._check_tls_reuse(reply)
            raise TransferRefused(reply)
        self._final = reply

    def _accept_and_secure(self) -> None:
        session = self._session
        try:
            self._data.accept(session.channel.peer[0], session.channel.timeout_s)
        except OSError as exc:
            session.close()
            raise RemoteUnavailable(
                f"{session.server} did not open the data connection (active mode): {exc}"
            ) from exc
        sock = self._data.sock
        if sock is None:
            session.close()
            raise RemoteUnavailable(f"no data connection with {session.server}")
        sock.settimeout(session.channel.timeout_s)
        if session.tls_context is None:
            return
        control = session.channel.tls
        try:
            secured = session.tls_context.wrap_socket(
                sock,
                server_hostname=session.options.host,
                session=control.session if control is not None else None,
                do_handshake_on_connect=False,
            )
            self._data.sock = secured
            secured.do_handshake()
        except ssl.SSLCertVerificationError as exc:
            session.close()
            raise TlsError(
                f"the data connection's certificate can't be trusted: {exc.verify_message}"
            ) from exc
        except (OSError, ValueError) as exc:
            raise self._broke(exc) from exc

    # -- receiving --------------------------------------------------------------------------

    def receive_into(self, buffer: memoryview) -> int:
        """Fill the front of *buffer*; 0 = the data connection ended.

        Raises:
            RemoteTimeout: no octet for the session's timeout; the session is closed.
            RemoteUnavailable: the data connection broke; what was received before is good.
        """
        sock = self._data.sock
        if self._over or sock is None:
            return 0
        try:
            count = sock.recv_into(buffer)
        except (OSError, ValueError) as exc:
            raise self._broke(exc) from exc
        self._session.note_activity()
        if count == 0:
            self._over = True
            self._say_goodbye(wait=False)
            self._data.close()
        return count

    @property
    def at_end(self) -> bool:
        """True when the data connection has ended."""
        return self._over

    # -- sending ----------------------------------------------------------------------------

    def send_file(self, source: BinaryIO, progress: Callable[[int], None] | None) -> int:
        """Send *source* from its position to its end; the octets sent."""
        total = 0
        for count in self._pieces(source):
            total += count
            self._session.note_activity()
            if progress is not None:
                progress(total)
        return total

    def _pieces(self, source: BinaryIO) -> _Pieces:
        sock = self._data.sock
        assert sock is not None  # noqa: S101  # start() made it
        return _Pieces(sock, source, self._broke)

    def end_sending(self) -> Reply:
        """Tell the server that this was all, and return its final reply."""
        self._say_goodbye(wait=True)
        sock = self._data.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        try:
            return self.final_reply()
        finally:
            self._over = True
            self._data.close()

    def _say_goodbye(self, *, wait: bool) -> None:
        """TLS close_notify, without waiting for the other side's.

        Source: RFC 4217 12.7; SSL_shutdown(3): the first call only sends.
        """
        sock = self._data.sock
        if not isinstance(sock, ssl.SSLSocket):
            return
        with contextlib.suppress(OSError, ValueError):
            sock.settimeout(0)
            while True:
                try:
                    sock.unwrap()
                except ssl.SSLWantWriteError:
                    if not wait:
                        return
                    with selectors.DefaultSelector() as selector:
                        selector.register(sock, selectors.EVENT_WRITE)
                        if not selector.select(self._session.channel.timeout_s):
                            return
                except ssl.SSLError:
                    return  # WantRead: ours is sent; the other side's is not waited for
                else:
                    return

    # -- ending -----------------------------------------------------------------------------

    def final_reply(self, timeout_s: float | None = None) -> Reply:
        """The reply that ends the transfer; a second 150 is skipped."""
        while self._final is None:
            reply = self._session.channel.read_reply(timeout_s)
            if reply.code >= 200:
                self._final = reply
        if not self._final.is_positive:
            self._check_tls_reuse(self._final)
        elif self._session.tls_context is not None:
            self._session.profile.confirm("tls13_data")
        return self._final

    def abort(self) -> None:
        """Stop now: the session is in step again, or closed. Never raises.

        The server's farewell (426, 226, 225, 451, 500…) gets two seconds.
        """
        self._data.close(hard=not self._receiving)
        self._over = True
        if self._final is None and self._session.connected:
            with contextlib.suppress(RemoteError):
                self.final_reply(ABORT_DEADLINE_S)

    def _broke(self, exc: Exception) -> RemoteError:
        """The data connection failed: close it and find out why from the control connection."""
        self._over = True
        self._data.close(hard=not self._receiving)
        session = self._session
        if isinstance(exc, TimeoutError):
            session.close()
            return RemoteTimeout(
                f"no octet moved between us and {session.server} for "
                f"{session.options.timeout_s:g} s"
            )
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        try:
            reply = self.final_reply(min(BROKEN_DEADLINE_S, session.options.timeout_s))
        except RemoteUnavailable as caught:
            if caught.reply is not None or session.profile.tls13_data is Proof.NO:
                return caught
            return RemoteUnavailable(f"the data connection broke: {reason}")
        if not reply.is_positive:
            return remote_error(reply, action="transfer")
        return TransferTruncated(f"the data connection broke: {reason}", reply=reply.text)

    def _check_tls_reuse(self, reply: Reply) -> None:
        """425/522 on TLS 1.3 may mean that its tickets don't count as reuse here: use 1.2.

        Raises:
            RemoteUnavailable: once per server; the session is closed, the next one has TLS 1.2.
        """
        session = self._session
        if reply.code not in (425, 522) or session.profile.tls13_data is not Proof.UNKNOWN:
            return
        control = session.channel.tls if session.connected else None
        if control is None or control.version() != "TLSv1.3":
            return
        session.profile.deny("tls13_data")
        session.close()
        raise RemoteUnavailable(
            f"{session.server} does not take TLS 1.3 sessions on data connections "
            f"({reply.text}); the next session uses TLS 1.2",
            reply=reply.text,
        )


class _Pieces:
    """Iterates over the sizes of the pieces of a file, sending each."""

    def __init__(
        self,
        sock: socket.socket | ssl.SSLSocket,
        source: BinaryIO,
        broke: Callable[[Exception], RemoteError],
    ) -> None:
        self._sock = sock
        self._source = source
        self._broke = broke
        self._offset: int | None = None  # not None: the kernel can copy by itself
        if hasattr(os, "sendfile") and not isinstance(sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, AttributeError, ValueError):
                source.fileno()
                self._offset = source.tell()

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> int:
        count = self._copy() if self._offset is not None else self._read_and_send()
        if count == 0:
            raise StopIteration
        return count

    def _copy(self) -> int:
        try:
            count = self._sock.sendfile(self._source, self._offset or 0, PIECE_BYTES)
        except (OSError, ValueError) as exc:
            raise self._broke(exc) from exc
        self._offset = (self._offset or 0) + count
        return count

    def _read_and_send(self) -> int:
        piece = self._source.read(PIECE_BYTES)
        if piece:
            try:
                self._sock.sendall(piece)
            except (OSError, ValueError) as exc:
                raise self._broke(exc) from exc
        return len(piece)


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
) -> int:
    """STOR (or APPE) *source*, from its position to its end, as the absolute *path*.

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
        sent = transfer.send_file(source, progress)
    except BaseException:
        transfer.abort()  # also for what the source or `progress` raised: a part is no file
        raise
    reply = transfer.end_sending()
    if not reply.is_positive:
        raise TransferRefused(reply)
    return sent
