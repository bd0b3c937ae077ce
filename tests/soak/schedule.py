"""One schedule: random file operations on a drive, with seeded faults, crashes and power cuts.

Everything is decided by the seed: the server's profile, the operations, the faults. (When threads
meet is not: a schedule that failed is run again some times to see whether it fails again.) The
clocks of the drive are shortened, so that a schedule takes a second or two.

A *loss* is an acknowledged byte that is neither on the server, nor on its way, nor HELD; a version
of another program that was overwritten unseen; a file that came back; a mixture that was shown.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from pyftpdrive.base.errors import FsError, FsStatus, RemoteError
from pyftpdrive.base.paths import remote_path
from pyftpdrive.base.secret import Secret
from pyftpdrive.cache.fetcher import FetchOptions
from pyftpdrive.cache.metadata import MetadataOptions
from pyftpdrive.core.nodes import FileContext
from pyftpdrive.drive import Drive, DriveOptions
from pyftpdrive.ftp.engine import EngineOptions
from pyftpdrive.ftp.ftp_client import ClientOptions
from pyftpdrive.ftp.retry import RetryPolicy
from pyftpdrive.spool import errands, replace
from pyftpdrive.spool.names import TEMPORARY_PREFIX
from simulators.ftp_server import Fault, FtpSimulator
from simulators.lossy_disk import LossyDisk
from simulators.lossy_disk.disk import Unsynced
from tests.soak.model import Content, Model

PROFILES = ("vsftpd", "proftpd", "pureftpd", "filezilla", "iis", "swiftp", "mina", "nas")
NAMES = ("a.txt", "b.bin", "c", "new.doc", "ä ö.txt")
DIRECTORIES = ("/", "/d", "/d/e")
OPERATIONS = 60
SETTLE_S = 30.0
SLOW_S = (
    5.0  # a callback that takes longer broke its deadline (0.6 s) by far, also on a busy machine
)
DEADLINE_S = 0.6


class Loss(AssertionError):
    """The drive broke a promise; the text says which."""


@dataclass(slots=True)
class Figures:
    """What happened in one schedule, or in many."""

    schedules: int = 0
    operations: int = 0
    refused: int = 0
    faults: int = 0
    crashes: int = 0
    power_cuts: int = 0
    held: int = 0
    slowest_s: float = 0.0

    def add(self, other: Figures) -> None:
        """Sum; the slowest of both."""
        for each in dataclasses.fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            together = max(mine, theirs) if each.name == "slowest_s" else mine + theirs
            setattr(self, each.name, together)


@contextmanager
def short_clocks() -> Iterator[None]:
    """Retries of uploads within a moment."""
    with (
        mock.patch.object(errands, "RETRY_FIRST_S", 0.05),
        mock.patch.object(errands, "RETRY_MAX_S", 0.4),
        mock.patch.object(replace, "LATE_RENAME_S", 0.02),
    ):
        yield


@dataclass(slots=True)
class _Handle:
    context: FileContext
    path: str  # "": deleted or replaced


class Schedule:
    """State of a run; `run` does it."""

    def __init__(self, seed: int, work: Path, *, power: bool = False) -> None:
        """*power*: the spool is on a disk that can lose power."""
        self.seed = seed
        self.work = work
        self.power = power
        self.figures = Figures(schedules=1)
        self.story: list[str] = []
        self.dice = random.Random(seed)
        self.model = Model()
        self.handles: list[_Handle] = []
        self.drive: Drive
        self.disk: LossyDisk | None = None
        self.counter = 0
        profile = self.dice.choice(PROFILES)
        self.server = FtpSimulator(
            profile=profile,
            users={"anna": "secret"},
            sessions_max=self.dice.choice((None, 1, 2)),
            seed=self.seed,
        )
        self.story.append(f"profile {profile}, {self.server.core.sessions_max} sessions")

    # -- the whole -----------------------------------------------------------------------------

    def run(self) -> Figures:
        """Run it.

        Raises:
            Loss: with the story so far.
        """
        for directory in DIRECTORIES[1:]:
            self.server.mkdir(directory)
        for name in NAMES[:3]:
            self.put_by_others(f"/d/{name}")
        started = False
        try:
            if self.power:
                self.disk = LossyDisk(self.work / "spool")
            self.start()
            started = True
            for _ in range(OPERATIONS):
                self.step()
            self.end()
        except Loss as loss:
            raise Loss(f"seed {self.seed}: {loss}\n" + "\n".join(self.story)) from loss
        finally:
            if started:
                self.server.clear_faults()
                self.server.thaw()
                self.drive.stop()
            if self.disk is not None:
                self.disk.close()
            self.server.stop()
        return self.figures

    def start(self) -> None:
        """Mount; faults are over for that moment."""
        self.drive = Drive(
            DriveOptions(
                client=ClientOptions(
                    host=self.server.host,
                    port=self.server.port,
                    username="anna",
                    password=Secret("secret"),
                    timeout_s=0.5,
                ),
                engine=EngineOptions(
                    deadline_s=DEADLINE_S, retry=RetryPolicy(attempts=2, delay_s=0.02)
                ),
                metadata=MetadataOptions(),
                fetch=FetchOptions(deadline_s=DEADLINE_S),
                cache_directory=self.work / "cache",
                cache_max_bytes=1 << 30,
                spool_directory=self.work / "spool",
            )
        )
        until = time.monotonic() + SETTLE_S
        while True:
            try:
                self.drive.start()
            except RemoteError as error:  # sessions of the drive that died still count
                if time.monotonic() > until:
                    raise Loss(f"it can't be mounted again: {error}") from error
                threading.Event().wait(0.1)
            else:
                return

    def step(self) -> None:
        """One operation, fault or disaster."""
        kind = self.dice.choices(
            (self.operate, self.fault, self.another_program, self.disaster),
            weights=(80, 12, 5, 3),
        )[0]
        kind()

    def tell(self, line: str) -> None:
        """Add to the story."""
        self.story.append(f"{len(self.story):3} {line}")

    def content(self) -> bytes:
        """New bytes, of a size that matters."""
        self.counter += 1
        size = self.dice.choice((0, 1, 100, 5000, 65536, 65537, 150_000, 1_200_000))
        mark = f"<{self.seed}.{self.counter}>".encode()
        return (mark * (size // len(mark) + 1))[:size]

    # -- disasters -------------------------------------------------------------------------------

    def fault(self) -> None:
        """Something goes wrong at the server from now on."""
        dice = self.dice
        on = dice.choice(("STOR", "RNFR", "RNTO", "DELE", "RETR", "LIST|MLSD", "SIZE|MLST", "CWD",
                          "EPSV|PASV", "MKD", "NOOP", "*", "LOGIN"))  # fmt: skip
        kind = dice.choice(("reply", "swallow_reply", "swallow_command", "delay", "reset", "close",
                            "stall", "truncate", "lie", "restart", "freeze", "split_reply",
                            "early_reply", "bandwidth", "dead_port", "surplus"))  # fmt: skip
        wanted: dict[str, Any] = {"on": on, "nth": dice.randint(1, 3), "fault": kind}
        if kind == "reply":
            wanted["code"] = dice.choice((421, 426, 450, 451, 452, 552, 553, 550))
            wanted["when"] = dice.choice(("before", "after"))
        if kind == "lie":
            wanted["on"] = dice.choice(("STOR", "RNTO"))
        if kind in ("truncate", "surplus", "stall", "early_reply"):
            wanted["on"] = dice.choice(("STOR", "RETR"))
        if kind in ("reset", "close", "restart", "freeze"):
            wanted["when"] = dice.choice(("before", "after"))
            if wanted["on"] in ("STOR", "RETR") and dice.random() < 0.5:
                wanted["after_bytes"] = dice.choice((0, 1, 50_000, 65536))
        if kind in ("truncate", "stall"):
            wanted["after_bytes"] = dice.choice((1, 50_000))
        if kind in ("delay", "stall", "freeze", "restart"):
            wanted["seconds"] = dice.choice((0.05, 0.3, 1.0))
        if kind == "surplus":
            wanted["extra_bytes"] = 10
        if kind == "bandwidth":
            wanted.update(on="STOR|RETR", bytes_per_s=2_000_000)
        self.server.inject(Fault.from_dict(wanted))
        self.figures.faults += 1
        self.tell(f"fault {wanted}")

    def disaster(self) -> None:
        """The drive dies, or the server goes away and comes back."""
        if self.dice.random() < 0.3:
            self.tell("all connections are reset")
            self.server.disconnect_all()
            return
        cut = self.disk is not None and self.dice.random() < 0.7
        self.tell("power cut" if cut else "crash")
        if self.disk is not None and cut:
            self.disk.remember(self.dice.choice(list(Unsynced)), self.dice.randint(0, 999))
            self.figures.power_cuts += 1
        else:
            self.figures.crashes += 1
        open_paths = {handle.path for handle in self.handles if handle.path}
        self.server.clear_faults()
        self.server.thaw()
        self.drive.stop()  # sends nothing; with a cut, what it does is not on the disk
        if self.disk is not None and cut:
            self.disk.restore()
        for handle in self.handles:  # the process would have ended
            node = handle.context.node
            if node.staged is not None:
                node.staged.close(keep=True)
            if node.content is not None:
                node.content.release()
        self.handles.clear()
        for path in open_paths:
            one = self.model.at(path)
            one.held_ok = True
            one.torn = True  # HELD, and said to be incomplete
            if cut:
                one.right.add(None)  # nothing of it was closed
        self.start()

    # -- another program on the server -------------------------------------------------------------

    def put_by_others(self, path: str) -> None:
        """Another program saves *path*; the drive does not know."""
        content = self.content()
        self.server.put(path, content)
        self.model.settle(path, content)

    def another_program(self) -> None:
        """Another program changes a file that the drive knows; then one of ours saves it."""
        path = self.path()
        if any(handle.path == path for handle in self.handles) or self.unsent(path):
            return
        try:
            seen = self.drive.filesystem.stat(remote_path(path)).size_bytes
        except FsError:
            return
        content = b"THEIRS" + self.content()
        if len(content) == seen or not self.server.exists(path):
            return
        if path != next((p for p in self.model.paths() if p == path), None):
            return
        self.tell(f"another program saves {path} ({len(content)} bytes)")
        self.server.put(path, content)
        self.model.settle(path, content)
        mine = self.content() or b"x"
        self.tell(f"write {path} ({len(mine)} bytes) over it, unseen")
        try:
            context = self.drive.filesystem.open(remote_path(path), write=True)
            known = context.node.entry
            unseen = known is not None and known.size_bytes == seen
            self.drive.filesystem.truncate(context, 0)
            self.drive.filesystem.write(context, 0, mine)
            self.drive.filesystem.close(context)
        except FsError as error:
            self.tell(f"  {error.status.name}: {error}")
            self.model.at(path).right |= {mine, b""}
            self.model.at(path).held_ok = True
            return
        if not unseen:
            self.model.settle(path, mine)
            return
        one = self.model.at(path)
        one.right, one.theirs, one.theirs_unseen, one.held_ok = {mine}, content, True, True

    def unsent(self, path: str) -> bool:
        """Whether something of *path* is on its way or held."""
        uploads: Any = self.drive.filesystem.uploads()
        return path in uploads["pending"] or path in [row["path"] for row in uploads["held"]]

    # -- operations ------------------------------------------------------------------------------

    def path(self) -> str:
        """A file's path, mostly one that may exist."""
        directory = self.dice.choice(DIRECTORIES)
        return directory.rstrip("/") + "/" + self.dice.choice(NAMES)

    def operate(self) -> None:
        """One operation of a program."""
        operation: Callable[[], None] = self.dice.choices(
            (self.save, self.read, self.delete, self.rename, self.open, self.write_piece,
             self.sync, self.close_one, self.list, self.append),
            weights=(22, 14, 8, 12, 8, 12, 5, 8, 8, 3),
        )[0]  # fmt: skip
        self.figures.operations += 1
        started = time.monotonic()
        try:
            operation()
        finally:
            took = time.monotonic() - started
            if operation != self.sync:  # it waits for the server, as long as bytes move
                self.figures.slowest_s = max(self.figures.slowest_s, took)
                if took > SLOW_S + 10 * DEADLINE_S:
                    self.tell(f"took {took:.1f} s")
                    raise Loss(f"frozen: an operation took {took:.1f} s")

    def refused(self, error: FsError) -> None:
        """A program was told that it failed."""
        self.figures.refused += 1
        self.tell(f"  {error.status.name}: {error}")

    def save(self) -> None:
        path, content = self.path(), self.content()
        self.tell(f"save {path} ({len(content)} bytes)")
        fs = self.drive.filesystem
        try:
            context = fs.create(remote_path(path))
        except FsError as error:
            self.refused(error)
            return
        one = self.model.at(path)
        try:
            if context.file_size:
                one.right.add(b"")
                fs.truncate(context, 0)
            one.right.add(content)
            fs.write(context, 0, content)
            fs.close(context)
        except FsError as error:
            self.refused(error)
            one.held_ok = True
            return
        if one.theirs_unseen:
            one.right.add(content)
        if self.writers(path):
            self.model.doubt(path, content)
        else:
            self.model.settle(path, content)

    def writers(self, path: str) -> bool:
        return any(handle.path == path for handle in self.handles)

    def append(self) -> None:
        path = self.path()
        before = self.model.known(path)
        if not isinstance(before, bytes) or self.writers(path):
            return
        more = self.content()[:1000]
        self.tell(f"append to {path} ({len(more)} bytes)")
        fs = self.drive.filesystem
        try:
            context = fs.open(remote_path(path), write=True)
        except FsError as error:
            self.refused(error)
            return
        try:
            if context.file_size != len(before):
                if self.model.at(path).theirs_unseen:
                    return
                raise Loss(f"{path} has {context.file_size} bytes, not {len(before)}")
            self.model.doubt(path, before + more)
            fs.write(context, len(before), more)
        finally:
            try:
                fs.close(context)
            except FsError as error:
                self.refused(error)
        self.model.settle(path, before + more)
        self.model.at(path).held_ok = True  # its beginning may be another program's by now

    def read(self) -> None:
        path = self.path()
        self.tell(f"read {path}")
        fs = self.drive.filesystem
        try:
            context = fs.open(remote_path(path))
            try:
                found: Content = fs.read(context, 0, 1 << 22)
            finally:
                fs.close(context)
        except FsError as error:
            self.refused(error)
            if error.status is not FsStatus.NOT_FOUND:
                return
            found = None
        one = self.model.at(path)
        if found not in one.right and not one.torn and not (
            one.theirs_unseen and found == one.theirs
        ):  # fmt: skip
            raise Loss(f"read {path}: {_short(found)}, right: {[_short(c) for c in one.right]}")

    def delete(self) -> None:
        path = self.path()
        self.tell(f"delete {path}")
        asked = self.server.ledger.count("DELE")
        try:
            self.drive.filesystem.remove_file(remote_path(path))
        except FsError as error:
            self.refused(error)
            # A server may delete and refuse: it is gone then, and was asked to be.
            deleted = self.server.ledger.count("DELE") > asked and path not in self.server.tree()
            missing = error.status is FsStatus.NOT_FOUND and not deleted
            if missing and None not in self.model.at(path).right:
                raise Loss(f"{path} should be there") from error
            self.model.at(path).theirs_unseen = False  # it may have been deleted
            if deleted or error.status is not FsStatus.NOT_FOUND:
                self.model.doubt(path, None)
            return
        self.model.settle(path, None)
        self.model.at(path).theirs_unseen = False
        self.gone(path)

    def gone(self, path: str) -> None:
        for handle in self.handles:
            if handle.path == path:
                handle.path = ""

    def rename(self) -> None:
        old, new = self.path(), self.path()
        if old == new:
            return
        self.tell(f"rename {old} to {new}")
        try:
            self.drive.filesystem.rename(remote_path(old), remote_path(new))
        except FsError as error:
            self.refused(error)
            if error.status is FsStatus.NOT_FOUND and None not in self.model.at(old).right:
                raise Loss(f"{old} should be there") from error
            if error.status is not FsStatus.NOT_FOUND:
                self.model.renamed(old, new, done=False)
            return
        self.model.renamed(old, new, done=True)
        for path in (old, new):
            self.model.at(path).theirs_unseen = False
        self.gone(new)
        for handle in self.handles:
            if handle.path == old:
                handle.path = new

    def open(self) -> None:
        path = self.path()
        if self.model.at(path).theirs_unseen:
            return
        self.tell(f"open {path}")
        try:
            context = self.drive.filesystem.create(remote_path(path))
        except FsError as error:
            self.refused(error)
            return
        self.handles.append(_Handle(context, path))
        if context.file_size == 0:
            self.model.doubt(path, b"")

    def write_piece(self) -> None:
        if not self.handles:
            return
        handle = self.dice.choice(self.handles)
        piece = self.content()[:70_000]
        size = handle.context.file_size
        offset = self.dice.choice((0, size // 2, size, size + 100))
        self.tell(f"write {len(piece)} bytes at {offset} of {handle.path or 'a deleted file'}")
        fs = self.drive.filesystem
        try:
            before = fs.read(handle.context, 0, 1 << 22)
        except FsError as error:
            self.refused(error)
            return
        after = before.ljust(offset, b"\0") if piece else before
        after = after[:offset] + piece + after[offset + len(piece) :]
        if handle.path:
            self.model.doubt(handle.path, after)
        try:
            fs.write(handle.context, offset, piece)
        except FsError as error:
            self.refused(error)

    def sync(self) -> None:
        if not self.handles:
            return
        handle = self.dice.choice(self.handles)
        self.tell(f"fsync {handle.path or 'a deleted file'}")
        fs = self.drive.filesystem
        try:
            now = fs.read(handle.context, 0, 1 << 22)
            fs.fsync(handle.context)
        except FsError as error:
            self.refused(error)
            return
        if handle.path and handle.context.node.staged is not None:
            there = self.server.tree().get(handle.path)
            if there != now:
                raise Loss(f"fsync of {handle.path}: the server has {_short(there)}")

    def close_one(self) -> None:
        if not self.handles:
            return
        handle = self.handles.pop(self.dice.randrange(len(self.handles)))
        self.tell(f"close {handle.path or 'a deleted file'}")
        fs = self.drive.filesystem
        now: Content = None
        try:
            now = fs.read(handle.context, 0, 1 << 22)
        except FsError as error:
            self.refused(error)
        try:
            fs.close(handle.context)
        except FsError as error:
            self.refused(error)
            return
        if handle.path and now is not None and not self.writers(handle.path):
            if len(self.model.at(handle.path).right) > 1:  # a rename over it is in doubt
                self.model.doubt(handle.path, now)
            else:
                self.model.settle(handle.path, now)
            self.model.at(handle.path).held_ok = True  # its base may have changed

    def list(self) -> None:
        directory = self.dice.choice(DIRECTORIES)
        self.tell(f"list {directory}")
        try:
            entries = self.drive.filesystem.list_directory(remote_path(directory))
        except FsError as error:
            self.refused(error)
            return
        names = [entry.name for entry in entries]
        crashed = self.figures.crashes or self.figures.power_cuts  # names of before are not known
        ours = [name for name in names if name.startswith(TEMPORARY_PREFIX)]
        if len(set(names)) != len(names) or (ours and not crashed):
            raise Loss(f"{directory} shows {names}")

    # -- the end ---------------------------------------------------------------------------------

    def end(self) -> None:
        """Faults are over: wait until nothing is on its way, then compare."""
        while self.handles:
            self.close_one()
        self.tell("the end: faults are over")
        self.server.clear_faults()
        self.server.thaw()
        until = time.monotonic() + SETTLE_S
        while True:
            left = self.drive.drain(1.0)
            journal = self.drive.journal
            if not left and not journal.swaps() and not journal.strays():
                break
            if time.monotonic() > until:
                raise Loss(f"never sent: {self.drive.filesystem.uploads()}")
        held = self.held()
        tree = self.server.tree()
        for path, one in self.model.files.items():
            self.check(path, one, tree.get(path), held.pop(path, False))
        if held:
            raise Loss(f"held, but nobody saved them: {sorted(held)}")
        strange = [p for p, c in tree.items() if c is not None and p not in self.model.files]
        if strange:
            raise Loss(f"left on the server: {strange}")

    def held(self) -> dict[str, Content | bool]:
        """Path and bytes of what is HELD; True: bytes with gaps."""
        found: dict[str, Content | bool] = {}
        for staged in self.drive.files.uploader.held():
            self.figures.held += 1
            content = staged.local_path.read_bytes()
            found[staged.path] = True if staged.gaps() else content
            self.tell(f"held {staged.path}: {staged.reason}")
        return found

    def check(self, path: str, one: Any, there: Content, held: Content | bool) -> None:
        """One path at the end."""
        if one.theirs_unseen and there != one.theirs and one.theirs not in one.right:
            raise Loss(
                f"{path}: another program's version was overwritten unseen by {_short(there)}"
            )
        if held is False:
            if there not in one.right and not one.torn:
                right = [_short(content) for content in one.right]
                raise Loss(f"{path}: the server has {_short(there)}, right: {right}")
            return
        if held is not True and held not in one.right and not one.torn:
            right = [_short(content) for content in one.right]
            raise Loss(f"{path}: {_short(held)} is held, right: {right}")


def _short(content: Content | bool) -> str:
    if not isinstance(content, bytes):
        return str(content)
    marks = sorted({part.split(b">")[0][:12] for part in content.split(b"<")[1:] if b">" in part})
    return f"{len(content)} bytes {b' '.join(marks[:4]).decode(errors='replace')}"
