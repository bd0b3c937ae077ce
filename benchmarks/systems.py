"""The systems that are compared: each mounts with fresh caches in a directory of its own.

Each program runs in its own session: Ctrl+C reaches the benchmark only, which then ends what it
started, by process id, and unmounts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks.results import LOCAL, PYFTPDRIVE, RCLONE, first_line

MOUNT_S = 30.0
UNMOUNT_S = 90.0
POLL_S = 0.01
TUNED = "rclone-tuned"
UNSYNCED = "pyftpdrive-unsynced"
_TUNING = (
    "--vfs-write-back", "0s", "--attr-timeout", "30s", "--transfers", "8", "--buffer-size", "32M",
)  # fmt: skip


class CannotMount(Exception):
    """The system does not come up; its own words are in the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the server listens, and as whom to log in ('' = anonymous)."""

    port: int
    username: str
    password: str
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """For curl."""
        login = f"{self.username}:{self.password}@" if self.username else ""
        return f"ftp://{login}{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a mount's processes have used so far."""

    peak_mib: float
    cpu_s: float


class System(ABC):
    """One mounted system; a context manager. `drive` is where programs find the files."""

    name = ""

    def __init__(self, address: Address, server_root: Path) -> None:
        self.address = address
        self.server_root = server_root
        self.work = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-"))
        self.drive = self.work / "drive"
        self.drive.mkdir()
        self.mount_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The program that mounts `address` on `drive` and stays in the foreground."""

    def environment(self) -> dict[str, str]:
        """The program's environment."""
        return dict(os.environ)

    def __enter__(self) -> System:
        try:
            self._start()
        except BaseException:
            self.abandon()
            self._clean()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end()
        finally:
            self.abandon()
            self._clean()

    def _start(self) -> None:
        began = time.perf_counter()
        with (self.work / "output").open("wb") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=Path(__file__).resolve().parents[1],  # this tree's pyftpdrive
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        pause = threading.Event()
        while not is_mounted(self.drive):
            if self._process.poll() is not None:
                raise CannotMount(f"{self.name} ended: {self.output()}")
            if time.perf_counter() - began > MOUNT_S:
                raise CannotMount(f"{self.name} does not mount in {MOUNT_S:g} s: {self.output()}")
            pause.wait(POLL_S)
        self.mount_s = time.perf_counter() - began

    def _end(self) -> None:
        """Ask the program to unmount and to end."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(UNMOUNT_S)

    def abandon(self) -> None:
        """Kill the program and detach the mount: whoever waits in it gets an error."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if is_mounted(self.drive):
            subprocess.run(["fusermount3", "-uz", "--", str(self.drive)], check=False)

    def _clean(self) -> None:
        if not is_mounted(self.drive):  # never remove through a mount
            shutil.rmtree(self.work, ignore_errors=True)

    def output(self) -> str:
        """The last lines that the program printed."""
        text = (self.work / "output").read_text(encoding="utf-8", errors="replace")
        return " / ".join(text.strip().splitlines()[-3:])

    def usage(self) -> Usage | None:
        """Peak memory and processor time of the program and its children; None: no program."""
        if self._process is None or self._process.poll() is not None:
            return None
        peak_kib = ticks = 0
        for pid in _family(self._process.pid):
            with contextlib.suppress(OSError, ValueError, StopIteration):
                peak_kib += _peak_kib(pid)
                ticks += sum(int(field) for field in _stat(pid)[11:13])
        return Usage(peak_mib=peak_kib / 1024, cpu_s=ticks / os.sysconf("SC_CLK_TCK"))


class Rclone(System):
    """`rclone mount --vfs-cache-mode full`, as it comes."""

    name = RCLONE
    more: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """See `System.command`."""
        secret = subprocess.run(
            ["rclone", "obscure", "-"],
            input=self.address.password or "anonymous",
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        options = {
            "host": self.address.host,
            "port": str(self.address.port),
            "user": self.address.username or "anonymous",
            "pass": secret,
        }
        remote = ":ftp," + ",".join(f"{key}={value}" for key, value in options.items()) + ":"
        return [
            "rclone", "mount", remote, str(self.drive), "--vfs-cache-mode", "full",
            "--cache-dir", str(self.work / "cache"), "--config", os.devnull, *self.more,
        ]  # fmt: skip


class RcloneTuned(Rclone):
    """rclone with the options that were found to help it most."""

    name = TUNED
    more = _TUNING


class Pyftpdrive(System):
    """The drive of this project, from this source tree."""

    name = PYFTPDRIVE
    module = "pyftpdrive"

    def command(self) -> list[str]:
        """See `System.command`."""
        login = ["--username", self.address.username] if self.address.username else []
        return [
            sys.executable, "-m", self.module, "mount", *login,
            "--host", self.address.host, "--port", str(self.address.port),
            "--drive", str(self.drive),
            "--cache-directory", str(self.work / "cache"),
            "--upload-directory", str(self.work / "upload"),
            "--log-file", str(self.work / "log"),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """See `System.environment`."""
        return {
            **os.environ,
            "PYFTPDRIVE_PASSWORD": self.address.password,
            "PYFTPDRIVE_RUNTIME_DIR": str(self.work / "run"),
        }


class Unsynced(Pyftpdrive):
    """The same, on a disk that says at once that it has everything."""

    name = UNSYNCED
    module = "benchmarks.unsynced"


class Local(System):
    """No drive: the server's own directory. Shows that the rows are right, and their own cost."""

    name = LOCAL

    def command(self) -> list[str]:
        """There is no program."""
        return []

    def _start(self) -> None:
        self.drive.rmdir()
        self.drive.symlink_to(self.server_root)


SYSTEMS: dict[str, type[System]] = {
    system.name: system for system in (Pyftpdrive, Unsynced, Rclone, RcloneTuned, Local)
}


def versions(systems: list[str]) -> dict[str, str]:
    """What each system says about its version; pyftpdrive with the commit where git knows it."""
    root = Path(__file__).resolve().parents[1]
    ours = first_line([sys.executable, "-m", "pyftpdrive", "--version"])
    commit = first_line(["git", "-C", str(root), "describe", "--always", "--dirty"])
    commands = {"curl": ["curl", "--version"], RCLONE: ["rclone", "--version"]}
    commands[TUNED] = commands[RCLONE]
    known = {
        name: " ".join(first_line(command).split()[:2])
        for name, command in commands.items()
        if name in systems
    }
    if PYFTPDRIVE in systems:
        known[PYFTPDRIVE] = f"{ours} ({commit})" if commit else ours
    return known


def is_mounted(path: Path) -> bool:
    """Whether *path* is a mount point; asks the kernel, never the file system in it."""
    field = str(path).replace("\\", "\\134").replace(" ", "\\040")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
        return any(line.split()[4] == field for line in table)


def _family(first: int) -> list[int]:
    """The process and its descendants."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parents[int(name)] = int(_stat(int(name))[1])
    family = [first]
    for pid in family:  # grows while it is walked
        family += [child for child, parent in parents.items() if parent == pid]
    return family


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (the third)."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def _peak_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))
