"""A program writes in the moment in which the upload of the version before succeeds."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from pyftpdrive.base.paths import ROOT, remote_path
from pyftpdrive.core.view import View
from pyftpdrive.spool.states import StagedState
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import started_drive
from tests.helpers.mounts import until

PATH = remote_path("/a")
WHEN_NS = 1_600_000_000 * 10**9


@pytest.mark.parametrize("change", ["write", "truncate"])
def test_a_change_that_meets_the_success_of_an_upload_is_sent(change: str, tmp_path: Path) -> None:
    with FtpSimulator() as server, started_drive(server, tmp_path) as drive:
        fs, files = drive.filesystem, drive.files
        first = fs.create(PATH)
        fs.write(first, 0, b"a" * 100_000)
        uploaded, stage, met = files.uploader._on_uploaded, files._stage_locked, []
        on_server = threading.Event()

        def uploaded_and_wait(staged, done):
            uploaded(staged, done)
            on_server.set()
            if not met:
                assert until(lambda: staged.state is StagedState.OPEN, within_s=10)

        def stage_and_wait(node):
            staged = stage(node)
            if not met:  # the journal takes its time, and the upload succeeds meanwhile
                met.append(staged)
                assert until(lambda: staged.state is StagedState.DONE, within_s=10)
            return staged

        files.uploader._on_uploaded = uploaded_and_wait
        second = fs.open(PATH, write=True)
        fs.close(first)
        assert on_server.wait(10)
        files._stage_locked = stage_and_wait
        if change == "write":
            fs.write(second, 5, b"NEW")
            right = b"aaaaaNEW" + b"a" * 99_992
        else:
            fs.truncate(second, 70_000)
            right = b"a" * 70_000
        assert len(met) == 1
        fs.fsync(second)
        assert server.get("/a") == right

        fs.close(second)
        assert drive.drain(10) == []
        assert server.get("/a") == right


def test_opening_a_file_whose_upload_ends_meanwhile_finds_it(tmp_path: Path) -> None:
    with FtpSimulator() as server, started_drive(server, tmp_path) as drive:
        fs, files = drive.filesystem, drive.files
        first = fs.create(PATH)
        fs.write(first, 0, b"saved")
        fs.close(first)
        require, asked = files.writable.require, []

        def require_and_wait(directory, entry):
            require(directory, entry)
            asked.append(entry)
            assert drive.drain(10) == []
            assert until(lambda: files.nodes.get(PATH) is None, within_s=10)

        files.writable.require = require_and_wait
        second = fs.open(PATH, write=True)

        assert asked[0] is None  # it was on its way
        assert fs.read(second, 0, 10) == b"saved"
        fs.close(second)


def test_the_end_of_an_upload_asks_the_server_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that waits for another one would never end where there is only one."""
    asked: list[str] = []
    listing = View.listing

    def listing_by(view: View, *arguments: object, **named: object) -> object:
        asked.append(threading.current_thread().name)
        return listing(view, *arguments, **named)

    monkeypatch.setattr(View, "listing", listing_by)
    slow = Fault(on="RNFR", nth=1, fault="delay", seconds=0.5)
    with (
        FtpSimulator("proftpd", faults=[slow]) as server,
        started_drive(server, tmp_path) as drive,
    ):
        fs = drive.filesystem
        handle = fs.create(PATH)
        fs.write(handle, 0, bytes(100_000))
        fs.close(handle)
        assert until(lambda: server.ledger.count("MFMT") == 1, within_s=10)  # with another time
        fs.set_times(PATH, WHEN_NS)
        drive.view.metadata.expire(ROOT)
        assert drive.drain(10) == []
        assert until(lambda: server.stat("/a").modified_ns == WHEN_NS, within_s=10)

    assert not [name for name in asked if name.startswith("ftp-session")]


@pytest.mark.logs("is held")
def test_a_drained_drive_has_removed_what_an_upload_left(tmp_path: Path) -> None:
    """Its first removal was not answered: who unmounts then leaves nothing of ours behind."""
    with FtpSimulator("proftpd") as server, started_drive(server, tmp_path) as drive:
        server.put("/a.txt", b"one")
        context = drive.filesystem.open(remote_path("/a.txt"), write=True)
        drive.filesystem.write(context, 0, b"mine")
        server.put("/a.txt", b"another program's")
        server.inject(Fault(on="DELE", nth=1, fault="reset", channel="control"))
        drive.filesystem.close(context)

        assert drive.drain(20) == []

        assert set(server.tree()) == {"/a.txt"}


@pytest.mark.logs("is held")
def test_what_a_killed_append_left_goes_when_its_file_is_held(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        server.put("/log", b"x" * 200_000)
        frozen = Fault(on="STOR", nth=0, fault="freeze", after_bytes=65536)
        with started_drive(server, tmp_path / "one", deadline_s=0.5) as drive:
            context = drive.filesystem.open(remote_path("/log"), write=True)
            server.inject(frozen)
            drive.filesystem.write(context, 200_000, b"more")
            drive.filesystem.close(context)
            assert until(lambda: bool(drive.journal.strays()), within_s=10)
            shutil.copytree(tmp_path / "one", tmp_path / "two")  # as a kill would leave it
            (stray,) = drive.journal.strays()
            server.thaw()
        server.clear_faults()
        server.put(stray, b"half of it")
        server.put("/log", b"another program's")

        with started_drive(server, tmp_path / "two") as drive:
            assert drive.drain(20) == []

            assert [staged.path for staged in drive.files.uploader.held()] == ["/log"]
            assert set(server.tree()) == {"/log"}
