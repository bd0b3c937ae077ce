"""Data connections: finding a way to open one.

- The host that PASV names is never used: the data connection goes to the control host, and in
  active mode only the control host is let in.
- A passive socket is dialled before (or, where it was seen to work, while) the command is sent,
  never after waiting for 150.
- Receive buffers are the system's: setting SO_RCVBUF would switch its autotuning off.

Source: RFC 959 3.2 and 4.1.2 (PASV, PORT), RFC 2428 (EPSV, EPRT).
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import ssl
import struct
import sys
from typing import TYPE_CHECKING

from pyftpdrive.base.errors import (
    ProtocolViolation,
    RemoteError,
    RemoteUnavailable,
)
from pyftpdrive.ftp.channel import command_line
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.ftp.replies import Reply, parse_epsv, parse_pasv

if TYPE_CHECKING:
    from pyftpdrive.ftp.session import Session

DIAL_TIMEOUT_S = 10.0  # a data port that does not answer by then is filtered
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # SO_LINGER
_CONNECTING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, 10035)
_OUT_OF_STEP = (226, 250)  # to EPSV or PASV: the end of another command
_NO_SUCH_MODE = (500, 501, 502, 503, 504, 522)


class DataConnection:
    """A data connection in the making: dialled (passive) or listened for (active)."""

    def __init__(
        self, *, sock: socket.socket | None = None, listener: socket.socket | None = None
    ) -> None:
        self.sock: socket.socket | ssl.SSLSocket | None = sock
        self.listener = listener

    def wait_connected(self, timeout_s: float) -> None:
        """Wait until a dialled socket is connected; OSError when it can't be."""
        if self.sock is None:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_WRITE)
            if not selector.select(timeout_s):
                raise TimeoutError("timed out")
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.sock.settimeout(None)

    def accept(self, peer_host: str, timeout_s: float) -> None:
        """Take the server's connection; anybody else's is closed unheard."""
        if self.listener is None:
            return
        self.listener.settimeout(timeout_s)
        while self.sock is None:
            sock, address = self.listener.accept()
            if address[0] == peer_host:
                self.sock = sock
            else:
                sock.close()
        self.listener.close()
        self.listener = None

    def interrupt(self) -> None:
        """Make a wait in another thread end, as if the server had hung up."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def close(self, *, hard: bool = False) -> None:
        """Close; *hard* resets, so that the server can't take a part for the whole."""
        if self.sock is not None:
            if hard:
                with contextlib.suppress(OSError):
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.sock.close()
        if self.listener is not None:
            self.listener.close()


def open_data(session: Session, first: bytes | None = None) -> tuple[Reply | None, DataConnection]:
    """Make a data connection for the next transfer command.

    *first* is a command (CWD) that goes ahead, in the same write where that is proven; its reply
    comes back. When it was refused the data connection is a closed one.

    Raises:
        RemoteUnavailable: no way to a data connection was found; the session stays usable.
    """
    profile = session.profile
    modes = _modes(session)
    reply: Reply | None = None
    ready: Reply | None = None
    if first is not None:
        verb = modes[0]
        if (
            session.options.passive
            and profile.pipelining is Proof.YES
            and getattr(profile, verb.lower()) is Proof.YES
        ):
            reply, ready = session.flight([first, command_line(verb)])
        else:
            (reply,) = session.flight([first])
        if not reply.is_positive:
            return reply, DataConnection()
    if session.options.passive:
        return reply, _open_passive(session, modes, ready)
    return reply, _open_active(session, modes)


def _modes(session: Session) -> list[str]:
    """The commands to try, best first; what was proven not to work only as a last resort."""
    verbs = ["EPSV", "PASV"] if session.options.passive else ["EPRT", "PORT"]
    usable = [v for v in verbs if getattr(session.profile, v.lower(), None) is not Proof.NO]
    return usable or verbs


def _open_passive(session: Session, modes: list[str], ready: Reply | None) -> DataConnection:
    profile = session.profile
    failed: list[str] = []
    problem = ""
    for verb in modes:
        reply = ready or session.command(verb)
        ready = None
        ability = verb.lower()
        if reply.code in _OUT_OF_STEP:
            reply = session.channel.read_reply()  # surplus; ours comes behind it
        if not reply.is_positive:
            if reply.code in _NO_SUCH_MODE:
                failed.append(ability)
            problem = reply.text
            continue
        try:
            port = _announced_port(session, verb, reply)
            data = _dial(session, port)
            if getattr(profile, ability) is not Proof.YES:
                _wait(session, data)
        except (OSError, ProtocolViolation) as exc:
            failed.append(ability)
            problem = str(exc)
            continue
        profile.confirm(ability)
        for other in failed:
            profile.deny(other)  # only when another way works: else it may be the network
        return data
    raise RemoteUnavailable(
        f"no data connection to {session.server} can be opened ({problem}); a firewall, "
        "or a server that wants active mode"
    )


def _announced_port(session: Session, verb: str, reply: Reply) -> int:
    if verb == "EPSV" or reply.code == 229:
        return parse_epsv(reply)
    host, port = parse_pasv(reply)
    if host != session.channel.peer[0]:
        session.profile.host_from_pasv = host  # noted for `doctor`, never dialled
    return port


def _dial(session: Session, port: int) -> DataConnection:
    """Start connecting to *port* of the control host; does not wait."""
    channel = session.channel
    sock = socket.socket(channel.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        code = sock.connect_ex((channel.peer[0], port, *channel.peer[2:]))
        if code not in _CONNECTING:
            raise OSError(code, os.strerror(code))
    except (OSError, OverflowError) as exc:
        sock.close()
        raise OSError(*exc.args) from exc
    return DataConnection(sock=sock)


def _wait(session: Session, data: DataConnection) -> None:
    try:
        data.wait_connected(min(DIAL_TIMEOUT_S, session.channel.timeout_s))
    except OSError:
        data.close()
        raise


def _open_active(session: Session, modes: list[str]) -> DataConnection:
    channel = session.channel
    try:
        listener = socket.socket(channel.family, socket.SOCK_STREAM)
        listener.bind((channel.local[0], 0, *channel.local[2:]))
        listener.listen(1)
    except OSError as exc:
        raise RemoteUnavailable(f"no port for active mode: {exc}") from exc
    host, port = listener.getsockname()[:2]
    six = channel.family == socket.AF_INET6
    problem = ""
    for verb in modes:
        if verb == "EPRT":
            argument = f"|{2 if six else 1}|{host.partition('%')[0]}|{port}|"
        elif six:
            continue  # PORT can't say an IPv6 address
        else:
            argument = ",".join([*host.split("."), str(port >> 8), str(port & 0xFF)])
        try:
            reply = session.command(verb, argument.encode("ascii"))
        except RemoteError:
            listener.close()
            raise
        if reply.is_positive:
            return DataConnection(listener=listener)
        if verb == "EPRT" and reply.code in _NO_SUCH_MODE:
            session.profile.deny("eprt")
        problem = reply.text
    listener.close()
    raise RemoteUnavailable(f"{session.server} refuses active mode: {problem}")
