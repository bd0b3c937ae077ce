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
    PyftpdriveError,
    RemoteError,
    RemoteTimeout,
    RemoteUnavailable,
    TlsError,
    TransferTruncated,
)
from pyftpdrive.ftp.channel import command_line
from pyftpdrive.ftp.data import DIAL_TIMEOUT_S, DataConnection
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.ftp.replies import Reply, remote_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyftpdrive.ftp.channel import ControlChannel
    from pyftpdrive.ftp.session import Session

PIECE_BYTES = 256 * 1024  # one sendfile; progress is told after each
UNSENT_BYTES_MAX = 128 * 1024  # in the kernel: who gives way must not wait for megabytes
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
        session.interrupt = data.interrupt

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
        """Wait for the dialled socket. A server that refuses the command closes its port too.

        Raises:
            TransferRefused: it was that.
            RemoteUnavailable: no way to the port; which mode works is an open question again.
        """
        session = self._session
        try:
            self._data.wait_connected(min(DIAL_TIMEOUT_S, session.channel.timeout_s))
        except OSError as exc:
            with contextlib.suppress(RemoteUnavailable):
                reply = session.channel.read_reply(
                    min(BROKEN_DEADLINE_S, session.channel.timeout_s)
                )
                if not (reply.is_positive or reply.is_preliminary):
                    raise TransferRefused(reply) from exc
            session.close()
            session.profile.epsv = session.profile.pasv = Proof.UNKNOWN
            raise RemoteUnavailable(
                f"the data connection to {session.server} failed: {exc}"
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
        if reply is None and watched is self._data.sock and not _has_octets(watched):
            # Ended or reset already: the reply on its way says whether that means anything.
            reply = session.channel.reply_or_readable(None, session.channel.timeout_s)
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

    def send_file(
        self,
        source: BinaryIO,
        progress: Callable[[int], None] | None,
        pause: Callable[[], bool] | None = None,
    ) -> int:
        """Send *source* from its position to its end, or until *pause* says so; the octets sent."""
        total = 0
        for count in self._pieces(source):
            total += count
            self._session.note_activity()
            if progress is not None:
                progress(total)
            if pause is not None and pause():
                break
        return total

    def _pieces(self, source: BinaryIO) -> _Pieces:
        sock = self._data.sock
        assert sock is not None  # noqa: S101  # start() made it
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
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
                self._await_farewell()

    def _await_farewell(self) -> None:
        """Read the reply to an aborted transfer, or learn that this server sends none.

        Pure-FTPd says nothing; NOOP behind it shows that it listens again.
        """
        session = self._session
        channel, profile = session.channel, session.profile
        if profile.silent_abort is Proof.UNKNOWN and "Pure-FTPd" in profile.banner:
            profile.confirm("silent_abort")
        if profile.silent_abort is not Proof.YES:
            reply = _past_preliminaries(channel)
            if reply is not None:
                self._final = reply
                return
        channel.send(command_line("NOOP"))
        reply = _past_preliminaries(channel)
        if reply is not None and reply.code not in (200, 500, 502):
            reply = _past_preliminaries(channel)  # the farewell came late; this answers NOOP
        if reply is None or reply.code != 200:
            # Pure-FTPd sometimes takes NOOP for a part of the transfer, says 500 and sends its
            # farewell later: every reply would be one off. A new session costs less than a lie.
            session.close()
            return
        self._final = reply
        profile.confirm("silent_abort")

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


def _has_octets(sock: socket.socket | None) -> bool:
    """True when *sock* has something to read, and that is not its end."""
    if sock is None:
        return False
    try:
        sock.settimeout(0)
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True  # nothing yet, but no end either
    except OSError:
        return False


def _past_preliminaries(channel: ControlChannel) -> Reply | None:
    """The next reply that is not 1yz; None: none within the deadline for aborts."""
    while True:
        reply = channel.reply_or_readable(None, ABORT_DEADLINE_S)
        if reply is None or reply.code >= 200:
            return reply


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
