"""The core on a simulated server: what scenarios can't look at."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from pyftpdrive.base.errors import FsError, FsStatus
from pyftpdrive.base.paths import ROOT, remote_path
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import drive_on, started_drive

MIB = 1 << 20


def _write(drive, path: str, data: bytes) -> None:
    handle = drive.filesystem.create(remote_path(path))
    drive.filesystem.write(handle, 0, data)
    drive.filesystem.close(handle)


def test_stat_and_list_of_known_names_ask_nothing(tmp_path: Path) -> None:
    with FtpSimulator(profile="proftpd") as server:
        server.put("/d/a", b"hello")
        with started_drive(server, tmp_path) as drive:
            drive.filesystem.list_directory(remote_path("/d"))
            server.ledger.clear()

            for _ in range(100):
                assert drive.filesystem.stat(remote_path("/d/a")).size_bytes == 5
            drive.filesystem.list_directory(remote_path("/d"))

            assert server.ledger.commands() == []


def test_open_without_reading_transfers_nothing(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        server.put("/film", b"x" * MIB)
        with started_drive(server, tmp_path) as drive:
            handle = drive.filesystem.open(remote_path("/film"))
            drive.filesystem.close(handle)

            assert server.ledger.count("RETR") == 0


def test_reading_the_head_of_a_film_does_not_transfer_the_film(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        server.put_sparse("/film", 1 << 30)
        with started_drive(server, tmp_path) as drive:
            handle = drive.filesystem.open(remote_path("/film"))
            drive.filesystem.read(handle, 0, 4096)
            drive.filesystem.close(handle)

            assert drive.blocks.status()["bytes"] <= 16 * MIB


def test_two_readers_of_one_file_share_one_transfer(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        server.put("/a", b"y" * (200 * 1024))
        with started_drive(server, tmp_path) as drive:
            fs = drive.filesystem
            found: list[bytes] = []

            def read() -> None:
                handle = fs.open(remote_path("/a"))
                found.append(fs.read(handle, 0, 200 * 1024))
                fs.close(handle)

            fs.stat(remote_path("/a"))
            threads = [threading.Thread(target=read) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)

            assert found == [b"y" * (200 * 1024)] * 6
            assert server.ledger.count("RETR") == 1


def test_a_file_that_shrank_behind_our_back_is_read_as_it_is_now(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        server.put("/log", b"old and long lines")
        with started_drive(server, tmp_path) as drive:
            fs = drive.filesystem
            handle = fs.open(remote_path("/log"))
            server.put("/log", b"new")

            data = bytearray(64)
            count = fs.read_into(handle, 0, memoryview(data))
            fs.close(handle)

            assert bytes(data[:count]) == b"new"


def test_unsent_files_survive_the_end_of_the_program(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        with started_drive(server, tmp_path) as drive:
            server.inject(Fault(on="STOR", nth=0, fault="close", channel="both"))
            _write(drive, "/kept.txt", b"precious")
            assert drive.drain(0.3) != []
        server.clear_faults()
        assert not server.exists("/kept.txt")

        with started_drive(server, tmp_path) as drive:
            handle = drive.filesystem.open(remote_path("/kept.txt"))
            assert drive.filesystem.read(handle, 0, 100) == b"precious"
            drive.filesystem.close(handle)
            assert drive.drain(10) == []

        assert server.get("/kept.txt") == b"precious"


@pytest.mark.logs("upload of /a is held")
def test_a_file_that_was_never_closed_is_held_after_a_crash(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        drive = drive_on(server, tmp_path)
        drive.start()
        handle = drive.filesystem.create(remote_path("/half"))
        drive.filesystem.write(handle, 0, b"half of")
        drive.stop()  # as a crash: nothing was closed or drained

        with started_drive(server, tmp_path) as again:
            (held,) = again.filesystem.uploads()["held"]

        assert held["path"] == "/half"
        assert not server.exists("/half")


def test_the_journal_is_empty_when_everything_is_on_the_server(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        with started_drive(server, tmp_path) as drive:
            for number in range(20):
                _write(drive, f"/f{number}", b"x" * number)
            assert drive.drain(20) == []

        (database,) = tmp_path.glob("spool/*/journal.sqlite")
        rows = sqlite3.connect(database).execute("SELECT count(*) FROM staged").fetchone()
        assert rows == (0,)
        assert list(tmp_path.glob("spool/*/staged/*")) == []


def test_what_was_uploaded_is_read_back_without_a_transfer(tmp_path: Path) -> None:
    with FtpSimulator() as server, started_drive(server, tmp_path) as drive:
        _write(drive, "/a", b"mine")
        drive.drain(10)

        handle = drive.filesystem.open(remote_path("/a"))
        assert drive.filesystem.read(handle, 0, 10) == b"mine"
        drive.filesystem.close(handle)

        assert server.ledger.count("RETR") == 0


def test_a_refused_upload_is_held_and_shown(tmp_path: Path, log_watch) -> None:
    log_watch.expect("is held")
    with FtpSimulator() as server, started_drive(server, tmp_path) as drive:
        _write(drive, "/probe-passed", b"x")
        drive.drain(10)
        server.inject(Fault(on="STOR", nth=0, fault="reply", code=553, text="Permission denied"))

        _write(drive, "/refused", b"kept here")
        drive.drain(10)

        (held,) = drive.filesystem.uploads()["held"]
        assert held["path"] == "/refused"
        assert "Permission denied" in held["reason"]
        handle = drive.filesystem.open(remote_path("/refused"))
        assert drive.filesystem.read(handle, 0, 100) == b"kept here"
        drive.filesystem.close(handle)


def test_two_drives_of_one_server_have_spools_of_their_own(tmp_path: Path) -> None:
    with (
        FtpSimulator() as server,
        started_drive(server, tmp_path) as one,
        started_drive(server, tmp_path) as two,
    ):
        assert one.staging.directory != two.staging.directory


def test_a_handle_that_was_closed_is_refused(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        server.put("/a", b"x")
        with started_drive(server, tmp_path) as drive:
            handle = drive.filesystem.open(remote_path("/a"))
            drive.filesystem.close(handle)

            with pytest.raises(FsError) as caught:
                drive.filesystem.read_into(handle, 0, memoryview(bytearray(1)))

        assert caught.value.status is FsStatus.BAD_HANDLE


def test_free_space_of_a_server_that_tells(tmp_path: Path) -> None:
    with FtpSimulator(profile="nas", users=None) as server:
        with started_drive(server, tmp_path) as drive:
            space = drive.filesystem.space()

        assert 0 < space.free_bytes <= space.total_bytes


def test_a_listing_with_lines_that_nobody_understands_says_so(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        server.put("/a", b"x")
        server.inject(Fault(on="LIST", nth=0, fault="listing", lines=("@@ what is this @@",)))
        with started_drive(server, tmp_path) as drive:
            names = [entry.name for entry in drive.filesystem.list_directory(ROOT)]

            assert "a" in names
            assert drive.status()["unparsed"]


def test_who_walks_a_tree_finds_the_next_listings_on_their_way(tmp_path: Path) -> None:
    with FtpSimulator(profile="proftpd") as server:
        for number in range(40):
            server.put(f"/top/d{number:02d}/f", b"x")
        with started_drive(server, tmp_path) as drive:
            fs = drive.filesystem
            fs.list_directory(remote_path("/top"))
            fs.list_directory(remote_path("/top/d00"))
            assert server.ledger.count("MLSD") == 2
            fs.list_directory(remote_path("/top/d01"))

            until = time.monotonic() + 10
            while server.ledger.count("MLSD") < 19 and time.monotonic() < until:
                threading.Event().wait(0.01)

            assert server.ledger.count("MLSD") == 19  # sixteen ahead, no more
            fs.list_directory(remote_path("/top/d02"))
            assert server.ledger.count("MLSD") == 19


def test_listings_ahead_of_a_walk_are_those_that_are_asked_for(tmp_path: Path) -> None:
    with FtpSimulator(sessions_max=1) as server:
        for number in range(60):
            server.put(f"/top/d{number:02d}/file{number}", b"x" * number)
        with started_drive(server, tmp_path) as drive:
            fs = drive.filesystem
            fs.list_directory(remote_path("/top"))
            for number in range(60):
                (entry,) = fs.list_directory(remote_path(f"/top/d{number:02d}"))
                assert (entry.name, entry.size) == (f"file{number}", number)
