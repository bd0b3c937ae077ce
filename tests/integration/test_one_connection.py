"""A server that allows one session: everything goes on, nobody waits behind a film."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyftpdrive.base.errors import FsError, FsStatus
from pyftpdrive.base.paths import remote_path
from pyftpdrive.core.filesystem import Filesystem
from pyftpdrive.drive import Drive
from pyftpdrive.ftp import link as link_module
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobControl, Priority
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import started_drive, started_engine

FILM_BYTES = 20_000_000
FILM_BYTES_PER_S = 3_000_000  # the read lasts for seven seconds
PROMISED_S = 0.5
SLACK_S = 1.0  # for this machine; the read without giving way lasts longer
OPERATIONS = 10_000
THREADS = 8
LIMITS = [
    pytest.param({"sessions_max": 1}, id="421"),
    pytest.param({"faults": [Fault(on="LOGIN", fault="limit", limit=1)]}, id="530"),
]


class Film(threading.Thread):
    """Reads a long file from its beginning to its end."""

    def __init__(self, drive: Drive) -> None:
        super().__init__(daemon=True)
        self._drive = drive
        self.begun = threading.Event()
        self.content = b""

    def run(self) -> None:
        fs = self._drive.filesystem
        handle = fs.open(remote_path("/film"))
        pieces = []
        for offset in range(0, FILM_BYTES, 1 << 17):
            pieces.append(fs.read(handle, offset, 1 << 17))
            self.begun.set()
        fs.close(handle)
        self.content = b"".join(pieces)


@contextmanager
def film_on(server: FtpSimulator, work: Path) -> Iterator[tuple[Drive, Film, bytes]]:
    """A drive on *server* in the middle of a long read."""
    content = random.Random(1).randbytes(FILM_BYTES)
    server.put("/film", content)
    server.inject(Fault(on="RETR", nth=0, fault="bandwidth", bytes_per_s=FILM_BYTES_PER_S))
    with started_drive(server, work) as drive:
        drive.filesystem.list_directory(remote_path("/"))
        film = Film(drive)
        film.start()
        assert film.begun.wait(10)
        try:
            yield drive, film, content
        finally:
            film.join(60)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_listing_during_a_long_read_answers_within_half_a_second(
    tmp_path: Path, limit: dict[str, object], record_property: pytest.RecordProperty
) -> None:
    took: list[float] = []
    with FtpSimulator(**limit) as server:
        for number in range(8):
            server.put(f"/d{number}/name{number}", b"x")
        with film_on(server, tmp_path) as (drive, film, content):
            for number in range(8):
                began = time.monotonic()
                found = drive.filesystem.list_directory(remote_path(f"/d{number}"))
                took.append(time.monotonic() - began)
                assert [entry.name for entry in found] == [f"name{number}"]
            during = film.is_alive()
        peak = server.sessions_peak

    record_property("slowest_listing_s", round(max(took), 3))
    print(f"listings during a read: slowest {max(took):.3f} s, all {[round(s, 3) for s in took]}")
    assert during, "the read was over before the listings: nothing is proven"
    assert max(took) < PROMISED_S + SLACK_S
    assert film.content == content
    assert peak == 1 or "faults" in limit


def test_an_upload_makes_progress_during_a_long_read(tmp_path: Path) -> None:
    saved = random.Random(2).randbytes(300_000)
    with FtpSimulator(sessions_max=1) as server:
        server.mkdir("/d")
        with film_on(server, tmp_path) as (drive, film, content):
            fs = drive.filesystem
            handle = fs.create(remote_path("/d/saved"))
            fs.write(handle, 0, saved)
            fs.close(handle)
            while film.is_alive() and not server.exists("/d/saved"):
                film.join(0.02)
            during = film.is_alive()
        arrived = server.get("/d/saved") if server.exists("/d/saved") else b""

    assert during, "the upload had to wait for the end of the read"
    assert arrived == saved
    assert film.content == content


class Worker(threading.Thread):
    """Does random operations in a directory of its own and remembers what must be there."""

    def __init__(self, fs: Filesystem, number: int, operations: int) -> None:
        super().__init__(name=f"worker-{number}", daemon=True)
        self._fs = fs
        self._random = random.Random(number)
        self._operations = operations
        self.root = f"/w{number}"
        self.model: dict[str, bytes] = {}
        self.done = 0
        self.problems: list[str] = []

    def run(self) -> None:
        try:
            for _ in range(self._operations):
                self._one()
                self.done += 1
        except BaseException as error:  # noqa: BLE001  # shown by the test
            self.problems.append(f"{self.name} after {self.done}: {error!r}")

    def _one(self) -> None:
        name = f"{self.root}/f{self._random.randrange(6)}"
        path = remote_path(name)
        action = self._random.choices(
            ["write", "read", "stat", "list", "rename", "delete", "shared", "directory"],
            [18, 24, 24, 14, 6, 6, 4, 4],
        )[0]
        if action == "write":
            self._write(name)
        elif action == "read" and name in self.model:
            assert self._read(name) == self.model[name], f"{name} has other bytes"
        elif action == "stat":
            try:
                assert self._fs.stat(path).size_bytes == len(self.model[name])
            except (FsError, KeyError):
                assert name not in self.model or not isinstance(name, str), f"{name} is missing"
        elif action == "list":
            found = {e.name for e in self._fs.list_directory(remote_path(self.root))}
            wanted = {known.rpartition("/")[2] for known in self.model}
            assert found - {"sub"} == wanted, f"{self.root} lists {found}, not {wanted}"
        elif action == "rename" and name in self.model:
            other = f"{self.root}/f{self._random.randrange(6)}"
            if other != name:
                self._patiently(lambda: self._fs.rename(path, remote_path(other)))
                self.model[other] = self.model.pop(name)
        elif action == "delete" and name in self.model:
            self._patiently(lambda: self._fs.remove_file(path))
            del self.model[name]
        elif action == "shared":
            assert self._read("/shared") == b"s" * 200_000
        elif action == "directory":
            sub = remote_path(f"{self.root}/sub")
            self._fs.make_directory(sub)
            self._fs.remove_directory(sub)

    def _write(self, name: str) -> None:
        data = self._random.randbytes(self._random.choice([0, 10, 1000, 20_000]))
        handle = self._fs.create(remote_path(name))
        try:
            self._fs.truncate(handle, 0)
            self._fs.write(handle, 0, data)
        finally:
            self._fs.close(handle)
        self.model[name] = data

    def _read(self, name: str) -> bytes:
        handle = self._fs.open(remote_path(name))
        try:
            return self._fs.read(handle, 0, handle.file_size)
        finally:
            self._fs.close(handle)

    def _patiently(self, action) -> None:
        """An upload that can't be stopped in time makes a name busy: a program tries again."""
        for last in (False, False, True):
            try:
                return action()
            except FsError as error:
                if last or error.status is not FsStatus.BUSY:
                    raise
        return None


@pytest.mark.timeout(400)
def test_ten_thousand_random_operations_on_one_session_end_and_are_right(tmp_path: Path) -> None:
    with FtpSimulator(sessions_max=1) as server:
        server.put("/shared", b"s" * 200_000)
        for number in range(THREADS):
            server.mkdir(f"/w{number}")
        with started_drive(server, tmp_path, deadline_s=30.0) as drive:
            workers = [
                Worker(drive.filesystem, number, OPERATIONS // THREADS) for number in range(THREADS)
            ]
            began = time.monotonic()
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(max(0.0, began + 300 - time.monotonic()))
            stuck = [f"{w.name} after {w.done}" for w in workers if w.is_alive()]
            problems = [problem for worker in workers for problem in worker.problems]
            left = drive.drain(60.0)
            print(f"{OPERATIONS} operations in {time.monotonic() - began:.1f} s")
        tree, peak = server.tree(), server.sessions_peak

    assert stuck == []
    assert problems == []
    assert left == []
    wanted = {path: data for worker in workers for path, data in worker.model.items()}
    files = {path: data for path, data in tree.items() if data is not None and path != "/shared"}
    assert sorted(files) == sorted(wanted)
    assert [path for path in wanted if files[path] != wanted[path]] == []
    assert peak == 1


def _meet(barrier: threading.Barrier):
    def work(client: FtpClient, _control: JobControl) -> None:
        client.noop()
        barrier.wait(5)

    return work


@pytest.mark.parametrize("limit", LIMITS)
def test_the_limit_is_learned_shown_and_rises_again(
    monkeypatch: pytest.MonkeyPatch, limit: dict[str, object]
) -> None:
    with FtpSimulator(**limit) as server, started_engine(server, sessions_max=4) as engine:
        gate = threading.Event()
        jobs = [
            engine.submit(
                engine.job(f"job {n}", lambda _c, _j: gate.wait(10), priority=Priority.READ)
            )
            for n in range(3)
        ]
        until = time.monotonic() + 10
        while engine.status()["limit"] != 1 and time.monotonic() < until:
            threading.Event().wait(0.01)
        learned = engine.status()["limit"]
        gate.set()
        for job in jobs:
            job.wait(10)

        server.core.sessions_max = server.core.guests_max = 4
        server.clear_faults()
        monkeypatch.setattr(link_module, "LIMIT_RETRY_S", 0.0)
        barrier = threading.Barrier(3)  # passed by three sessions at a time only
        meeting = [
            engine.submit(engine.job(f"meet {n}", _meet(barrier), priority=Priority.READ))
            for n in range(3)
        ]
        for job in meeting:
            job.wait(10)

        assert learned == 1
        assert engine.status()["limit"] == 4
        assert engine.profile.sessions_limit is None
