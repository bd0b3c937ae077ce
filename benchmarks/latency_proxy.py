"""A loopback proxy for FTP that adds a round trip to control and data connections.

Each direction waits half of the round trip; the bandwidth stays what the machine gives. Replies to
PASV and EPSV are rewritten so that data connections go through the proxy, too. What it does not
model: the round trip of TCP's own handshake (a connection to the proxy is there at once).
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections import deque

PIECE_BYTES = 256 * 1024
BUFFER_BYTES_MAX = 32 << 20  # more than bandwidth × round trip


class _Pipe:
    """One direction of one connection: octets come out `delay_s` after they went in."""

    def __init__(self, source: socket.socket, target: socket.socket, delay_s: float) -> None:
        self._source, self._target, self._delay_s = source, target, delay_s
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self.threads = [
            threading.Thread(target=work, daemon=True) for work in (self._fill, self._drain)
        ]

    def rewrite(self, data: bytes) -> bytes:
        """For the control connection."""
        return data

    def _fill(self) -> None:
        data = b"x"
        while data:
            try:
                data = self._source.recv(PIECE_BYTES)
            except OSError:
                data = b""
            piece = self.rewrite(data) if data else b""
            with self._changed:
                while self._size > BUFFER_BYTES_MAX:
                    self._changed.wait()
                self._pieces.append((time.monotonic() + self._delay_s, piece))
                self._size += len(piece)
                self._changed.notify_all()

    def _drain(self) -> None:
        while True:
            with self._changed:
                while not self._pieces:
                    self._changed.wait()
                due, piece = self._pieces.popleft()
                self._size -= len(piece)
                self._changed.notify_all()
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            try:
                if not piece:
                    self._target.shutdown(socket.SHUT_WR)
                    return
                self._target.sendall(piece)
            except OSError:
                with contextlib.suppress(OSError):
                    self._source.shutdown(socket.SHUT_RD)
                if not piece:
                    return


class _ControlReplies(_Pipe):
    """Server to client on the control connection."""

    def __init__(self, proxy: LatencyProxy, source: socket.socket, target: socket.socket) -> None:
        super().__init__(source, target, proxy.delay_s)
        self._proxy = proxy

    def rewrite(self, data: bytes) -> bytes:
        data = re.sub(rb"(229 [^\r\n]*\(\|\|\|)(\d+)(\|\))", self._epsv, data)
        return re.sub(rb"(227 [^\r\n]*?)\d+,\d+,\d+,\d+,(\d+),(\d+)", self._pasv, data)

    def _epsv(self, found: re.Match[bytes]) -> bytes:
        port = self._proxy.open_data(int(found[2]))
        return found[1] + str(port).encode() + found[3]

    def _pasv(self, found: re.Match[bytes]) -> bytes:
        port = self._proxy.open_data(int(found[2]) * 256 + int(found[3]))
        return found[1] + f"127,0,0,1,{port // 256},{port % 256}".encode()


class LatencyProxy:
    """Listens on `port` for as long as the block lasts."""

    def __init__(self, server_port: int, round_trip_s: float) -> None:
        self.delay_s = round_trip_s / 2
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = False

    def __enter__(self) -> LatencyProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopping:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                continue
            self._run(_Pipe(client, server, self.delay_s), _ControlReplies(self, server, client))

    def open_data(self, server_port: int) -> int:
        """A port of ours that leads to *server_port*, for one connection."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(10)
        port: int = listener.getsockname()[1]

        def relay() -> None:
            with listener:
                try:
                    client, _ = listener.accept()
                    server = socket.create_connection(("127.0.0.1", server_port))
                except OSError:
                    return
            client.settimeout(None)
            self._run(_Pipe(client, server, self.delay_s), _Pipe(server, client, self.delay_s))

        threading.Thread(target=relay, daemon=True).start()
        return port

    @staticmethod
    def _run(*pipes: _Pipe) -> None:
        for pipe in pipes:
            for end in (pipe._source, pipe._target):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for thread in pipe.threads:
                thread.start()

        def close() -> None:
            for pipe in pipes:
                for thread in pipe.threads:
                    thread.join()
            for end in (pipes[0]._source, pipes[0]._target):
                end.close()

        threading.Thread(target=close, daemon=True).start()
