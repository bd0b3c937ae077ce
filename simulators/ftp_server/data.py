"""One data connection: moves the octets of one transfer, and lets faults strike inside it.

pyftpdlib's own DTPHandler copies through 64 KiB strings; this one reads and writes in large
blocks straight between the socket and the storage. A fault that is placed at a byte cuts the
blocks so that exactly that many octets pass before it strikes.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from simulators.ftp_server.library import DTPHandler, RetryLater, SSLConnectionMixin
from simulators.ftp_server.tls import was_resumed

if TYPE_CHECKING:
    from simulators.ftp_server.library import CallLater

if sys.platform != "win32":
    import fcntl
    import termios

    def _unsent(sock: socket.socket) -> int:
        """Octets that the kernel has not sent yet."""
        try:
            raw = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return 0
        return int(struct.unpack("i", raw)[0])

else:

    def _unsent(sock: socket.socket) -> int:
        """Windows does not tell."""
        del sock
        return 0


BLOCK = 1 << 20
RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # SO_LINGER
TLS_BLOCK = 1 << 17
_READS_PER_EVENT = 16
_DRAIN_POLL_S = 0.001
_DRAIN_POLLS_MAX = 3000


class Source(Protocol):
    """Where the octets of a download come from."""

    def next(self, length: int) -> memoryview | bytes:
        """Up to *length* more octets; nothing at the end."""

    def close(self) -> None:
        """Let go of it."""


class Sink(Protocol):
    """Where the octets of an upload go."""

    def put(self, data: memoryview) -> None:
        """Take the next octets; raises OSError when they can't be kept."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(slots=True)
class Trigger:
    """Something that happens when exactly *offset* octets have passed."""

    offset: int
    strike: Callable[[], bool]  # True: the transfer goes on


@dataclass(slots=True, kw_only=True)
class Transfer:
    """One transfer, from its 150 to its final reply."""

    source: Source | None = None  # exactly one of the two is there
    sink: Sink | None = None
    done: tuple[str, dict[str, Any]] = ("retr_done", {})  # outcome and what its text needs
    broken: str = "retr_broken"
    triggers: list[Trigger] = field(default_factory=list)
    bytes_per_s: int | None = None  # None: as fast as it goes
    ascii_mode: bool = False

    def close(self) -> None:
        """Let go of the file."""
        for end in (self.source, self.sink):
            if end is not None:
                end.close()


class BytesSource:
    """A listing that is in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def next(self, length: int) -> memoryview:
        part, self._data = self._data[:length], self._data[length:]
        return part

    def close(self) -> None:
        self._data = memoryview(b"")


class _BlockChannel(DTPHandler):
    """The transfer itself, without TLS."""

    timeout = 0

    def __init__(self, sock: socket.socket, cmd_channel: Any) -> None:
        # Before the base class: it calls `close` when the client has gone again already.
        self.transfer: Transfer | None = None
        self.moved = 0
        self._left: memoryview | bytes = b""
        self._buffer: memoryview | None = None  # made when an upload needs it
        self._paused = False
        self._outcome: tuple[str, dict[str, Any]] | None = None
        self._pause_timer: CallLater | None = None
        super().__init__(sock, cmd_channel)
        if self.connected:
            # What the client does before the transfer starts is looked at when it starts.
            self._listen(0)

    # --- the loop's side

    def _listen(self, events: int) -> None:
        if not self._closed:
            self.modify_ioloop_events(events)
            self._wanted_io_events = events

    def readable(self) -> bool:
        return self.transfer is not None and self.transfer.sink is not None and not self._paused

    def writable(self) -> bool:
        return self.transfer is not None and self.transfer.source is not None and not self._paused

    def handle_read_event(self) -> None:
        transfer = self.transfer
        if transfer is None or transfer.sink is None or self._paused:
            return
        for _ in range(_READS_PER_EVENT):
            length = self._room()
            if length == 0:
                if not self._strike():
                    return
                continue
            try:
                data = self._receive(length)
            except RetryLater:
                return
            except OSError:
                self.finish(transfer.broken, {})
                return
            if not data or self._closed:
                self.finish(*transfer.done)
                return
            try:
                transfer.sink.put(data)
            except OSError:
                self.finish("no_space", {})
                return
            self.moved += len(data)
            if not self._after_block(len(data)):
                return

    def _receive(self, length: int) -> memoryview:
        """Up to *length* octets; none at the end."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(BLOCK))
        try:
            return self._buffer[: self.socket.recv_into(self._buffer, length)]
        except BlockingIOError:
            raise RetryLater from None

    def handle_write(self) -> None:
        transfer = self.transfer
        if transfer is None or transfer.source is None or self._paused:
            return
        if not self._left:
            length = self._room()
            if length == 0:
                self._strike()
                return
            self._left = transfer.source.next(length)
            if not self._left:
                self.finish(*transfer.done)
                return
        sent = self.send(self._left)
        if self._closed:
            return
        self._left = self._left[sent:]
        self.moved += sent
        self._after_block(sent)

    def handle_write_event(self) -> None:
        self.handle_write()

    def handle_expt(self) -> None:
        self.handle_close()

    def handle_close(self) -> None:
        """The client closed: the end of an upload, a break in a download."""
        transfer = self.transfer
        if transfer is None:
            self.finish("data_failed", {})
        elif transfer.sink is not None and not self._reset_by_peer():
            self.finish(*transfer.done)
        else:
            self.finish(transfer.broken, {})

    def handle_error(self) -> None:
        self._error = True
        self.cmd_channel.sim.note_error()
        self.finish(self.transfer.broken if self.transfer else "data_failed", {})

    def handle_timeout(self) -> None:
        """A transfer has no deadline of its own here."""

    def _reset_by_peer(self) -> bool:
        try:
            return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except OSError:
            return True

    # --- faults and speed

    def _block(self) -> int:
        return BLOCK

    def _room(self) -> int:
        """How many octets may pass before the next trigger."""
        transfer = self.transfer
        assert transfer is not None
        room = self._block()
        if transfer.bytes_per_s is not None:
            room = max(1, min(room, transfer.bytes_per_s // 20))
        if transfer.triggers:
            room = min(room, max(0, transfer.triggers[0].offset - self.moved))
        return room

    def _after_block(self, length: int) -> bool:
        """Strike what is due; False when the transfer doesn't go on now."""
        transfer = self.transfer
        if transfer is None or self._closed:
            return False
        if transfer.triggers and self.moved >= transfer.triggers[0].offset and not self._left:
            return self._strike()
        if transfer.bytes_per_s is not None and length:
            self.pause(length / transfer.bytes_per_s)
            return False
        return True

    def _strike(self) -> bool:
        transfer = self.transfer
        assert transfer is not None
        return transfer.triggers.pop(0).strike() and not self._closed

    def pause(self, seconds: float | None) -> None:
        """Move nothing for *seconds*; None: ever again."""
        self._paused = True
        self._listen(0)
        if seconds is not None:
            self._pause_timer = self.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._paused = False
        self._listen_for_transfer()
        self._look_for_buffered()

    def _look_for_buffered(self) -> None:
        """TLS may hold octets that no event will announce."""

    def _listen_for_transfer(self) -> None:
        if self.transfer is not None and not self._paused:
            self._listen(self.ioloop.READ if self.transfer.sink else self.ioloop.WRITE)

    def when_drained(self, then: Callable[[], None], polls: int = 0) -> None:
        """Call *then* when the client's kernel has everything that was sent.

        A RST makes the kernel drop what it hasn't sent; a fault at byte N must not.
        """
        waiting = _unsent(self.socket)
        if waiting and polls < _DRAIN_POLLS_MAX:
            self.call_later(_DRAIN_POLL_S, self.when_drained, then, polls + 1)
        else:
            then()

    # --- the session's side

    def start(self, transfer: Transfer) -> None:
        """Begin *transfer*; the session hears of its end by `transfer_ended`."""
        self.transfer = transfer
        self._initialized = True
        self.receive = transfer.sink is not None
        self.begin()

    def begin(self) -> None:
        """The connection is ready for octets."""
        self._listen_for_transfer()

    def finish(self, outcome: str, values: dict[str, Any]) -> None:
        """Close the connection, then let the session answer *outcome*."""
        if not self._closed and self._outcome is None:
            self._outcome = (outcome, values)
            self.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._error = True

    def close(self) -> None:
        """Close the connection; the file before the reply."""
        if self._closed:
            return
        super(DTPHandler, self).close()
        transfer, self.transfer = self.transfer, None
        if transfer is not None:
            transfer.close()
        self.cmd_channel.transfer_ended(self, transfer, self._outcome)


class DataChannel(SSLConnectionMixin, _BlockChannel):
    """A data connection, with TLS when the session has said PROT P."""

    def begin(self) -> None:
        """Hand-shake first; real servers do so after their 150."""
        if self.cmd_channel._prot:
            self.secure_connection(self.cmd_channel.ssl_context)
            if not self._closed:
                self._listen(self.ioloop.READ)
        else:
            super().begin()

    def readable(self) -> bool:
        return self._ssl_accepting or super().readable()

    def writable(self) -> bool:
        return super().writable() and not self._ssl_accepting

    def _block(self) -> int:
        return TLS_BLOCK if self._ssl_established else BLOCK

    def _receive(self, length: int) -> memoryview:
        if not self._ssl_established:
            return super()._receive(length)
        return memoryview(self.recv(length))

    def _look_for_buffered(self) -> None:
        if self._ssl_established and not self._closed and self.socket.pending():
            self.call_later(0, self.handle_read_event)

    def handle_ssl_established(self) -> None:
        """The hand-shake is over: the transfer may begin, if the session was reused."""
        if self.cmd_channel.sim.require_session_reuse and not was_resumed(self.socket):
            self.finish("reuse_required", {})
            return
        # The mixin restores this set of events after the hand-shake.
        self._listen_for_transfer()

    def handle_failed_ssl_handshake(self) -> None:
        """The client spoke no TLS."""
        self._error = True
        self.finish("data_failed", {})

    def handle_error(self) -> None:
        _BlockChannel.handle_error(self)
