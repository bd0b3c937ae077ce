"""Where the steps of a scenario are done: in-process on the core, or on a drive of a program."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn, Protocol

from rich.console import Console

from pyftpdrive import config as configuration
from pyftpdrive.app import drive_options
from pyftpdrive.base.clock import SystemClock
from pyftpdrive.base.errors import FsError, FsStatus, RemoteError
from pyftpdrive.base.model import Kind
from pyftpdrive.base.paths import remote_path
from pyftpdrive.commands.drives import status_table
from pyftpdrive.control import channel
from pyftpdrive.core.nodes import FileContext
from pyftpdrive.drive import Drive
from pyftpdrive.hosts.fuse_errno import to_errno
from tests.helpers import guards, programs
from tests.scenario_runner.callbacks import Callback, from_log
from tests.scenario_runner.grammar import Scenario
from tests.scenario_runner.servers import Server

PROJECT = Path(__file__).resolve().parents[2]
UPLOAD_NAME = "upload"
WIDE = 200
LOG_NAME = "pyftpdrive.log"
MOUNT_S = 20.0
UNMOUNT_S = 60.0
UPLOADS_LEFT = 7  # the documented exit code


Texts = list[str]  # in classes that have a verb `list`
Callbacks = list[Callback]


class HostFailure(Exception):
    """The host itself broke; not what a program is told."""


class MountRefused(HostFailure):
    """The drive could not be mounted; the text is what the user reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmounted:
    """What an unmount said."""

    open_files: list[str]
    left: list[str]  # not on the server yet


class Host(Protocol):
    """The verbs of steps. Failures are OSError with the errno that a program sees.

    `unmount` ends in order, `kill` without a word; `abandon` always leaves a clean machine.
    """

    def mount(self) -> None: ...
    def unmount(self, by: str) -> Unmounted: ...
    def kill(self) -> None: ...
    def abandon(self) -> None: ...
    def list(self, path: str) -> list[str]: ...
    def read(self, path: str, offset: int, length: int | None) -> bytes: ...
    def write(self, path: str, data: bytes, mode: str, offset: int) -> None: ...
    def truncate(self, path: str, size: int) -> None: ...
    def delete(self, path: str) -> None: ...
    def mkdir(self, path: str) -> None: ...
    def rmdir(self, path: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...
    def stat(self, path: str) -> tuple[str, int, int]: ...
    def set_times(self, path: str, modified_ns: int) -> None: ...
    def open(self, path: str, name: str, mode: str) -> None: ...
    def write_handle(self, name: str, data: bytes, offset: int) -> None: ...
    def read_handle(self, name: str, offset: int, length: int) -> bytes: ...
    def fsync(self, name: str) -> None: ...
    def close(self, name: str) -> None: ...
    def space(self) -> tuple[int, int]: ...
    def uploads(self) -> dict[str, Any]: ...
    def status(self) -> dict[str, Any]: ...
    def told_status(self) -> str: ...
    def sleep(self, seconds: float) -> None: ...
    def held(self, action: str, path: str, *, overwrite: bool) -> bytes: ...
    def why(self) -> str: ...
    def recover(self) -> Texts: ...
    def at(self, path: str) -> str: ...
    def codes(self, status: FsStatus) -> set[int]: ...
    def log(self) -> str: ...
    def told(self) -> str: ...
    def callbacks(self) -> Callbacks: ...


def _configuration(scenario: Scenario, server: Server, work: Path, drive: object) -> dict[str, str]:
    """Environment for a drive on *server*, isolated in *work*."""
    values: dict[str, Any] = {
        "ftp.host": server.host,
        "ftp.port": server.port,
        "ftp.username": server.username,
        "mount.drive": drive,
        "cache.directory": work / "cache",
        "upload.directory": work / UPLOAD_NAME,
        "upload.drain_timeout_seconds": 30,
        "connection.retry_delay_seconds": 0.1,
        "logging.file": work / LOG_NAME,
        "logging.level": "DEBUG",
        **scenario.config,
    }
    tls = scenario.server.get("tls")
    if tls:
        values["ftp.tls"] = tls
        values.setdefault("ftp.tls_ca_file", server.sim.ca_file)  # type: ignore[attr-defined]
    environment = {
        f"PYFTPDRIVE_{name.replace('.', '_').upper()}": str(value) for name, value in values.items()
    }
    if server.password:
        environment["PYFTPDRIVE_PASSWORD"] = server.password
    return environment


class _Keeper(logging.Handler):
    """Keeps warnings and worse, and all that the spool says."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


class _SleepyClock(SystemClock):
    """A machine that slept: its wall clock is ahead by so much, its monotonic one stood still."""

    def __init__(self) -> None:
        self.asleep_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.asleep_ns


class DirectHost:
    """Steps call the core in this process."""

    name = "direct"

    def __init__(self, scenario: Scenario, server: Server, work: Path) -> None:
        self._environment = _configuration(scenario, server, work, work)
        self._work = work
        self._drive: Drive | None = None
        self._handles: dict[str, FileContext] = {}
        self._records: list[logging.LogRecord] = []
        self._callbacks: list[Callback] = []
        self._clock = _SleepyClock()
        self._handler = _Keeper(self._records)
        self._logger = logging.getLogger("pyftpdrive")
        self._spool_logger = logging.getLogger("pyftpdrive.spool")

    @property
    def drive(self) -> Drive:
        if self._drive is None:
            raise HostFailure("the drive is not mounted")
        return self._drive

    def mount(self) -> None:
        self._logger.addHandler(self._handler)
        self._spool_logger.setLevel(logging.DEBUG)  # see told
        drive = Drive(
            drive_options(configuration.load(None, self._environment, {})), clock=self._clock
        )
        try:
            drive.start()
        except RemoteError as error:
            raise MountRefused(str(error)) from error
        self._drive = drive

    def unmount(self, by: str) -> Unmounted:
        del by  # there is one way to end the core
        drive = self.drive
        opened = [str(path) for path, _ in drive.filesystem.open_files()]
        left = [str(staged.path) for staged in drive.drain(drive.options.drain_timeout_s)]
        left += [str(staged.path) for staged in drive.files.uploader.held()]
        self.abandon()
        return Unmounted(open_files=opened, left=left)

    def kill(self) -> None:
        self.abandon()  # nothing is sent, nothing is queued: only the journal remembers

    def abandon(self) -> None:
        drive, self._drive = self._drive, None
        if drive is not None:
            drive.stop()
        self._handles.clear()
        self._logger.removeHandler(self._handler)
        self._spool_logger.setLevel(logging.NOTSET)

    def _do(self, action: Any, *arguments: Any, **named: Any) -> Any:
        recorder = self.drive.engine.recorder
        began, failure = recorder.clock.monotonic(), None
        try:
            return action(*arguments, **named)
        except FsError as error:
            failure = error
            raise OSError(to_errno(error.status), str(error)) from error
        finally:
            path = str(getattr(arguments[0], "path", arguments[0])) if arguments else ""
            took_s = recorder.clock.monotonic() - began
            self._callbacks.append(Callback(action.__name__, path, took_s, failure is not None))
            recorder.ended(action.__name__, path, began, failure)

    def callbacks(self) -> Callbacks:
        return self._callbacks

    def why(self) -> str:
        return json.dumps(self.drive.engine.recorder.report(), indent=1, ensure_ascii=False)

    def list(self, path: str) -> list[str]:
        return [e.name for e in self._do(self.drive.filesystem.list_directory, remote_path(path))]

    def read(self, path: str, offset: int, length: int | None) -> bytes:
        fs = self.drive.filesystem
        handle = self._do(fs.open, remote_path(path))
        try:
            wanted = handle.file_size - offset if length is None else length
            data: bytes = self._do(fs.read, handle, offset, wanted)
        finally:
            self._do(fs.close, handle)
        return data

    def write(self, path: str, data: bytes, mode: str, offset: int) -> None:
        fs, target = self.drive.filesystem, remote_path(path)
        if mode == "in_place":
            handle = self._do(fs.open, target, write=True)
        else:
            handle = self._do(fs.create, target, exclusive=mode == "create")
        try:
            if mode == "overwrite" and handle.file_size:
                self._do(fs.truncate, handle, 0)
            at = handle.file_size if mode == "append" else offset
            self._do(fs.write, handle, at, data)
        finally:
            self._do(fs.close, handle)

    def truncate(self, path: str, size: int) -> None:
        self._do(self.drive.filesystem.truncate, remote_path(path), size)

    def delete(self, path: str) -> None:
        self._do(self.drive.filesystem.remove_file, remote_path(path))

    def mkdir(self, path: str) -> None:
        self._do(self.drive.filesystem.make_directory, remote_path(path))

    def rmdir(self, path: str) -> None:
        self._do(self.drive.filesystem.remove_directory, remote_path(path))

    def rename(self, old: str, new: str) -> None:
        self._do(self.drive.filesystem.rename, remote_path(old), remote_path(new))

    def stat(self, path: str) -> tuple[str, int, int]:
        found = self._do(self.drive.filesystem.stat, remote_path(path))
        kind = "directory" if found.kind is Kind.DIRECTORY else "file"
        return kind, found.size_bytes, found.modified_ns

    def set_times(self, path: str, modified_ns: int) -> None:
        self._do(self.drive.filesystem.set_times, remote_path(path), modified_ns)

    def open(self, path: str, name: str, mode: str) -> None:
        fs, target = self.drive.filesystem, remote_path(path)
        if mode == "create":
            self._handles[name] = self._do(fs.create, target)
        else:
            self._handles[name] = self._do(fs.open, target, write=mode != "read")

    def write_handle(self, name: str, data: bytes, offset: int) -> None:
        self._do(self.drive.filesystem.write, self._handles[name], offset, data)

    def read_handle(self, name: str, offset: int, length: int) -> bytes:
        data: bytes = self._do(self.drive.filesystem.read, self._handles[name], offset, length)
        return data

    def fsync(self, name: str) -> None:
        self._do(self.drive.filesystem.fsync, self._handles[name])

    def close(self, name: str) -> None:
        self._do(self.drive.filesystem.close, self._handles.pop(name))

    def space(self) -> tuple[int, int]:
        found = self._do(self.drive.filesystem.space)
        return found.total_bytes, found.free_bytes

    def codes(self, status: FsStatus) -> set[int]:
        return {to_errno(status)}

    def at(self, path: str) -> str:
        raise HostFailure(f"{path} is no path of this machine here: programs need a mount")

    def uploads(self) -> dict[str, Any]:
        return dict(self.drive.filesystem.uploads())

    def status(self) -> dict[str, Any]:
        return dict(self.drive.status())

    def told_status(self) -> str:
        table = status_table({**self.drive.status(), "server": "x", "drive": "y", "since": "now"})
        console = Console(width=WIDE, file=StringIO())
        console.print(table)
        return str(console.file.getvalue())  # type: ignore[attr-defined]  # a StringIO

    def sleep(self, seconds: float) -> None:
        self._clock.asleep_ns += int(seconds * 1e9)

    def held(self, action: str, path: str, *, overwrite: bool) -> bytes:
        held, to = self.drive.held, self._work / f"exported-{len(list(self._work.iterdir()))}"
        staged = self._do(held.find, path)
        if action == "export":
            self._do(held.export, staged, to)
            return to.read_bytes()
        if action == "retry":
            self._do(held.retry, staged, overwrite=overwrite)
        else:
            self._do(held.discard, staged)
        return b""

    def recover(self) -> Texts:
        self.mount()
        return self.unmount("command").left

    def log(self) -> str:
        return "\n".join(
            f"{record.levelname} {record.getMessage()}"
            for record in self._records
            if record.levelno >= logging.WARNING
        )

    def told(self) -> str:
        return "\n".join(record.getMessage() for record in self._records)


def _marked(said: str, marker: str) -> list[str]:
    """The paths of the lines that end in *marker*."""
    return [
        line.removeprefix("pyftpdrive: ").removesuffix(marker)
        for line in said.splitlines()
        if line.endswith(marker)
    ]


def _left(said: str) -> list[str]:
    """The paths that a drive named as not on the server."""
    held = _marked(said, ". See: pyftpdrive held list")
    return [
        *_marked(said, " is not on the server yet; mount again to send it"),
        *(line.removeprefix("held: ").partition(": ")[0] for line in held),
    ]


class ProgramHost(ABC):
    """A drive that `python -m pyftpdrive mount` made; the user's commands are programs, too."""

    def __init__(self, scenario: Scenario, server: Server, work: Path, drive: str) -> None:
        self._place = drive
        self._work = work
        self._runtime = work / "run"
        self._environment = {
            **{name: v for name, v in os.environ.items() if not name.startswith("PYFTPDRIVE_")},
            **_configuration(scenario, server, work, drive),
            "PYFTPDRIVE_RUNTIME_DIR": str(self._runtime),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "HOME": str(work),
            "USERPROFILE": str(work),
            "COLUMNS": str(WIDE),
            "PYTHONPATH": str(PROJECT),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0  # how much of the output is older than this mount

    @abstractmethod
    def _is_mounted(self) -> bool:
        """Whether this machine has the drive."""

    def _is_gone(self) -> bool:
        """Whether the drive of a program that ended went with it."""
        return not self._is_mounted()

    @abstractmethod
    def _close_all(self) -> None:
        """Close what steps left open; the drive may be gone already."""

    @abstractmethod
    def _free(self) -> None:
        """Take away what is still mounted although its program ended."""

    def mount(self) -> None:
        self._read = len(self.output())
        with (self._work / "output").open("a", encoding="utf-8") as output:
            self._process = programs.start(
                ["-m", "pyftpdrive", "mount"], environment=self._environment, output=output
            )
        until = time.monotonic() + MOUNT_S
        while not self._announced():
            if self._process.poll() is not None:
                self._refused(self._process.returncode)
            if time.monotonic() > until:
                raise HostFailure(f"not mounted within {MOUNT_S} s: {self.output()}")
            threading.Event().wait(0.02)

    def _refused(self, code: int) -> NoReturn:
        """The program ended instead of mounting: with one line, a code, and nothing left."""
        self._process = None
        said = self._said().strip()
        if "Traceback" in said or code in (0, 1) or len(said.splitlines()) != 1:
            raise HostFailure(f"the drive ended with code {code}: {said}")
        if not self._is_gone():
            raise HostFailure(f"a mount was left: {said}")
        raise MountRefused(said)

    def _said(self) -> str:
        """What the drive printed since it was started."""
        return self.output()[self._read :]

    def _announced(self) -> bool:
        return bool(channel.mounts(self._runtime)) and self._is_mounted()

    def output(self) -> str:
        file = self._work / "output"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def unmount(self, by: str) -> Unmounted:
        process = self._process
        if process is None:
            raise HostFailure("the drive is not mounted")
        said = ""
        if by == "command":
            said = self._unmount_command()
        else:
            programs.ask_to_end(process, interrupt=by == "ctrl-c")
        code = process.wait(UNMOUNT_S)
        self._process = None
        own = self._said()
        said += own
        if "Traceback" in said:
            raise HostFailure(f"unmounting shows a traceback: {said}")
        if not self._is_gone():
            raise HostFailure("still mounted after unmount")
        left = _left(own)
        if by == "command" and _left(said) != left * 2:
            raise HostFailure(f"the command and the drive don't name the same files: {said}")
        if code != (UPLOADS_LEFT if left else 0):
            raise HostFailure(f"the drive ended with code {code}: {said}")
        opened = _marked(said, " was still open; what was written to it is kept")
        opened = opened or _marked(said, " is still open")
        return Unmounted(open_files=opened, left=left)

    def _unmount_command(self) -> str:
        done = self._command("unmount", "--drive", self._place)
        if done.returncode not in (0, UPLOADS_LEFT):
            raise HostFailure(f"unmount failed: {done.stderr}")
        return done.stderr

    def _command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command, environment = programs.python(self._environment)
        return subprocess.run(
            [*command, "-m", "pyftpdrive", *arguments],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=UNMOUNT_S,
            check=False,
        )

    def held(self, action: str, path: str, *, overwrite: bool) -> bytes:
        to = self._work / f"exported-{len(list(self._work.iterdir()))}"
        more = {
            "retry": ["--overwrite"] if overwrite else [],
            "discard": ["--yes"],
            "export": [str(to)],
        }
        done = self._command("held", action, path, *more[action])
        if done.returncode:
            raise OSError(errno.EINVAL, done.stderr)
        return to.read_bytes() if action == "export" else b""

    def why(self) -> str:
        done = self._command("why", "--drive", self._place)
        if done.returncode:
            raise HostFailure(f"why ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def recover(self) -> Texts:
        done = self._command("recover")
        left = _left(done.stderr)
        if done.returncode != (UPLOADS_LEFT if left else 0):
            raise HostFailure(f"recover ended with {done.returncode}: {done.stderr}")
        return left

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.abandon()

    def abandon(self) -> None:
        self._close_all()
        if self._process is not None and self._process.poll() is None:
            programs.ask_to_end(self._process)
            try:
                self._process.wait(UNMOUNT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if self._is_mounted():
            self._free()

    def uploads(self) -> dict[str, Any]:
        uploads: dict[str, Any] = self.status()["uploads"]
        return uploads

    def status(self) -> dict[str, Any]:
        mounts = channel.mounts(self._runtime)
        if not mounts:
            raise HostFailure(f"the drive is not mounted: {self.output()}")
        return channel.request(mounts[0], {"do": "status"})

    def told_status(self) -> str:
        plain, as_json = self._command("status"), self._command("status", "--json")
        if plain.returncode or as_json.returncode:
            raise HostFailure(f"status failed: {plain.stderr} {as_json.stderr}")
        sessions = json.loads(as_json.stdout)["mounts"][0]["sessions"]
        if sessions["reachable"] is ("NOT reachable" in plain.stdout):
            raise HostFailure(f"status and status --json differ: {plain.stdout} {sessions}")
        return plain.stdout

    def sleep(self, seconds: float) -> None:
        if self._process is None:
            raise HostFailure("the drive is not mounted")
        programs.suspend_for(self._process, seconds)

    def log(self) -> str:
        return "\n".join(
            line for line in self.told().splitlines() if " WARNING " in line or " ERROR " in line
        )

    def told(self) -> str:
        file = self._work / LOG_NAME
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def callbacks(self) -> Callbacks:
        return from_log(self._work, LOG_NAME)


class FuseHost(ProgramHost):
    """Steps are system calls on the mount."""

    name = "fuse"

    def __init__(self, scenario: Scenario, server: Server, work: Path) -> None:
        self._mountpoint = work / "drive"
        self._mountpoint.mkdir()
        super().__init__(scenario, server, work, str(self._mountpoint))
        self._handles: dict[str, int] = {}

    def codes(self, status: FsStatus) -> set[int]:
        return {to_errno(status)}

    def at(self, path: str) -> str:
        """Where *path* is on this machine; a trailing slash means nothing."""
        return str(self._mountpoint) + ("" if path == "/" else path)

    def _is_mounted(self) -> bool:
        # Not os.path.ismount: it says no to a mount whose process is dead.
        return str(self._mountpoint) in guards.fuse_mounts(self._work)

    def _close_all(self) -> None:
        for handle in self._handles.values():
            try:
                os.close(handle)
            except OSError as error:  # the drive is gone already
                if error.errno not in (errno.ENOTCONN, errno.EBADF, errno.ECONNABORTED):
                    raise
        self._handles.clear()

    def _free(self) -> None:
        guards.free_mount(str(self._mountpoint))

    def list(self, path: str) -> list[str]:
        return os.listdir(self.at(path))

    def read(self, path: str, offset: int, length: int | None) -> bytes:
        with open(self.at(path), "rb", buffering=0) as file:
            file.seek(offset)
            pieces: list[bytes] = []
            left = 1 << 62 if length is None else length
            while left and (piece := file.read(min(left, 1 << 20))):
                pieces.append(piece)
                left -= len(piece)
        return b"".join(pieces)

    def write(self, path: str, data: bytes, mode: str, offset: int) -> None:
        flags = {
            "overwrite": os.O_CREAT | os.O_TRUNC,
            "create": os.O_CREAT | os.O_EXCL,
            "append": os.O_CREAT | os.O_APPEND,
            "in_place": 0,
        }[mode]
        handle = os.open(self.at(path), os.O_WRONLY | flags, 0o644)
        try:
            view = memoryview(data)
            if mode == "in_place":
                os.lseek(handle, offset, os.SEEK_SET)
            while len(view):
                view = view[os.write(handle, view) :]
        finally:
            os.close(handle)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.at(path), size)

    def delete(self, path: str) -> None:
        os.unlink(self.at(path))

    def mkdir(self, path: str) -> None:
        os.mkdir(self.at(path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self.at(path))

    def rename(self, old: str, new: str) -> None:
        os.rename(self.at(old), self.at(new))

    def stat(self, path: str) -> tuple[str, int, int]:
        found = os.stat(self.at(path))
        kind = "directory" if os.path.isdir(self.at(path)) else "file"
        return kind, found.st_size, found.st_mtime_ns

    def set_times(self, path: str, modified_ns: int) -> None:
        os.utime(self.at(path), ns=(modified_ns, modified_ns))

    def open(self, path: str, name: str, mode: str) -> None:
        flags = {"read": os.O_RDONLY, "write": os.O_RDWR, "create": os.O_RDWR | os.O_CREAT}[mode]
        self._handles[name] = os.open(self.at(path), flags, 0o644)

    def write_handle(self, name: str, data: bytes, offset: int) -> None:
        if sys.platform != "win32":
            done = 0
            while done < len(data):
                done += os.pwrite(self._handles[name], data[done:], offset + done)

    def read_handle(self, name: str, offset: int, length: int) -> bytes:
        data = b""
        if sys.platform != "win32":
            data = os.pread(self._handles[name], length, offset)
        return data

    def fsync(self, name: str) -> None:
        os.fsync(self._handles[name])

    def close(self, name: str) -> None:
        os.close(self._handles.pop(name))

    def space(self) -> tuple[int, int]:
        total, free = 0, 0
        if sys.platform != "win32":
            found = os.statvfs(self._mountpoint)
            total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        return total, free
