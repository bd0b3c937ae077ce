"""A loopback proxy for FTP that adds a round trip to control and data connections.

    python -m benchmarks.latency_proxy --target-port 21 --rtt-ms 20     # prints its port

Each direction waits half of the round trip; the bandwidth stays what the machine gives. Replies to
PASV and EPSV are rewritten so that data connections go through the proxy, too; nothing else is.
TCP's own handshake is modelled: a connection to the proxy is there at once, but its first octets
arrive at the server one and a half round trips later, as if the client had waited for the
handshake before it sent them.

One thread and `select` (whose timeouts are exact to microseconds, unlike epoll's) serve everything;
`LatencyProxy` runs it in a process of its own, so that it never waits for anybody's interpreter.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import itertools
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

PIECE_BYTES = 512 * 1024
BUFFER_BYTES_MAX = 32 << 20  # more than bandwidth × round trip
DATA_WAIT_S = 60.0  # a passive port that nobody dials is closed after this
START_S = 10.0
HOST = "127.0.0.1"
_EPSV = re.compile(rb"^(229 [^\r\n]*\(\|\|\|)(\d+)(\|\))", re.MULTILINE)
_PASV = re.compile(rb"^(227 [^\r\n]*?)\d+,\d+,\d+,\d+,(\d+),(\d+)", re.MULTILINE)


class _Loop:
    """Sockets and timers of one thread."""

    def __init__(self) -> None:
        self._selector = selectors.SelectSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._wanted: dict[socket.socket, dict[int, Callable[[], None]]] = {}

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Call *action* at *due* (monotonic)."""
        heapq.heappush(self._timers, (due, next(self._order), action))

    def want(self, sock: socket.socket, event: int, action: Callable[[], None] | None) -> None:
        """Call *action* whenever *sock* is ready for *event*; None: no longer."""
        actions = self._wanted.setdefault(sock, {})
        known = bool(actions)
        if action is None:
            actions.pop(event, None)
        else:
            actions[event] = action
        if actions:
            change = self._selector.modify if known else self._selector.register
            change(sock, sum(actions), actions)
        else:
            del self._wanted[sock]
            if known:
                self._selector.unregister(sock)

    def forget(self, sock: socket.socket) -> None:
        """*sock* is about to be closed."""
        if self._wanted.pop(sock, None):
            self._selector.unregister(sock)

    def run(self) -> None:
        """For ever."""
        while True:
            timeout = None
            if self._timers:
                timeout = max(0.0, self._timers[0][0] - time.monotonic())
            for key, ready in self._selector.select(timeout):
                for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                    action = self._wanted.get(key.fileobj, {}).get(event)  # type: ignore[call-overload]
                    if ready & event and action is not None:
                        action()
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()


class _Pipe:
    """One direction: octets come out `delay_s` after they went in, and not before `not_before`."""

    def __init__(
        self,
        link: _Link,
        source: socket.socket,
        *,
        not_before: float = 0.0,
        rewrite: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._link, self._loop = link, link.loop
        self._source = source
        self.target: socket.socket | None = None  # None: still dialling
        self._not_before = not_before
        self._rewrite = rewrite
        self._line = b""  # of the control connection: replies are rewritten by whole lines
        self._pieces: deque[tuple[float, memoryview]] = deque()
        self._size = 0
        self._ended = False  # the source has said its last
        self.done = False
        self._scheduled = False
        self._loop.want(source, selectors.EVENT_READ, self._fill)

    def _fill(self) -> None:
        try:
            data = self._source.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._link.close()
            return
        if not data:
            self._ended = True
        elif self._rewrite is not None:
            data = self._lines(data)
        if not data and not self._ended:
            return
        due = max(time.monotonic() + self._link.delay_s, self._not_before)
        self._pieces.append((due, memoryview(data)))
        self._size += len(data)
        if self._ended or self._size > BUFFER_BYTES_MAX:
            self._loop.want(self._source, selectors.EVENT_READ, None)
        self._schedule()

    def _schedule(self) -> None:
        """One timer at a time: for the oldest piece."""
        if self._pieces and not self._scheduled:
            self._scheduled = True
            self._loop.at(self._pieces[0][0], self._due)

    def _due(self) -> None:
        self._scheduled = False
        self.drain()

    def _lines(self, data: bytes) -> bytes:
        """What is whole of the lines so far, rewritten."""
        assert self._rewrite is not None
        whole, newline, self._line = (self._line + data).rpartition(b"\n")
        return self._rewrite(whole + newline)

    def drain(self) -> None:
        """Send what is due."""
        if self.target is None or self.done or self._link.closed:
            return
        was_full = self._size > BUFFER_BYTES_MAX
        try:
            while self._pieces and self._pieces[0][0] <= time.monotonic():
                due, piece = self._pieces.popleft()
                if not piece:
                    self._finish()
                    return
                sent = self._send(piece)
                self._size -= sent
                if sent < len(piece):
                    self._pieces.appendleft((due, piece[sent:]))
                    self._loop.want(self.target, selectors.EVENT_WRITE, self.drain)
                    return
        except OSError:
            self._link.close()
            return
        finally:
            room = self._size <= BUFFER_BYTES_MAX
            if was_full and room and not self._ended and not self._link.closed:
                self._loop.want(self._source, selectors.EVENT_READ, self._fill)
        self._loop.want(self.target, selectors.EVENT_WRITE, None)
        self._schedule()

    def _send(self, piece: memoryview) -> int:
        assert self.target is not None
        try:
            return self.target.send(piece)
        except BlockingIOError:
            return 0

    def _finish(self) -> None:
        assert self.target is not None
        self.done = True
        self._loop.want(self.target, selectors.EVENT_WRITE, None)
        with contextlib.suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)
        self._link.one_way_done()


class _Link:
    """One connection through the proxy."""

    def __init__(
        self, proxy: _Proxy, client: socket.socket, server_port: int, *, control: bool
    ) -> None:
        self.loop, self.delay_s = proxy.loop, proxy.delay_s
        self.closed = False
        self._client, self._server_port = client, server_port
        self._rewrite = proxy.rewrite if control else None
        self._server: socket.socket | None = None
        _prepare(client)
        handshake = time.monotonic() + 3 * self.delay_s  # SYN, SYN+ACK, and the ACK's way
        self._up = _Pipe(self, client, not_before=handshake)
        self._down: _Pipe | None = None
        self.loop.at(handshake, self._dial)

    def _dial(self) -> None:
        if self.closed:
            return
        try:
            self._server = socket.create_connection((HOST, self._server_port), timeout=5)
        except OSError:
            self.close()
            return
        _prepare(self._server)
        self._down = _Pipe(self, self._server, rewrite=self._rewrite)
        self._down.target = self._client
        self._up.target = self._server
        self._up.drain()

    def one_way_done(self) -> None:
        """A direction has ended; with both the connection does."""
        if self._up.done and self._down is not None and self._down.done:
            self.close()

    def close(self) -> None:
        """Close both ends at once (one of them broke)."""
        self.closed = True
        for sock in (self._client, self._server):
            if sock is not None:
                self.loop.forget(sock)
                sock.close()


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Proxy:
    """Listens, and opens data ports as the server's replies name them."""

    def __init__(self, server_port: int, round_trip_s: float) -> None:
        self.loop = _Loop()
        self.delay_s = round_trip_s / 2
        self._server_port = server_port
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.loop.want(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            _Link(self, self._listener.accept()[0], self._server_port, control=True)

    def rewrite(self, data: bytes) -> bytes:
        """Lines of replies, with ports of ours in those to EPSV and PASV."""
        return _PASV.sub(self._pasv, _EPSV.sub(self._epsv, data))

    def _epsv(self, found: re.Match[bytes]) -> bytes:
        return found[1] + str(self._open_data(int(found[2]))).encode() + found[3]

    def _pasv(self, found: re.Match[bytes]) -> bytes:
        port = self._open_data(int(found[2]) * 256 + int(found[3]))
        return found[1] + f"127,0,0,1,{port // 256},{port % 256}".encode()

    def _open_data(self, server_port: int) -> int:
        """A port of ours that leads to *server_port*, for one connection."""
        listener = socket.create_server((HOST, 0), backlog=1)
        listener.setblocking(False)

        def close() -> None:
            self.loop.forget(listener)
            listener.close()

        def accept() -> None:
            with contextlib.suppress(OSError):
                _Link(self, listener.accept()[0], server_port, control=False)
            close()

        self.loop.want(listener, selectors.EVENT_READ, accept)
        self.loop.at(time.monotonic() + DATA_WAIT_S, close)
        port: int = listener.getsockname()[1]
        return port


class LatencyProxy:
    """A proxy in a process of its own; `port` is good for as long as the block lasts."""

    def __init__(self, server_port: int, round_trip_s: float) -> None:
        self._server_port, self._round_trip_s = server_port, round_trip_s
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> LatencyProxy:
        command = [
            sys.executable, "-m", "benchmarks.latency_proxy",
            "--target-port", str(self._server_port), "--rtt-ms", str(self._round_trip_s * 1000),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            self.__exit__(None, None, None)
            raise RuntimeError("the latency proxy does not start")
        self.port = int(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()


def main(arguments: list[str]) -> None:
    """Entry of `python -m benchmarks.latency_proxy`."""
    parser = argparse.ArgumentParser(description="FTP with a round trip added")
    parser.add_argument("--target-port", type=int, required=True)
    parser.add_argument("--rtt-ms", type=float, required=True)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    proxy = _Proxy(options.target_port, options.rtt_ms / 1000)
    print(proxy.port, flush=True)
    proxy.loop.run()


if __name__ == "__main__":
    main(sys.argv[1:])
