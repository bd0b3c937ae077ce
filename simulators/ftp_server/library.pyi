# The types of what we use of pyftpdlib, which has none.
# ruff: noqa: N801, PYI
import socket
from collections.abc import Callable
from typing import Any

class CallLater:
    cancelled: bool

    def cancel(self) -> None: ...
    def reset(self) -> None: ...

class Scheduler:
    def poll(self) -> float | None: ...

class IOLoop:
    READ: int
    WRITE: int
    socket_map: dict[int, Any]
    sched: Scheduler

    def poll(self, timeout: float | None) -> None: ...
    def register(self, fd: int, instance: Any, events: int) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def call_later(
        self, seconds: float, target: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> CallLater: ...
    def close(self) -> None: ...

class AsyncChat:
    ioloop: IOLoop
    socket: Any
    connected: bool
    _closed: bool
    _closing: bool
    _fileno: int | None

    def __init__(self, sock: Any = None, ioloop: IOLoop | None = None) -> None: ...
    def add_channel(self, map: Any = None, events: int | None = None) -> None: ...
    def del_channel(self, map: Any = None) -> None: ...
    def modify_ioloop_events(self, events: int, logdebug: bool = False) -> None: ...
    def call_later(self, seconds: float, target: Callable[..., Any], *args: Any) -> CallLater: ...
    def send(self, data: Any) -> int: ...
    def recv(self, buffer_size: int) -> bytes: ...
    def readable(self) -> bool: ...
    def writable(self) -> bool: ...
    def close(self) -> None: ...
    def close_when_done(self) -> None: ...
    def handle_close(self) -> None: ...
    def handle_error(self) -> None: ...

class RawChat:
    @staticmethod
    def push(chat: AsyncChat, data: bytes) -> None: ...

class Acceptor(AsyncChat): ...

class FTPServer(Acceptor):
    max_cons: int
    ip_map: list[str]
    address: tuple[str, int]

    def __init__(
        self, address: Any, handler: type, ioloop: IOLoop | None = None, backlog: int = 100
    ) -> None: ...

class PassiveDTP(Acceptor):
    timeout: int
    cmd_channel: Any

    def __init__(self, cmd_channel: Any, extmode: bool = False) -> None: ...

class ActiveDTP(AsyncChat):
    timeout: int
    cmd_channel: Any
    _idler: CallLater | None

    def __init__(self, ip: str, port: int, cmd_channel: Any) -> None: ...

class SSLConnectionMixin(AsyncChat):
    _ssl_established: bool
    _ssl_accepting: bool
    _error: bool
    _ssl_want_read: bool
    _ssl_want_write: bool

    def secure_connection(self, ssl_context: Any) -> None: ...
    def handle_read_event(self) -> None: ...
    def handle_write_event(self) -> None: ...

class DTPHandler(AsyncChat):
    cmd_channel: Any
    _idler: CallLater | None
    _initialized: bool
    receive: bool

    def __init__(self, sock: socket.socket, cmd_channel: Any) -> None: ...
    def handle_read_event(self) -> None: ...
    def handle_write_event(self) -> None: ...

class TLS_FTPHandler(SSLConnectionMixin):
    proto_cmds: dict[str, dict[str, Any]]
    dtp_handler: type
    passive_dtp: type
    server: FTPServer
    timeout: float
    encoding: str
    masquerade_address: str | None
    ssl_context: Any
    remote_ip: str
    remote_port: int
    authenticated: bool
    username: str
    fs: Any
    data_channel: Any
    _idler: CallLater | None
    _in_buffer: list[bytes]
    _in_buffer_len: int
    _current_type: str
    _current_facts: list[str]
    _restart_position: int
    _rnfr: str | None
    _pbsz: bool
    _prot: bool
    _quit_pending: bool
    _epsvall: bool
    _dtp_acceptor: Any
    _dtp_connector: Any

    def __init__(self, conn: Any, server: FTPServer, ioloop: IOLoop | None = None) -> None: ...
    def _shutdown_connecting_dtp(self) -> None: ...
    def _make_epasv(self, extmode: bool = False) -> None: ...
    def _on_dtp_close(self) -> None: ...
    def flush_account(self) -> None: ...
    def ftp_PASV(self, line: str) -> None: ...
    def ftp_EPSV(self, line: str) -> None: ...
    def ftp_AUTH(self, line: str) -> None: ...

class RetryLater(Exception): ...
