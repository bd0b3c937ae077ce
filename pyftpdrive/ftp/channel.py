"""The control connection: commands out, replies in, every octet bounded.

Promises: a command never holds CR, LF or NUL; a reply line and a reply have a maximal size
(`replies.ReplyReader`); no wait is longer than its timeout; after any failure the socket is
closed, so that a late reply is never taken for the answer to another command.
"""

from __future__ import annotations

import contextlib
import logging
import re
import selectors
import socket
import ssl
from typing import TYPE_CHECKING

from pyftpdrive.base.errors import (
    InvalidName,
    NotAnFtpServer,
    ProtocolViolation,
    RemoteTimeout,
    RemoteUnavailable,
    TlsError,
)
from pyftpdrive.ftp.replies import Reply, ReplyReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyftpdrive.base.clock import Clock
    from pyftpdrive.base.secret import Secret

log = logging.getLogger("pyftpdrive.ftp")

FLIGHT_COMMANDS_MAX = 256  # outstanding; their replies fit any socket buffer
FLIGHT_BYTES_MAX = 16 * 1024  # outstanding; fits the smallest receive buffer in use
REPLY_PATIENCE = 4  # a reply that trickles in may take this many timeouts
PRELIMINARIES_MAX = 64  # 1yz in a row; more would be waited for without end
SURPLUS_MAX = 64  # replies that nobody asked for, before we stop listening
RECEIVE_BYTES = 64 * 1024
_WITH_NAMES = (211, 213, 227, 229, 250, 257)  # replies that values are taken from
_FORBIDDEN = re.compile(rb"[\0\r\n]")


def command_line(verb: str, argument: bytes | None = None) -> bytes:
    """The octets of one command, IAC doubled.

    Raises:
        InvalidName: CR, LF or NUL in the argument: it would end the command.
    Source: RFC 959 5.3.1; RFC 854 (IAC).
    """
    if argument is None:
        return verb.encode("ascii") + b"\r\n"
    if _FORBIDDEN.search(argument):
        raise InvalidName(f"{argument!r} can't be sent in a command")
    return verb.encode("ascii") + b" " + argument.replace(b"\xff", b"\xff\xff") + b"\r\n"


def printable(line: bytes) -> str:
    """One command or reply for the log: no password, no control character."""
    text = line.rstrip(b"\r\n")
    if text[:5].upper() in (b"PASS ", b"ACCT "):
        return text[:4].decode("ascii") + " ***"
    return text.decode("utf-8", "backslashreplace").encode("unicode_escape").decode("ascii")


class ControlChannel:
    """One control connection, open from construction on. Not thread-safe.

    Only `close` may be called by another thread: it makes the owner's wait fail.
    """

    def __init__(
        self, sock: socket.socket, *, timeout_s: float, clock: Clock, server: str, secret: Secret
    ) -> None:
        self._sock: socket.socket | ssl.SSLSocket = sock
        self._reader = ReplyReader()
        self._clock = clock
        self._server = server
        self._secret = secret
        self._preliminaries = 0
        self.timeout_s = timeout_s
        self.closed = False
        self.last_used = clock.monotonic()
        self.on_activity: Callable[[], None] | None = None
        self.on_exchange: Callable[[bytes | Reply], None] | None = None  # each command and reply
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.peer: tuple[str, int] = sock.getpeername()
        self.local: tuple[str, int] = sock.getsockname()
        self.family = sock.family

    # -- state ------------------------------------------------------------------------------

    @property
    def tls(self) -> ssl.SSLSocket | None:
        """The TLS socket, or None on a plain connection."""
        return self._sock if isinstance(self._sock, ssl.SSLSocket) else None

    def close(self) -> None:
        """End the connection at once; a wait in another thread fails."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._sock.close()

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on.

        Raises:
            TlsError: no trust, no TLS spoken, or octets in clear text behind the reply to AUTH:
                somebody on the way would have them taken for protected ones (CVE-2011-0411).
            RemoteUnavailable: the connection died in the handshake.
        """
        if self._reader.pending:
            self.close()
            raise TlsError(
                f"{self._server} sent more in clear text after it agreed to TLS; somebody on the "
                "way may have put it there, so the session was ended"
            )
        try:
            self._sock.settimeout(self.timeout_s)
            self._sock = context.wrap_socket(self._sock, server_hostname=host)
        except ssl.SSLCertVerificationError as exc:
            self.close()
            raise TlsError(
                f"the certificate of {self._server} can't be trusted: {exc.verify_message}"
            ) from exc
        except ssl.SSLError as exc:
            self.close()
            raise TlsError(f"no TLS with {self._server}: {exc.reason or exc}") from exc
        except (OSError, ValueError) as exc:
            raise self._broken(exc) from exc

    # -- talking ----------------------------------------------------------------------------

    def read_banner(self) -> Reply:
        """The first reply; what does not look like one is not an FTP server.

        Raises:
            NotAnFtpServer: something else speaks there.
            RemoteTimeout: it says nothing.
        Source: RFC 959 4.2 (three digits begin a reply).
        """
        try:
            first = self._receive(self.timeout_s)
            while len(first) < 3:
                first += self._receive(self.timeout_s)
        except RemoteTimeout as exc:
            raise RemoteTimeout(
                f"{self._server} accepts connections but sends no greeting within "
                f"{self.timeout_s:g} s (not FTP, or implicit TLS?)"
            ) from exc
        if not (first[:3].isdigit() and first[3:4] in (b"", b" ", b"-", b"\r", b"\n")):
            self.close()
            said = printable(first.split(b"\n", 1)[0][:80])
            raise NotAnFtpServer(f"{self._server} does not speak FTP; it said: {said}")
        self._feed(first)
        return self.read_reply()

    def send(self, *lines: bytes) -> None:
        """Send command lines in one write; no waiting for replies."""
        if self.closed:
            raise RemoteUnavailable(f"the session with {self._server} has ended")
        if log.isEnabledFor(logging.DEBUG):
            for line in lines:
                log.debug("> %s", printable(line))
        if self.on_exchange is not None:
            for line in lines:
                self.on_exchange(line)
        try:
            self._sock.settimeout(self.timeout_s)
            self._sock.sendall(b"".join(lines))
        except (OSError, ValueError) as exc:
            raise self._broken(exc) from exc
        self.last_used = self._clock.monotonic()

    def command(
        self, verb: str, argument: bytes | None = None, *, timeout_s: float | None = None
    ) -> Reply:
        """Send one command and return its reply, whatever it says (421 raises).

        Raises:
            RemoteUnavailable: the connection is dead or the server ended it.
        """
        line = command_line(verb, argument)
        self.discard_surplus()
        self.send(line)
        return self.read_reply(timeout_s)

    def flight(self, lines: Sequence[bytes], *, timeout_s: float | None = None) -> list[Reply]:
        """Send many commands without waiting in between; their replies, in order.

        What is outstanding is bounded in commands and octets, and replies are taken while
        commands go out, so that neither side ever blocks on a full socket buffer.
        """
        self.discard_surplus()
        replies: list[Reply] = []
        sent = outstanding_bytes = 0
        while len(replies) < len(lines):
            outstanding = sent - len(replies)
            if sent < len(lines) and outstanding <= FLIGHT_COMMANDS_MAX // 2:
                first = sent
                while sent < len(lines) and sent - len(replies) < FLIGHT_COMMANDS_MAX:
                    if outstanding_bytes and (
                        outstanding_bytes + len(lines[sent]) > FLIGHT_BYTES_MAX
                    ):
                        break
                    outstanding_bytes += len(lines[sent])
                    sent += 1
                if sent > first:
                    self.send(*lines[first:sent])
            outstanding_bytes -= len(lines[len(replies)])
            replies.append(self.read_reply(timeout_s))
        return replies

    def read_reply(self, timeout_s: float | None = None) -> Reply:
        """Wait for the next reply.

        Raises:
            RemoteTimeout: nothing for *timeout_s* (default: the session's).
            RemoteUnavailable: 421 (its text in `reply`), or the connection ended.
            ProtocolViolation: not a reply, or an endless one.
        """
        timeout = self.timeout_s if timeout_s is None else timeout_s
        deadline = self._clock.monotonic() + timeout * REPLY_PATIENCE
        while True:
            reply = self._next()
            if reply is not None:
                return reply
            if self._clock.monotonic() > deadline:
                self.close()
                raise RemoteTimeout(f"{self._server} did not end its reply")
            self._feed(self._receive(timeout))

    def reply_or_readable(self, other: socket.socket | None, timeout_s: float) -> Reply | None:
        """The next reply, or None when *other* became readable first or the time is over."""
        reply = self._next()
        deadline = self._clock.monotonic() + timeout_s
        while reply is None:
            ready = self._wait(other, deadline - self._clock.monotonic())
            if self._sock not in ready:
                return None
            self._feed(self._receive(self.timeout_s))
            reply = self._next()
        return reply

    def discard_surplus(self) -> None:
        """Throw away replies that nobody asked for, before they are taken for an answer.

        Raises:
            RemoteUnavailable: the server said 421 or hung up while the session was idle.
        """
        if self.closed:
            raise RemoteUnavailable(f"the session with {self._server} has ended")
        for _ in range(SURPLUS_MAX):
            try:
                self._sock.settimeout(0)
                data = self._sock.recv(RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                data = None
            except (OSError, ValueError) as exc:
                raise self._broken(exc) from exc
            if data is not None:
                self._feed(data)
            surplus = self._next()
            while surplus is not None:
                log.debug("nobody asked for this reply: %d", surplus.code)
                surplus = self._next()
            if data is None:
                return
        self.close()
        raise ProtocolViolation(f"{self._server} sends replies that nobody asked for")

    # -- octets -----------------------------------------------------------------------------

    def _wait(self, other: socket.socket | None, timeout_s: float) -> list[object]:
        """Which of the control socket and *other* have something to read."""
        if self.tls is not None and self.tls.pending():
            return [self._sock]
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._sock, selectors.EVENT_READ)
                if other is not None:
                    selector.register(other, selectors.EVENT_READ)
                return [key.fileobj for key, _ in selector.select(max(0.0, timeout_s))]
        except (OSError, ValueError) as exc:
            raise self._broken(exc) from exc

    def _receive(self, timeout_s: float) -> bytes:
        try:
            self._sock.settimeout(max(0.001, timeout_s))
            data = self._sock.recv(RECEIVE_BYTES)
        except (OSError, ValueError) as exc:
            raise self._broken(exc, timeout_s) from exc
        if not data:
            self.close()
            raise RemoteUnavailable(f"{self._server} closed the connection")
        return data

    def _feed(self, data: bytes) -> None:
        if not data:
            self.close()
            raise RemoteUnavailable(f"{self._server} closed the connection")
        try:
            self._reader.feed(data)
        except ProtocolViolation:
            self.close()
            raise
        self.last_used = self._clock.monotonic()
        if self.on_activity is not None:
            self.on_activity()

    def _next(self) -> Reply | None:
        try:
            reply = self._reader.next()
        except ProtocolViolation:
            self.close()
            raise
        if reply is None:
            return None
        if log.isEnabledFor(logging.DEBUG):
            log.debug("< %d %s", reply.code, reply.text.encode("unicode_escape").decode("ascii"))
        self._preliminaries = self._preliminaries + 1 if reply.is_preliminary else 0
        if self._preliminaries > PRELIMINARIES_MAX:
            self.close()
            if reply.code == 120:
                raise RemoteUnavailable(f"{self._server} promises without end to be ready soon")
            raise ProtocolViolation(f"{self._server} announces replies without end ({reply.code})")
        if self._secret and reply.code not in _WITH_NAMES:
            lines = tuple(self._secret.mask(line) for line in reply.lines)
            reply = Reply(reply.code, lines)  # some servers repeat the password
        if self.on_exchange is not None:
            self.on_exchange(reply)
        if reply.code == 421:
            self.close()
            raise RemoteUnavailable(
                f"{self._server} ended the session: {reply.text}", reply=reply.text
            )
        return reply

    def _broken(self, exc: Exception, timeout_s: float | None = None) -> RemoteUnavailable:
        """Close, and the error that says why."""
        self.close()
        if isinstance(exc, TimeoutError):
            waited = self.timeout_s if timeout_s is None else timeout_s
            return RemoteTimeout(f"{self._server} did not answer within {waited:g} s")
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        return RemoteUnavailable(f"the connection to {self._server} broke: {reason}")
