"""A run: segments of operations, each with a server of its own kind, some with faults.

Between the segments, and at times inside them, everything is closed; then either the drive is
waited for, or unmounted, or killed without a word, and mounted again. After each of these the
server's own files are compared with the model.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import Counter
from pathlib import Path

from pyftpdrive.spool.names import TEMPORARY_PREFIX
from tests.fsx.model import Wrong, compare
from tests.fsx.program import Program
from tests.helpers.mounts import Mount, ServerProcess, until

SEGMENT = 2000  # operations on one kind of server
PAUSE_EVERY = 250  # on average: everything is closed and the server is looked at
SETTLE_S = 60.0
STRAYS_S = 45.0
MOUNTS_MAX = 5
PROFILES = ("vsftpd", "proftpd", "pureftpd", "filezilla", "swiftp", "mina", "nas")
FAULTS = (
    "on=STOR,nth=5,fault=reply,code=451",
    "on=STOR,nth=9,fault=reply,code=552",
    "on=STOR,nth=0,chance=0.02,fault=reset,after_bytes=20000",
    "on=STOR,nth=0,chance=0.01,fault=swallow_reply",
    "on=RETR,nth=0,chance=0.02,fault=reset,after_bytes=30000",
    "on=RNTO,nth=0,chance=0.02,fault=reset",
    "on=RNTO,nth=0,chance=0.02,fault=reset,when=after",
    "on=DELE,nth=0,chance=0.02,fault=reset,when=after",
    "on=MLSD|LIST,nth=0,chance=0.01,fault=reset",
    "on=*,nth=0,chance=0.001,fault=close",
)


class Run:
    """*operations* in *work*, decided by *seed*."""

    def __init__(
        self,
        work: Path,
        *,
        operations: int,
        seed: int,
        segment: int = SEGMENT,
        level: str = "INFO",
    ) -> None:
        self._operations = operations
        self._segment = segment
        self._level = level
        self._dice = random.Random(seed)
        self._seed = seed
        self._server = ServerProcess(work / "server")
        (work / "server" / "d").mkdir(exist_ok=True)
        self._work = work
        self._mount: Mount | None = None
        self.profile, self.faults = "", ()
        self.program = Program(
            work / "drive", self._dice.randrange(1 << 32), lambda name: self._server.root / name
        )
        self.figures: Counter[str] = self.program.figures

    def run(self) -> Counter[str]:
        """Do it.

        Raises:
            Wrong: with the last operations in its text.
        """
        began = time.monotonic()
        try:
            self._run()
        except (Wrong, OSError, AssertionError) as error:
            story = "\n".join(self.program.story)
            said = "\n".join(self._mount.log()[-5:]) if self._mount is not None else ""
            raise Wrong(
                f"{type(error).__name__}: {error}\nserver {self.profile} {' '.join(self.faults)}"
                f"\nthe last operations:\n{story}\nthe drive's warnings:\n{said}"
            ) from error
        finally:
            for handle in self.program.model.handles:
                _close_quietly(handle.fd)
            if self._mount is not None:
                self._mount.abandon()
            self._server.stop()
            self.figures["seconds"] = round(time.monotonic() - began)
        return self.figures

    def _run(self) -> None:
        while self.figures["operations"] < self._operations:
            self._begin_segment()
            end = min(self.figures["operations"] + self._segment, self._operations)
            while self.figures["operations"] < end:
                self.program.step()
                if self._dice.random() * PAUSE_EVERY < 1:
                    self._pause()
            self._end_segment()

    def _begin_segment(self) -> None:
        self.profile = self._dice.choice(PROFILES)
        faulty = self.figures["segments"] % 3 == 2
        self.faults = tuple(self._dice.sample(FAULTS, 4)) if faulty else ()
        self.program.story.append(f"-- {self.profile} {' '.join(self.faults)}")
        self._server.start(self.profile, *self.faults, seed=self._seed)
        self.program.faulty = faulty
        self.figures["segments"] += 1
        self.figures["segments with faults"] += faulty
        if self._mount is None:
            self._mount = Mount(
                self._server.port,
                self._work / "drive",
                self._work / "state",
                ftp_max_sessions=3,
                logging_level=self._level,
            )
        self._begin_mount(self._mount)

    def _begin_mount(self, mount: Mount) -> None:
        """Mount; a bad network may be in the way some times, and the user is told so."""
        for left in range(MOUNTS_MAX - 1, -1, -1):
            try:
                mount.start()
            except AssertionError:
                if not self.program.faulty or not left:
                    raise
                self.figures["failed mounts"] += 1
                mount.kill()
            else:
                return

    def _end_segment(self) -> None:
        """Faults are over: everything is there."""
        assert self._mount is not None
        self.program.close_all()
        self._server_has_all()
        code = self._mount.unmount()
        if code:
            raise Wrong(f"the drive ended with {code}: {self._mount.output()}")
        self._server.stop()

    def _pause(self) -> None:
        """Everything is closed; then the drive is waited for, unmounted, or killed."""
        assert self._mount is not None
        self.program.close_all()
        way = self._dice.choice(("wait", "wait", "unmount", "kill"))
        self.program.story.append(f"-- {way}")
        self.figures[way] += 1
        if way == "wait":
            self._server_has_all()
            return
        if way == "unmount":
            code = self._mount.unmount()
            if code:
                raise Wrong(f"the drive ended with {code}: {self._mount.output()}")
            self._compare_server(own_allowed=self.program.faulty)
        else:
            self._mount.kill()
        self._begin_mount(self._mount)
        if not self.program.faulty:
            self.program.check_all()

    def _server_has_all(self) -> None:
        """Wait until nothing is on its way, then compare."""
        assert self._mount is not None
        if not self._mount.settled(SETTLE_S):
            raise Wrong(f"never sent: {self._mount.status()}")
        if self._mount.held():
            raise Wrong(f"held: {self._mount.uploads()['held']}")
        # A temporary file whose removal the network lost goes later, at worst after its timeout.
        until(lambda: set(self._server.files()) == self._right_names(), within_s=STRAYS_S)
        self._compare_server()

    def _right_names(self) -> set[str]:
        return {f"/{name}" for name in self.program.model.names}

    def _compare_server(self, *, own_allowed: bool = False) -> None:
        """*own_allowed*: what the network lost of removing them, the next mount does."""
        self.figures["server compared"] += 1
        files = {
            path: file
            for path, file in self._server.files().items()
            if not (own_allowed and file.name.startswith(TEMPORARY_PREFIX))
        }
        if set(files) != self._right_names():
            raise Wrong(f"the server has {sorted(files)}, not {sorted(self._right_names())}")
        for name, file in self.program.model.names.items():
            compare(f"{name} on the server", files[f"/{name}"].read_bytes(), file.content)


def _close_quietly(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)
