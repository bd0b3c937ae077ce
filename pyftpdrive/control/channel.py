"""How `pyftpdrive status` and `unmount` talk to a running mount.

Each mount announces itself by a file in the user's runtime directory (only the user can read it)
that holds the address of a local channel and a random key. `multiprocessing.connection` carries
octets over a UNIX socket or a Windows pipe and proves on both sides that the other knows the key;
what goes over it is JSON, never a pickle. Nothing here waits without a bound, except a request that
asks to: a suspended mount or a suspended command must not take the other with it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import shutil
import socket
import stat
import struct
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import _winapi  # what multiprocessing.connection asks pipes with

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 16 << 20
RECORD_BYTES_MAX = 64 << 10
PATIENCE_S = 10.0
PROBE_S = 1.0
REQUESTS_MAX = 32
SOCKET_PATH_BYTES_MAX = 100  # the kernel takes 107

Answer = dict[str, Any]
Handler = Callable[[Answer], Answer]


class ChannelError(Exception):
    """The mount did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRecord:
    """One running mount, as its file says."""

    id: str
    pid: int
    drive: str
    server: str
    address: str
    key: str  # hexadecimal
    started: str = ""  # ISO 8601, UTC


class ControlServer:
    """Answers requests until it is stopped.

    Threads: `control` accepts, from `start` to `stop`; each request has one of its own, so that a
    handler may wait (it must return once the mount ended) and a silent client keeps nobody waiting.
    """

    def __init__(self, directory: Path, handler: Handler, *, drive: str, server: str) -> None:
        self._directory = directory
        self._handler = handler
        self._record_id = secrets.token_hex(8)
        self._key = secrets.token_bytes(32)
        self._drive = drive
        self._server = server
        self._listener: Listener | None = None
        self._stopped = threading.Event()
        self._requests: set[threading.Thread] = set()
        self._own_directory = ""  # holds the socket where the runtime directory's path is too long
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    @property
    def _file(self) -> Path:
        return self._directory / f"{self._record_id}.json"

    def start(self) -> None:
        """Announce the mount.

        Raises:
            OSError: the runtime directory can't be used.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_owner(self._directory)
        self._directory.chmod(0o700)
        address = self._choose_address()
        # Without its key: Listener would prove it inside accept, where one client blocks all.
        self._listener = Listener(address, backlog=16)
        record = MountRecord(
            id=self._record_id,
            pid=os.getpid(),
            drive=self._drive,
            server=self._server,
            address=address,
            key=self._key.hex(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
        self._thread.start()

    def _choose_address(self) -> str:
        address = str(self._directory / f"{self._record_id}.sock")
        if sys.platform == "win32":
            address = rf"\\.\pipe\pyftpdrive-{self._record_id}"
        elif len(os.fsencode(address)) > SOCKET_PATH_BYTES_MAX:
            self._own_directory = tempfile.mkdtemp(prefix="pyftpdrive-")  # mode 0700
            address = f"{self._own_directory}/control.sock"
        return address

    def _serve(self) -> None:
        listener = self._listener
        while listener is not None and not self._stopped.is_set():
            try:
                connection = listener.accept()
            except (OSError, EOFError) as error:
                log.debug("a control request was not accepted: %s", error)
                self._stopped.wait(0.1)  # out of descriptors: no busy loop
                continue
            self._requests = {thread for thread in self._requests if thread.is_alive()}
            if self._stopped.is_set() or len(self._requests) >= REQUESTS_MAX:
                connection.close()
                continue
            thread = threading.Thread(
                target=self._answer, args=(connection,), name="control-request", daemon=True
            )
            self._requests.add(thread)
            thread.start()

    def _answer(self, connection: Any) -> None:
        with connection:
            try:
                _limit_time(connection, PATIENCE_S)
                _check_peer(connection)
                deliver_challenge(connection, self._key)
                answer_challenge(connection, self._key)
                if not connection.poll(PATIENCE_S):
                    return
                request = json.loads(connection.recv_bytes(MESSAGE_BYTES_MAX))
                answer = self._handler(request if isinstance(request, dict) else {})
                connection.send_bytes(json.dumps(answer, default=str).encode())
            except (OSError, EOFError, ValueError, RecursionError, AuthenticationError) as error:
                log.debug("a control request failed: %s", error)

    def stop(self) -> None:
        """Take the announcement back and end the threads; twice is fine."""
        self._stopped.set()
        self._file.unlink(missing_ok=True)
        listener, self._listener = self._listener, None
        if listener is None:
            return
        try:
            _connect(str(listener.address), PROBE_S).close()  # wakes accept
        except OSError as error:
            log.debug("waking the control thread: %s", error)
        self._thread.join(timeout=5.0)
        for thread in self._requests:
            thread.join(timeout=1.0)  # its answer is on its way; a silent client isn't waited for
        listener.close()
        if self._own_directory:
            shutil.rmtree(self._own_directory, ignore_errors=True)


# -- connections ---------------------------------------------------------------------------------


def _connect(address: str, patience_s: float) -> Any:
    """A connection that proved nothing yet; at most *patience_s* to get it."""
    if sys.platform != "win32":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as plain:
            plain.settimeout(patience_s)
            plain.connect(address)
            plain.settimeout(None)
            connection: Any = Connection(plain.detach())
        _limit_time(connection, patience_s)
    else:
        connection = Client(address)
    return connection


def _limit_time(connection: Any, seconds: float) -> None:
    """Bound every receive and send: BlockingIOError when the other side is silent."""
    if sys.platform != "win32":
        interval = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
        with socket.socket(fileno=os.dup(connection.fileno())) as view:  # the same open socket
            view.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
            view.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)


def _check_peer(connection: Any) -> None:
    """Refuse other users, where the kernel tells who asks; the key is asked for in any case."""
    if sys.platform == "linux":
        with socket.socket(fileno=os.dup(connection.fileno())) as view:
            raw = view.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        user = struct.unpack("3i", raw)[1]
        if user not in (0, os.getuid()):
            raise AuthenticationError(f"user {user} is not the owner of this drive")


# -- announcements -------------------------------------------------------------------------------


def _check_owner(directory: Path) -> None:
    """A directory of someone else could make us delete or believe anything.

    Raises:
        OSError: it isn't ours alone to write to.
    """
    if sys.platform != "win32":
        found = directory.stat()
        if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(
                errno.EPERM, "other users can write to it; chmod 700, or remove it", str(directory)
            )


def mounts(directory: Path) -> list[MountRecord]:
    """Every running mount of this user; files of mounts that ended are removed.

    Raises:
        OSError: the runtime directory is not ours.
    """
    if not directory.exists():
        return []
    _check_owner(directory)
    found: list[MountRecord] = []
    for file in sorted(directory.glob("*.json")):
        record = _read_record(file)
        if record is None:
            continue
        if _alive(record):
            found.append(record)
        else:
            file.unlink(missing_ok=True)
            _remove_socket(record.address)
    return found


def _read_record(file: Path) -> MountRecord | None:
    """What *file* announces; None when it is gone, being written, or no announcement."""
    try:
        with file.open("rb") as stream:
            content = json.loads(stream.read(RECORD_BYTES_MAX))
        record = MountRecord(**content)
        bytes.fromhex(record.key)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = (getattr(record, field.name) for field in fields(record) if field.name != "pid")
    sound = type(record.pid) is int and 0 < record.pid < 1 << 31
    return record if sound and all(isinstance(text, str) for text in texts) else None


def _alive(record: MountRecord) -> bool:
    """Whether the mount runs: a process has its number, and somebody listens (numbers come back).

    On Windows a pipe is gone with the process that listened on it.
    """
    if sys.platform == "win32":
        try:
            _winapi.WaitNamedPipe(record.address, int(PROBE_S * 1000))
        except FileNotFoundError:
            return False
        except OSError as error:  # busy, or of an elevated program: it is there
            log.debug("%s: %s", record.drive, error)
    else:
        try:
            os.kill(record.pid, 0)
            _connect(record.address, PROBE_S).close()
        except (ProcessLookupError, ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:  # it belongs to others, or is too busy to accept: it is there
            log.debug("%s: %s", record.drive, error)
    return True


def _remove_socket(address: str) -> None:
    """Remove what a dead mount left; nothing but a socket, whatever the announcement said."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.lstat(address).st_mode):
                os.unlink(address)


def request(
    mount: MountRecord, message: Answer, *, patience_s: float | None = PATIENCE_S
) -> Answer:
    """Ask a mount and return its answer.

    *patience_s* bounds the answer; None waits for it as long as the mount's process lives.

    Raises:
        ChannelError: it ended, or did not answer in time.
    """
    silent = ChannelError(f"{mount.drive} does not answer (pid {mount.pid})")
    key, short_s = bytes.fromhex(mount.key), PATIENCE_S if patience_s is None else patience_s
    try:
        with _connect(mount.address, short_s) as connection:
            answer_challenge(connection, key)
            deliver_challenge(connection, key)
            connection.send_bytes(json.dumps(message).encode())
            if not connection.poll(patience_s):
                raise silent
            answer = json.loads(connection.recv_bytes(MESSAGE_BYTES_MAX))
    except (BlockingIOError, TimeoutError) as error:
        raise silent from error
    except (OSError, EOFError, ValueError, RecursionError, AuthenticationError) as error:
        detail = str(error) or "it ended"
        raise ChannelError(f"{mount.drive} does not answer: {detail}") from error
    return answer if isinstance(answer, dict) else {}
