"""Drives as programs of their own, on servers of their own: what a process of the user's sees.

The server runs in another process too: a page fault in a map of a file in the drive holds this
interpreter's lock until the server has answered.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyftpdrive.control import channel
from tests.helpers import guards

PROJECT = Path(__file__).resolve().parents[2]
START_S = 30.0
END_S = 60.0
PASSWORD = "secret"


def until(done: Callable[[], bool], *, within_s: float) -> bool:
    """Wait until *done*; False when it did not become true in time."""
    end = time.monotonic() + within_s
    pause = threading.Event()
    while not done():
        if time.monotonic() > end:
            return False
        pause.wait(0.01)
    return True


class ServerProcess:
    """The simulator as a program that serves *root*; its files are looked at there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self, profile: str = "vsftpd", *faults: str, seed: int = 0) -> None:
        """Serve, on the same port as before."""
        command = [
            *(sys.executable, "-m", "simulators.ftp_server", "--port", str(self.port)),
            *("--root", str(self.root), "--profile", profile, "--seed", str(seed)),
            *("--user", f"anna:{PASSWORD}"),
        ]
        for fault in faults:
            command += ["--fault", fault]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening on "), line
        self.port = int(line.strip().rstrip("/").rpartition(":")[2])

    def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.communicate(timeout=END_S)

    def files(self) -> dict[str, Path]:
        """Every file that the server has, by its path there."""
        return {
            "/" + str(file.relative_to(self.root)): file
            for file in self.root.rglob("*")
            if file.is_file()
        }


class Mount:
    """`pyftpdrive mount` of one user: *state* is his cache, spool and runtime directory."""

    def __init__(self, port: int, at: Path, state: Path, **settings: Any) -> None:
        self.at = at
        self.log_file = state / "log"
        self._state = state
        self._runtime = state / "run"
        at.mkdir(parents=True, exist_ok=True)
        state.mkdir(parents=True, exist_ok=True)
        values = {
            "ftp_host": "127.0.0.1",
            "ftp_port": port,
            "ftp_username": "anna",
            "mount_drive": at,
            "cache_directory": state / "cache",
            "upload_directory": state / "upload",
            "logging_file": self.log_file,
            "connection_retry_delay_seconds": 0.1,
            **settings,
        }
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYFTPDRIVE_")},
            **{f"PYFTPDRIVE_{name.upper()}": str(value) for name, value in values.items()},
            "PYFTPDRIVE_PASSWORD": PASSWORD,
            "PYFTPDRIVE_RUNTIME_DIR": str(self._runtime),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "HOME": str(state),
            "PYTHONPATH": str(PROJECT),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mount:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def start(self) -> None:
        """Mount; programs can use it when this returns."""
        with (self._state / "output").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pyftpdrive", "mount"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._process = process
        ready = until(lambda: self._announced() or process.poll() is not None, within_s=START_S)
        if not ready or process.poll() is not None:
            raise AssertionError(f"not mounted: {self.output()}")

    def _is_mounted(self) -> bool:
        return str(self.at) in guards.fuse_mounts(self.at.parent)

    def _announced(self) -> bool:
        return self._is_mounted() and bool(channel.mounts(self._runtime))

    def output(self) -> str:
        """What the program printed."""
        return (self._state / "output").read_text(errors="replace")

    def log(self) -> list[str]:
        """Its warnings and errors."""
        text = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return [line for line in text.splitlines() if " WARNING " in line or " ERROR " in line]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another call of the program, by the same user."""
        return subprocess.run(
            [sys.executable, "-m", "pyftpdrive", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=END_S,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """As `pyftpdrive status`."""
        (record,) = channel.mounts(self._runtime)
        return channel.request(record, {"do": "status"})

    def uploads(self) -> dict[str, Any]:
        """What is pending, failing and held."""
        found: dict[str, Any] = self.status()["uploads"]
        return found

    def held(self) -> list[str]:
        """The paths that are held."""
        return [row["path"] for row in self.uploads()["held"]]

    def settled(self, within_s: float = 30.0) -> bool:
        """Wait until nothing is open for programs and nothing is on its way."""

        def nothing() -> bool:
            found = self.status()
            return not found["open_files"] and not found["uploads"]["pending"]

        return until(nothing, within_s=within_s)

    def unmount(self) -> int:
        """End it in order; return its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(signal.SIGTERM)
        code = process.wait(END_S)
        assert not self._is_mounted(), self.output()
        return code

    def kill(self) -> None:
        """End it without a word."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        if self._is_mounted():
            guards.free_mount(str(self.at))

    def abandon(self) -> None:
        """Leave a clean machine, whatever happened."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
        self.kill()


class Other:
    """Another process of the user: *program* in Python; its lines are read one by one.

    It prints and reads lines to meet the test at a point: `say` and `hear` are there for it.
    """

    _BEGIN = (
        "import fcntl, os, sqlite3, sys\n"
        "def say(text): print(text, flush=True)\n"
        "def hear(): return sys.stdin.readline().strip()\n"
        "arguments = sys.argv[1:]\n"
    )

    def __init__(self, program: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._BEGIN + program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def hear(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def say(self, text: str = "") -> None:
        """Give it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def end(self) -> str:
        """Wait until it ended well; return the rest that it said."""
        said, _ = self._process.communicate(timeout=END_S)
        assert self._process.returncode == 0
        return said
