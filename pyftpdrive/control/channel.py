"""How `pyftpdrive status` and `unmount` talk to a running mount.

Each mount announces itself by a file in the user's runtime directory (only the user can read it)
that holds the address of a local channel and a random key. `multiprocessing.connection` carries
octets over a UNIX socket or a Windows pipe and proves on both sides that the other knows the key;
what goes over it is JSON, never a pickle.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 16 << 20
PATIENCE_S = 10.0
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


class ControlServer:
    """Answers requests until it is stopped.

    Thread: one, named `control`, from `start` to `stop`.
    """

    def __init__(self, directory: Path, handler: Handler, *, drive: str, server: str) -> None:
        self._directory = directory
        self._handler = handler
        self._record_id = secrets.token_hex(8)
        self._key = secrets.token_bytes(32)
        self._drive = drive
        self._server = server
        self._listener: Listener | None = None
        self._stopping = False
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
        address = self._choose_address()
        self._listener = Listener(address, authkey=self._key)
        record = MountRecord(
            id=self._record_id,
            pid=os.getpid(),
            drive=self._drive,
            server=self._server,
            address=address,
            key=self._key.hex(),
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
        while listener is not None and not self._stopping:
            try:
                connection = listener.accept()
            except (OSError, EOFError, AuthenticationError) as error:
                if not self._stopping:
                    log.debug("a control request was refused: %s", error)
                continue
            with connection:
                self._answer(connection)

    def _answer(self, connection: Any) -> None:
        try:
            if self._stopping or not connection.poll(PATIENCE_S):
                return
            request = json.loads(connection.recv_bytes(MESSAGE_BYTES_MAX))
            answer = self._handler(request if isinstance(request, dict) else {})
            connection.send_bytes(json.dumps(answer, default=str).encode())
        except (OSError, EOFError, ValueError) as error:
            log.debug("a control request failed: %s", error)

    def stop(self) -> None:
        """Take the announcement back and end the thread; twice is fine."""
        self._stopping = True
        self._file.unlink(missing_ok=True)
        listener, self._listener = self._listener, None
        if listener is None:
            return
        try:
            # Wakes accept. Without the key: the thread may have ended by itself, and then nobody
            # would answer the challenge.
            Client(str(listener.address)).close()
        except OSError as error:
            log.debug("waking the control thread: %s", error)
        self._thread.join(timeout=5.0)
        listener.close()
        if self._own_directory:
            shutil.rmtree(self._own_directory, ignore_errors=True)


def mounts(directory: Path) -> list[MountRecord]:
    """Every running mount of this user; files of mounts that ended are removed."""
    found: list[MountRecord] = []
    for file in sorted(directory.glob("*.json")):
        try:
            record = MountRecord(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        if _alive(record.pid):
            found.append(record)
        else:
            file.unlink(missing_ok=True)
            if sys.platform != "win32":
                Path(record.address).unlink(missing_ok=True)
    return found


def _alive(pid: int) -> bool:
    if sys.platform != "win32":  # on Windows the pipe tells: a dead mount's can't be opened
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
    return True


def request(mount: MountRecord, message: Answer, *, patience_s: float = PATIENCE_S) -> Answer:
    """Ask a mount and return its answer.

    Raises:
        ChannelError: it ended, or did not answer within *patience_s*.
    """
    try:
        with Client(mount.address, authkey=bytes.fromhex(mount.key)) as connection:
            connection.send_bytes(json.dumps(message).encode())
            if not connection.poll(patience_s):
                raise ChannelError(f"{mount.drive} does not answer (pid {mount.pid})")
            answer = json.loads(connection.recv_bytes(MESSAGE_BYTES_MAX))
    except (OSError, EOFError, ValueError, AuthenticationError) as error:
        raise ChannelError(f"{mount.drive} does not answer: {error}") from error
    return answer if isinstance(answer, dict) else {}
