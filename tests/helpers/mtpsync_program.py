"""`mtpsync` as people run it: a computer with a folder, and a phone of the fake libmtp."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simulators.fake_libmtp import FakeDevice, FakeUsb
from tests.helpers.mtp import PROJECT, fake_library

MUSIC = {"a.mp3": os.urandom(300_000), "sub/ü 💾.txt": b"hello", "sub/empty": b""}


class Desk:
    """A computer with a folder, and a phone."""

    def __init__(self, work: Path, library: Path) -> None:
        self.work = work
        self.usb = FakeUsb(work / "usb")
        self.phone: FakeDevice = self.usb.plug("android", serial="S1")
        self.environment = {
            **os.environ,
            **self.usb.environment(),
            "MTPSYNC_LIBMTP": str(library),
            "MTPSYNC_STATE": str(work / "state"),
            "PYTHONPATH": str(PROJECT),
        }
        for path, content in MUSIC.items():
            self.put(path, content)

    def put(self, path: str, content: bytes) -> None:
        file = self.work / "music" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mtpsync", *words],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=100)
        assert process.returncode == code, f"{process.returncode}\n{out}\n{err}"
        return out + err

    def until(self, came: Callable[[], bool]) -> None:
        """Wait for something that a running program brings about."""
        until = time.monotonic() + 60
        while not came():
            assert time.monotonic() < until
            time.sleep(0.02)

    def on_the_phone(self) -> dict[str, bytes]:
        return {
            path.removeprefix("/Music/"): content
            for path, content in self.phone.storage().tree().items()
            if content is not None and path.startswith("/Music/")
        }


@contextmanager
def desk_at(work: Path) -> Iterator[Desk]:
    """A desk; in the end no process may be left."""
    yield Desk(work, fake_library().resolve())
    held = subprocess.run(["pgrep", "-f", str(work)], capture_output=True, text=True, check=False)
    assert held.stdout == "", "a process is left"
