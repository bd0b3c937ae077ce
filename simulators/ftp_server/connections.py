"""The two ways to a data connection, and the ends of a transfer."""

from __future__ import annotations

import errno
import time
from socket import SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from simulators.ftp_server.library import ActiveDTP, PassiveDTP
from simulators.ftp_server.storage import failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.ftp_server.data import Sink, Source
    from simulators.ftp_server.storage import Reader, Writer

ENDLESS_BLOCK = 1 << 20


class PassivePort(PassiveDTP):
    """The port of PASV or EPSV; it waits as long as the session does."""

    timeout = 0

    def handle_error(self) -> None:
        """A bug of ours."""
        self.cmd_channel.sim.note_error()
        self.close()


class ActivePort(ActiveDTP):
    """The connection to the client's port of PORT or EPRT, made when a transfer needs it."""

    timeout = 0

    def handle_write(self) -> None:
        """asyncore calls it after `handle_connect`, when the socket isn't ours any more."""

    def handle_connect(self) -> None:
        """The client has accepted."""
        self.del_channel()
        session = self.cmd_channel
        session._dtp_connector = None
        if not session.connected:
            self.close()
            return
        if self.socket.getsockopt(SOL_SOCKET, SO_ERROR):
            self.handle_close()
            return
        session.data_channel = session.dtp_handler(self.socket, session)
        session._on_dtp_connection()

    def handle_close(self) -> None:
        """The client refused."""
        if not self._closed:
            self.close()
            self.cmd_channel.connect_failed()


class FileSource:
    """A file from an offset on."""

    def __init__(self, reader: Reader, offset: int) -> None:
        self._reader = reader
        self._offset = offset

    def next(self, length: int) -> memoryview | bytes:
        """Up to *length* more octets."""
        data = self._reader.read(self._offset, length)
        self._offset += len(data)
        return data

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


class RangeSource:
    """A source that ends after *length* octets."""

    def __init__(self, source: Source, length: int) -> None:
        self._source = source
        self._left = length

    def next(self, length: int) -> memoryview | bytes:
        """Up to *length* more octets."""
        data = self._source.next(min(length, self._left)) if self._left else b""
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class OverrunningRange:
    """RANG as SwiFTP sends it: the range, then its last part again for each block that follows.

    The app's loop never stops at the end of the range (CmdRETR.java: the branch for the last
    block neither counts down nor leaves the loop), so only a range that ends with the file, or
    after whole blocks of 64 KiB, is sent exactly.
    """

    _BLOCK = 1 << 16

    def __init__(self, source: Source, length: int) -> None:
        self._source = source
        self._left = length
        self._ready: memoryview = memoryview(b"")

    def next(self, length: int) -> memoryview:
        """Up to *length* more octets."""
        while not self._ready:
            block = memoryview(self._source.next(self._BLOCK))
            if not block:
                return block
            self._ready = block[: self._left]
            if len(block) <= self._left:
                self._left -= len(block)
        part, self._ready = self._ready[:length], self._ready[length:]
        return part

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class AsciiSource:
    """A file as TYPE A sends it: with CR LF at the end of a line."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ready = memoryview(b"")
        self._last = b""

    def next(self, length: int) -> memoryview:
        """Up to *length* more octets."""
        if not self._ready:
            block = bytes(self._source.next(length))
            whole = (self._last + block).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            self._ready = memoryview(whole[len(self._last) :])
            self._last = b"\r" if block.endswith(b"\r") else b""
        part, self._ready = self._ready[:length], self._ready[length:]
        return part

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class FlippedSource:
    """A source with one octet changed."""

    def __init__(self, source: Source, at: int) -> None:
        self._source = source
        self._at = at

    def next(self, length: int) -> memoryview | bytes:
        """Up to *length* more octets."""
        data = self._source.next(length)
        if 0 <= self._at < len(data):
            flipped = bytearray(data)
            flipped[self._at] ^= 0xFF
            data = bytes(flipped)
        self._at -= len(data)
        return data

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class LongerSource:
    """A source with noise after its end."""

    def __init__(self, source: Source, noise: bytes) -> None:
        self._source = source
        self._noise = memoryview(noise)

    def next(self, length: int) -> memoryview | bytes:
        """Up to *length* more octets."""
        data = self._source.next(length)
        if len(data):
            return data
        part, self._noise = self._noise[:length], self._noise[length:]
        return part

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class EndlessSource:
    """A source that begins to repeat one text where it should end."""

    def __init__(self, source: Source, text: bytes) -> None:
        self._source = source
        self._block = memoryview(text * (ENDLESS_BLOCK // len(text) + 1))

    def next(self, length: int) -> memoryview | bytes:
        """Up to *length* more octets; always some."""
        data = self._source.next(length)
        return data if len(data) else self._block[:length]

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class FileSink:
    """A file that grows from an offset on, as long as `room` says so."""

    def __init__(self, writer: Writer, offset: int, room: Callable[[], int | None]) -> None:
        self._writer = writer
        self._offset = offset
        self._room = room

    def put(self, data: memoryview) -> None:
        """Take the next octets.

        Raises:
            OSError: the quota is used up; what still fitted was written.
        """
        room = self._room()
        if room is not None and len(data) > room:
            self._writer.write(self._offset, data[: max(0, room)])
            raise failure(errno.EDQUOT, "quota")
        self._writer.write(self._offset, data)
        self._offset += len(data)

    def close(self) -> None:
        """Let go of the file; it was modified now."""
        self._writer.close(time.time_ns())


class NowhereSink:
    """Takes everything and keeps nothing; closes what it stands in for."""

    def __init__(self, instead_of: Any = None) -> None:
        self._instead_of = instead_of

    def put(self, data: memoryview) -> None:
        """Drop it."""

    def close(self) -> None:
        """Let go of what would have been written to."""
        if self._instead_of is not None:
            self._instead_of.close()


class AsciiSink:
    """An upload of TYPE A: CR LF becomes LF."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = b""

    def put(self, data: memoryview) -> None:
        """Take the next octets."""
        whole = self._held + bytes(data)
        self._held = b"\r" if whole.endswith(b"\r") else b""
        whole = whole[: len(whole) - len(self._held)]
        self._sink.put(memoryview(whole.replace(b"\r\n", b"\n")))

    def close(self) -> None:
        """Write what was held back and let go."""
        if self._held:
            self._sink.put(memoryview(self._held))
        self._sink.close()


class FlippedSink:
    """A sink that changes one octet."""

    def __init__(self, sink: Sink, at: int) -> None:
        self._sink = sink
        self._at = at

    def put(self, data: memoryview) -> None:
        """Take the next octets."""
        if 0 <= self._at < len(data):
            data[self._at] ^= 0xFF
        self._sink.put(data)
        self._at -= len(data)

    def close(self) -> None:
        """Let go of the file."""
        self._sink.close()


class LongerSink:
    """A sink that adds noise at the end."""

    def __init__(self, sink: Sink, noise: bytes) -> None:
        self._sink = sink
        self._noise = noise

    def put(self, data: memoryview) -> None:
        """Take the next octets."""
        self._sink.put(data)

    def close(self) -> None:
        """Add the noise and let go of the file."""
        self._sink.put(memoryview(self._noise))
        self._sink.close()
