"""Mounts a lossy disk, cuts its power, takes it away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from simulators.lossy_disk.disk import Unsynced

PROJECT = Path(__file__).resolve().parents[2]
MOUNT_S = 20.0
SWITCH = "user.power"


class LossyDisk:
    """A directory on a disk that can lose power. A context manager; needs FUSE."""

    def __init__(self, directory: Path) -> None:
        """Mount it on *directory*, which is made when it is missing.

        Raises:
            OSError: it could not be mounted; the text has the program's words.
        """
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulators.lossy_disk", str(directory)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        until = time.monotonic() + MOUNT_S
        while not os.path.ismount(directory):
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                said = self._process.communicate()[1].decode(errors="replace")
                raise OSError(f"the lossy disk was not mounted: {said}")
            time.sleep(0.02)

    def remember(self, unsynced: Unsynced = Unsynced.OLD, seed: int = 0) -> None:
        """Note what a cut at this moment would leave."""
        self._switch(f"remember {unsynced.value} {seed}")

    def restore(self) -> None:
        """Power is back: only what `remember` noted is there. Nobody may have files open."""
        self._switch("restore")

    def _switch(self, word: str) -> None:
        if sys.platform == "linux":
            os.setxattr(self.directory, SWITCH, word.encode())

    def close(self) -> None:
        """Unmount it; its content is gone. Twice is fine."""
        if self._process.poll() is None:
            subprocess.run(
                ["fusermount3", "-u", "-z", str(self.directory)], check=False, capture_output=True
            )
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.communicate()

    def __enter__(self) -> LossyDisk:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()
